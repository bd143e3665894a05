"""Where the inputs of several versions of one name are kept: on memory and on moto alike, through the pipeline."""

import pytest

from conductor_loop.app import Message
from conductor_loop.intents import admit
from conductor_loop.intents.outcome import Answer
from conductor_loop.storage import bucket
from tests.factories import BUCKET, World


@pytest.fixture(params=["memory", "aws"])
def parts(request: pytest.FixtureRequest) -> World:
    chosen: World = World() if request.param == "memory" else request.getfixturevalue("world")
    return chosen


def kept(parts: World) -> set[str]:
    return {key for key in parts.bucket.keys(BUCKET) if key.startswith(("processed/", "failed/"))}


def test_an_input_that_succeeds_after_a_newer_one_failed_is_kept_beside_it_alone(parts: World) -> None:
    parts.configure(priority_queues=True)
    old = parts.drop()
    assert admit.answer(parts.app, old, parts.deadline) is Answer.QUEUED
    new = parts.drop(body=b"not JSON")
    assert admit.answer(parts.app, new, parts.deadline) is Answer.SETTLED
    assert admit.work(parts.app, Message(old), parts.deadline) is Answer.SETTLED
    assert kept(parts) == {"failed/intent-a.json", f"processed/intent-a.json@{old.version_id}"}


def test_an_input_too_large_for_one_copy_replaces_no_newer_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "_COPY_LIMIT", 1)  # such a copy knows no condition
    old, new = world.drop(body=b"older"), world.drop(body=b"newer")
    for handoff in (new, old):
        assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.bucket.get(BUCKET, "failed/intent-a.json") == b"newer"
    assert world.bucket.get(BUCKET, f"failed/intent-a.json@{old.version_id}") == b"older"
