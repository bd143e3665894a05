"""One set of promises, kept by the adapters on moto and by the in-memory ones alike."""

from dataclasses import replace
from typing import Any

import boto3
import pytest

from conductor_loop.errors import Gone, Overtaken
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Row, State, Target
from tests.factories import BUCKET, World

NOW = 1_800_000_000.0
HANDOFF = Handoff(BUCKET, "intent-a.json", "v1", event_time="2026-11-23T03:00:00.000Z", sequencer="0A")
CLAIM = Claim(HANDOFF, "ns/name", owner="me", attempt=1, lease_until=NOW + 30)
OUTCOME = Outcome(State.SUCCEEDED, {"status": "success", "message": "ü"}, "processed")


@pytest.fixture(params=["memory", "aws"])
def parts(request: pytest.FixtureRequest) -> World:
    chosen: World = World() if request.param == "memory" else request.getfixturevalue("world")
    return chosen


def test_a_claim_holds_the_handoff_and_its_target(parts: World) -> None:
    assert parts.state.claim(CLAIM, NOW) is None
    rival = replace(CLAIM, owner="rival")
    refusal = parts.state.claim(rival, NOW + 1)
    assert refusal is not None
    assert refusal.row == Row(State.PROCESSING, 1, "me", NOW + 30)
    assert refusal.target == Target(lease_owner="me", lease_until=NOW + 30)


def test_another_handoff_cannot_claim_a_held_target(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="rival")
    refusal = parts.state.claim(other, NOW + 1)
    assert refusal is not None
    assert refusal.row is None
    assert parts.state.find(other.handoff) is None


def test_a_lease_that_ran_out_can_be_taken_over_as_it_was_seen_once(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    seen = parts.state.find(HANDOFF)
    heir = replace(CLAIM, owner="heir", attempt=2, lease_until=NOW + 90)
    assert parts.state.claim(heir, NOW + 31, seen) is None
    assert parts.state.claim(replace(heir, owner="late"), NOW + 31, seen) is not None


def test_only_the_claim_in_force_decides(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    heir = replace(CLAIM, owner="heir", attempt=2, lease_until=NOW + 90)
    parts.state.claim(heir, NOW + 31, parts.state.find(HANDOFF))
    assert parts.state.decide(CLAIM, OUTCOME, Applied("v1.0.0", 3), NOW + 32) is not None
    assert parts.state.decide(heir, OUTCOME, Applied("v1.0.0", 3), NOW + 33) is None
    again = parts.state.decide(heir, OUTCOME, Applied("v9.9.9", 9), NOW + 34)
    assert again is not None
    assert again.row is not None
    assert again.row.outcome == OUTCOME
    assert parts.state.target("ns/name").version == "v1.0.0"


def test_a_decision_frees_the_target_and_records_what_was_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, Applied("v1.0.0", 3), NOW + 1)
    target = parts.state.target("ns/name")
    assert (target.lease_owner, target.version, target.replicas, target.last_file) == ("", "v1.0.0", 3, "intent-a.json")


def test_a_failure_frees_the_target_and_leaves_what_was_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, replace(OUTCOME, state=State.FAILED), None, NOW + 1)
    assert parts.state.target("ns/name") == Target()


def test_a_package_without_a_version_is_remembered_as_that(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, Applied(None, 3), NOW + 1)
    assert parts.state.target("ns/name").version is None


def test_an_older_order_is_refused_once_a_newer_one_is_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, Applied("v1.0.0", 3), NOW + 1)
    older = replace(HANDOFF, key="intent-b.json", event_time="2026-11-23T02:59:59.000Z")
    refusal = parts.state.claim(replace(CLAIM, handoff=older), NOW + 2)
    assert refusal is not None
    assert refusal.target is not None
    assert refusal.target.last_file == "intent-a.json"


def test_a_decision_without_a_claim_is_made_once(parts: World) -> None:
    assert parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW) is None
    refusal = parts.state.decide_unclaimed(HANDOFF, replace(OUTCOME, state=State.FAILED), NOW)
    assert refusal is not None
    assert refusal.row is not None
    assert refusal.row.outcome == OUTCOME


def test_a_row_knows_when_it_is_settled(parts: World) -> None:
    parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW)
    parts.state.mark_settled(HANDOFF, NOW)
    row = parts.state.find(HANDOFF)
    assert row is not None
    assert row.settled


def test_exactly_the_version_is_read(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    assert parts.bucket.read(old, 100)[1] == b"old"


def test_more_bytes_than_asked_for_are_not_read(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"12345")
    known, body = parts.bucket.read(handoff, 4)
    assert (known.size, body) == (5, None)


def test_a_version_that_is_gone_is_told_apart(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"{}")
    parts.bucket.remove(handoff)
    with pytest.raises(Gone):
        parts.bucket.read(handoff, 100)
    with pytest.raises(Gone):
        parts.bucket.archive(handoff, "failed/intent-a.json")


def test_a_package_file_is_never_overwritten_unseen(parts: World) -> None:
    parts.bucket.publish(HANDOFF, {"packages/x": b"1"}, {})
    with pytest.raises(Overtaken):
        parts.bucket.publish(HANDOFF, {"packages/x": b"2"}, {})
    assert parts.bucket.get(BUCKET, "packages/x") == b"1"


def test_what_an_earlier_attempt_left_is_replaced_as_seen(parts: World) -> None:
    parts.bucket.publish(HANDOFF, {"packages/x": b"1"}, {})
    seen = parts.bucket.leftovers(HANDOFF, "packages/")
    parts.bucket.publish(HANDOFF, {"packages/x": b"2"}, seen)
    with pytest.raises(Overtaken):
        parts.bucket.publish(HANDOFF, {"packages/x": b"3"}, seen)
    assert parts.bucket.get(BUCKET, "packages/x") == b"2"


def test_removing_a_version_leaves_the_others(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    parts.bucket.remove(new)
    assert parts.bucket.get(BUCKET, "intent-a.json") == b"old"
    parts.bucket.remove(old)
    assert parts.bucket.keys(BUCKET) == []


def test_an_event_without_a_version_means_the_newest(world: World) -> None:
    newest = world.bucket.drop(BUCKET, "intent-a.json", b"{}")
    known, _ = world.bucket.read(replace(newest, version_id=""), 100)
    assert known.version_id == newest.version_id
    assert known.event_time.endswith("Z")


def test_rows_expire_after_the_time_they_are_kept(world: World, aws: boto3.session.Session) -> None:
    world.state.decide_unclaimed(HANDOFF, OUTCOME, NOW)
    items: list[Any] = aws.client("dynamodb").scan(TableName="state")["Items"]
    assert items[0]["expires_at"] == {"N": str(int(NOW) + 3600)}
