import json
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.intents.admit import handoffs

EVENTS = Path(__file__).parents[2] / "events"


def event(**changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((EVENTS / "intent-arrived.json").read_text())["Records"][0]
    record["s3"]["object"] |= changes.pop("object", {})
    return {"Records": [record | changes]}


def test_the_sample_event_is_one_handoff() -> None:
    (handoff,) = handoffs(event())
    assert (handoff.bucket, handoff.key) == ("conductor-loop-handoff", "intent-scale-up-001.json")
    assert handoff.principal == "AWS:AIDAEXAMPLE:operator"


def test_everything_that_orders_and_names_a_version_is_taken() -> None:
    put = {"key": "intent-a.json", "versionId": "v1", "size": 9, "sequencer": "0A"}
    (handoff,) = handoffs(event(object=put, eventTime="2026-11-23T09:00:00.000Z"))
    assert (handoff.version_id, handoff.size, handoff.order) == ("v1", 9, f"2026-11-23T09:00:00.000Z#{'0A':0<32}")
    assert handoff.event_time == "2026-11-23T09:00:00.000Z"


def test_keys_are_decoded() -> None:
    (handoff,) = handoffs(event(object={"key": "intent-a+b%2Bc%C3%BC.json"}))
    assert handoff.key == "intent-a b+cü.json"


@pytest.mark.parametrize(
    "key",
    [
        *("status/intent-a.json.status", "readme.json", "intent-a.txt", "a/intent-a.json"),
        *("intent-archive/schema.json", "intent-batch/intent-001.json", "intent-a%2Fb.json", "intent-/.json"),
    ],
)
def test_other_keys_are_none_of_ours(key: str) -> None:
    assert list(handoffs(event(object={"key": key}))) == []


def test_removals_are_none_of_ours() -> None:
    assert list(handoffs(event(eventName="ObjectRemoved:Delete"))) == []


def test_the_test_event_of_s3_has_no_handoffs() -> None:
    assert list(handoffs(json.loads((EVENTS / "s3-test-event.json").read_text()))) == []


def test_an_event_may_have_several_records() -> None:
    both = {"Records": event()["Records"] + event(object={"key": "intent-b.json"})["Records"]}
    assert [handoff.key for handoff in handoffs(both)] == ["intent-scale-up-001.json", "intent-b.json"]
