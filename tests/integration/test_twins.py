"""Histories played on both adapters at once: what is shown of those in memory is true of the real ones, too."""

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from conductor_loop.audit.entries import change
from conductor_loop.storage.state import DynamoDBStateTable
from tests.explorer.play import Play, Step
from tests.explorer.scenes import SCENES
from tests.explorer.search import check_ending
from tests.integration.conftest import TABLE, MotoBucket, conditional
from tests.integration.streaming import Stream
from tests.integration.twins import TwinBucket, TwinState
from tests.schedules import Schedule

_READABLE = [name for name in SCENES if "corrupt" not in name]  # see test_unreadable
_FEW = (
    "alone and its correlation id is used",
    "alone with the message of a second attempt",
    "alone inline with a table that is older than the bucket",
    "alone behind a worker that is late and a newer intent",
    "alone a sweep of a decision without its effects",
    "alone a sweep of a withdrawn intent whose message is lost",
    "two intents for one target in one second",
    "two versions of one name and the newer was refused before",
    "two versions of one second and the newer is refused after its event is lost",
    "a sweep beside a late event",
)
_HISTORIES = 40


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the failures that scenes consist of out of the log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def bound(aws: boto3.session.Session, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Give what makes the parts of a world twins, and moto's clock that world's."""

    def bind(world: Any) -> Any:
        ticks = itertools.count()  # of a microsecond: no two versions have the same time

        def utcnow() -> datetime:
            return datetime.fromtimestamp(world.now + next(ticks) / 1e6, UTC).replace(tzinfo=None)

        monkeypatch.setattr("moto.s3.models.utcnow", utcnow)
        table = DynamoDBStateTable(aws.client("dynamodb"), TABLE, keep_seconds=3600, jitter=lambda: 0.0)
        world.bucket = TwinBucket(world.bucket, MotoBucket(conditional(aws.client("s3"))))
        world.state = TwinState(world.state, table, aws.client("dynamodb"))
        world.stream = stream
        return world

    return bind


def assert_equal(world: Any) -> None:
    assert not world.bucket.differences, world.bucket.differences[0]
    assert not world.state.differences, world.state.differences[0]
    mine, theirs = world.bucket.objects_of_both()
    assert mine == theirs
    changes = [change(one["OldImage"], one["NewImage"]) for one in world.state.written]
    assert world.stream.changes() == [one for one in changes if one is not None], "what their rows say"


def played(bound: Callable[[Any], Any], name: str, path: list[Step]) -> tuple[Play, list[Step]]:
    """Play a scene along a path and on, with nothing going wrong."""
    play, path = SCENES[name](lambda: bound(Play())), [*path]
    for step in path:
        play.take(step)
    while (step := play.options()[0] if play.options() else Step("pause")).kind == "go":
        play.take(step)
        path.append(step)
    check_ending(play, path, redelivers=True)
    return play, path


@pytest.mark.parametrize("name", _FEW)
def test_both_answer_each_call_alike(bound: Callable[[Any], Any], name: str) -> None:
    play, _ = played(bound, name, [])
    assert_equal(play)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in _READABLE if name not in _FEW])
def test_both_answer_each_call_alike_in_the_other_scenes(bound: Callable[[Any], Any], name: str) -> None:
    play, _ = played(bound, name, [])
    assert_equal(play)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(_HISTORIES))
def test_both_answer_each_call_of_a_random_history_alike(bound: Callable[[Any], Any], seed: int) -> None:
    world = bound(Schedule(seed, Counter()))
    world.run()
    assert_equal(world)
