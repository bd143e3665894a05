"""``conductor-loop list``, on moto."""

import json
import time
from dataclasses import replace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from conductor_loop.cli import main
from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from conductor_loop.intents.outcome import Answer
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.integration.sealed import seal


@pytest.fixture(autouse=True)
def stack(world: World, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    stacks["conductor-loop"] = {"HandoffBucket": BUCKET, "StateTable": TABLE}
    world.clock.now = time.time() - 600


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["list", *arguments])


def rows(*arguments: str) -> list[list[str]]:
    """Give state and name of each line."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [[line.split("\t")[1], line.split("\t")[5]] for line in result.stdout.splitlines()]


def answered(world: World, file: str, **fields: Any) -> None:
    admit.answer(world.app, world.drop(file, intent(**fields)), world.deadline)


def test_intents_are_listed_newest_first_including_those_not_yet_received(world: World) -> None:
    answered(world, "intent-a.json")
    answered(world, "intent-b.json", replicas=5000)
    world.drop("intent-c.json")
    world.bucket.drop(BUCKET, "failed/state/intent-b.json.v1.json", b"{}")
    assert rows() == [["received", "intent-c.json"], ["failed", "intent-b.json"], ["success", "intent-a.json"]]


@pytest.mark.long
def test_a_folder_is_a_filter_and_so_is_a_state(world: World) -> None:
    answered(world, "intent-a.json")
    answered(world, "intent-b.json", replicas=5000)
    world.drop("intent-c.json")
    assert rows("--state", "waiting") == [["received", "intent-c.json"]]
    assert rows("--state", "processed") == rows("--state", "succeeded") == [["success", "intent-a.json"]]
    assert rows("--state", "failed") == [["failed", "intent-b.json"]]
    assert rows("--state", "timed_out") == []


@pytest.mark.long
def test_a_file_that_waits_in_a_queue_is_listed_once(world: World) -> None:
    world.configure(priority_queues=True)
    admit.answer(world.app, world.drop(), world.deadline)
    assert rows() == [["queued", "intent-a.json"]]
    assert rows("--state", "received") == [], "it has been received already"


@pytest.mark.long
def test_a_name_that_was_sent_again_has_a_line_for_each(world: World) -> None:
    answered(world, "intent-a.json")
    world.drop("intent-a.json")
    assert rows() == [["received", "intent-a.json"], ["success", "intent-a.json"]]


def test_a_newer_version_is_listed_beside_one_that_waits_for_its_next_attempt(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR]
    world.configure(priority_queues=True)
    admit.answer(world.app, world.drop(), world.deadline)
    world.work()
    world.drop()
    assert rows() == [["received", "intent-a.json"], ["retrying", "intent-a.json"]]


@pytest.mark.long
def test_what_was_answered_and_stays_where_it_is_is_listed_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(monkeypatch)
    key: Any = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    sealed = boto3.client("s3").put_object(Bucket=BUCKET, Key="intent-a.json", Body=intent(), **key)
    handoff = replace(world.drop("intent-b.json"), key="intent-a.json", version_id=sealed["VersionId"])
    assert admit.answer(world.app, handoff, world.deadline) is Answer.LEFT
    assert [row for row in rows() if row[1] == "intent-a.json"] == [["failed", "intent-a.json"]]
    answered(world, "intent-a.json")
    assert [row for row in rows() if row[1] == "intent-a.json"] == [
        ["success", "intent-a.json"],
        ["failed", "intent-a.json"],
    ]


def test_namespace_priority_limit_and_age_are_filters(world: World) -> None:
    answered(world, "intent-a.json", namespace="shop", priority="high")
    answered(world, "intent-b.json", namespace="shop")
    answered(world, "intent-c.json")
    assert [name for _, name in rows("--namespace", "shop")] == ["intent-b.json", "intent-a.json"]
    assert [name for _, name in rows("--priority", "high")] == ["intent-a.json"]
    assert [name for _, name in rows("--limit", "1")] == ["intent-c.json"]
    assert rows("--since", "1s") == []


def test_an_intent_that_waits_for_its_first_attempt_is_found_by_its_namespace(world: World) -> None:
    world.configure(priority_queues=True)
    answered(world, "intent-a.json", namespace="shop", priority="high")
    assert rows("--namespace", "shop") == rows("--priority", "high") == [["queued", "intent-a.json"]]


@pytest.mark.long
def test_programs_get_objects(world: World) -> None:
    answered(world, "intent-a.json")
    (reported,) = json.loads(run("--output", "json").stdout)
    assert reported == {
        "arrived": reported["arrived"],
        "state": "success",
        "priority": "normal",
        "namespace": "oran-sim",
        "attempts": 1,
        "name": "intent-a.json",
    }


def test_an_empty_list_says_where_to_look(world: World) -> None:
    del world
    assert "to look further back: --since 30d" in run().stderr
