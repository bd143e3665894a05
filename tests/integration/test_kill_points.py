"""The worker is killed before and after every call it makes to AWS; redeliveries and sweeps finish the work."""

import itertools
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from conductor_loop import pipeline
from conductor_loop.aws.ratelimits import RateLimits
from conductor_loop.errors import Cause
from tests.factories import BUCKET, World
from tests.integration.beginnings import (
    answer_another,
    its_row_makes_no_sense,
    its_targets_row_makes_no_sense,
    its_worker_is_late,
    its_worker_is_late_and_another_applied,
)
from tests.integration.conftest import TABLE, MotoBucket, conditional, time_passes
from tests.integration.playing import Killed, MotoQueues, Path, Play, WatchedTable, counted


@dataclass
class Reaper:
    """Counts the calls of SDK clients, and kills at the one it was told to."""

    at: tuple[str, int] | None = None  # ("before" or "after", number of the call)
    calls: list[str] = field(default_factory=list)
    answers: int = 0

    def watch(self, client: Any) -> Any:
        client.meta.events.register("before-call", self._before)
        client.meta.events.register("after-call", self._after)
        return client

    def _before(self, model: Any, **_: Any) -> None:
        self.calls.append(model.name)
        self._maybe("before", len(self.calls))

    def _after(self, **_: Any) -> None:
        self.answers += 1  # a package's files are uploaded side by side: answers come in an order of their own
        self._maybe("after", self.answers)

    def _maybe(self, when: str, number: int) -> None:
        if self.at == (when, number):
            self.at = None
            raise Killed

    def reset(self, at: tuple[str, int] | None = None) -> None:
        self.calls.clear()
        self.answers = 0
        self.at = at


class QuietQueues(MotoQueues):
    """Sends by a client that is watched, and receives by another: taking messages is not the worker's call."""

    def __init__(self, watched: Any, client: Any, url: str) -> None:
        super().__init__(watched, url)
        self._mine = client


class QuietBucket(MotoBucket):
    """Looks by a client of its own: the test's calls are not the worker's."""

    def __init__(self, watched: Any, client: Any) -> None:
        super().__init__(watched)
        self.client = client


@pytest.fixture
def reaper() -> Reaper:
    return Reaper()


@pytest.fixture
def world(aws: boto3.session.Session, reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> World:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="normal")["QueueUrl"]
    queues: Any = QuietQueues(reaper.watch(aws.client("sqs")), sqs, url)
    dynamodb = reaper.watch(aws.client("dynamodb"))
    world = World(
        bucket=QuietBucket(reaper.watch(conditional(aws.client("s3"))), aws.client("s3")),
        state=WatchedTable(dynamodb, TABLE, keep_seconds=3600, jitter=lambda: 0.0),
        queues=queues,
        buckets=RateLimits(dynamodb, TABLE),
    )
    time_passes(monkeypatch, world)
    return world


def decided_and_left(play: Play) -> None:
    """Leave the intent decided, and its answer untold."""
    play.world.configure(priority_queues=False)

    def refuse(*_: object, **__: object) -> None:
        raise Killed

    bucket: Any = play.world.bucket
    bucket.put_status = refuse
    with pytest.raises(Killed):
        pipeline.answer(play.world.app, play.handoff, play.world.deadline)
    del bucket.put_status
    play.world.configure(priority_queues=play.path.queued)
    play.world.clock.wait(120)


def a_newer_one_applied(play: Play) -> None:
    answer_another(play, target=f"target-{play.number}-shared")


def its_correlation_id_used(play: Play) -> None:
    answer_another(play, correlation_id=f"c-{play.number}")


def queued_and_withdrawn(play: Play) -> None:
    """Leave the intent in its queue, and its file removed."""
    pipeline.answer(play.world.app, play.handoff, play.world.deadline)
    play._receive()
    play.world.bucket.withdraw(play.file)


def dead_lettered_and_withdrawn(play: Play) -> None:
    """Leave a row that says queued, no message, and the file removed."""
    queued_and_withdrawn(play)
    play.messages.clear()


def retried_and_withdrawn(play: Play) -> None:
    """Leave the intent after an attempt that failed, its file removed, and the message of its retry waiting."""
    pipeline.answer(play.world.app, play.handoff, play.world.deadline)
    play._receive()
    (message,) = play.messages
    play._work(message)
    bucket: Any = play.world.bucket
    bucket.client.delete_object(Bucket=BUCKET, Key=play.file)


PATHS = {
    "inline": Path("success", queued=False),
    "inline, fails": Path("failed", "failed", queued=False, script=(Cause.PORCH_FAILED,)),
    "inline, retried": Path("success", queued=False, script=(Cause.NETWORK_ERROR, None)),
    "queued": Path("success"),
    "queued, retried": Path("success", script=(Cause.NETWORK_ERROR, None)),
    "queued, fails": Path("failed", "failed", script=(Cause.PORCH_FAILED,)),
    "swept: lost event": Path("success", event=False),
    "swept: decided, not settled": Path("success", event=False, before=decided_and_left),
    "withdrawn": Path("skipped", script=(Cause.NETWORK_ERROR,), event=False, before=retried_and_withdrawn),
    "withdrawn before any attempt": Path("skipped", event=False, before=queued_and_withdrawn),
    "withdrawn, without a message": Path("skipped", event=False, before=dead_lettered_and_withdrawn),
    "critical, retried by high": Path("success", script=(Cause.NETWORK_ERROR, None), fields={"priority": "critical"}),
    "unreadable row": Path("success", queued=False, before=its_row_makes_no_sense),
    "unreadable row, swept": Path("success", event=False, before=its_row_makes_no_sense),
    "unreadable row of the target": Path("success", queued=False, before=its_targets_row_makes_no_sense),
    "late worker": Path("success", queued=False, before=its_worker_is_late),
    "late worker, superseded": Path(
        "skipped", before=its_worker_is_late_and_another_applied, fields={"target": "target-{}-shared"}
    ),
    "rejected": Path("failed", "failed", body=b"not JSON"),
    "superseded": Path("skipped", before=a_newer_one_applied, fields={"target": "target-{}-shared"}),
    "duplicate correlation id": Path(
        "failed", "failed", before=its_correlation_id_used, fields={"correlation_id": "c-{}"}
    ),
}


CASES = [(way, again) for way in PATHS for again in (True, False) if PATHS[way].event or not again]


@pytest.mark.parametrize(
    ("way", "redelivers"), CASES, ids=[f"{way}-{'redelivered' if again else 'only swept'}" for way, again in CASES]
)
def test_whatever_a_kill_leaves_is_finished_and_answered_once(
    world: World, reaper: Reaper, way: str, redelivers: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path, numbers = PATHS[way], itertools.count(1)
    plays = [play(reaper, Play(world, path, next(numbers)), None)]
    points = [(when, number) for number in range(1, len(reaper.calls) + 1) for when in ("before", "after")]
    plays += [play(reaper, Play(world, path, next(numbers), redelivers=redelivers), at) for at in points]
    told = Counter({path.ends: len(plays)}) + Counter(success=sum(one.others for one in plays))
    assert counted(_dynamodb(world), TABLE) == told
    with capsys.disabled():
        sys.stdout.write(f"\n  {way}: {len(points)} kill points, ")


def play(reaper: Reaper, one: Play, at: tuple[str, int] | None) -> Play:
    reaper.reset()
    one.prepare()
    reaper.reset(at)
    one.finish()
    assert reaper.at is None, f"never got to {at}"
    calls = list(reaper.calls)
    one.check()
    reaper.calls[:] = calls
    return one


def _dynamodb(world: World) -> Any:
    table: Any = world.state
    return table._client
