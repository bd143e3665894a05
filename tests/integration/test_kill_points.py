"""The worker is killed before and after every call it makes to AWS; a redelivery finishes the work."""

import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from conductor_loop import pipeline
from conductor_loop.errors import Cause
from conductor_loop.settling import Answer
from tests.factories import BUCKET, World, intent


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class Reaper:
    """Counts the calls of an SDK client, and kills at the one it was told to."""

    at: tuple[str, int] | None = None  # ("before" or "after", number of the call)
    calls: list[str] = field(default_factory=list)
    answers: int = 0

    def watch(self, client: Any) -> None:
        client.meta.events.register("before-call", self._before)
        client.meta.events.register("after-call", self._after)

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


@pytest.fixture
def reaper(world: World) -> Reaper:
    reaper = Reaper()
    reaper.watch(world.bucket.client)
    reaper.watch(world.state._client)  # type: ignore[attr-defined]
    return reaper


WAYS = {  # what is dropped, what porch does, and how it must end
    "succeeds": (intent(), None, "processed"),
    "fails": (intent(), Cause.PORCH_FAILED, "failed"),
    "is rejected": (b"not JSON", None, "failed"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_redelivery_finishes_what_a_kill_at_any_point_left(
    world: World, reaper: Reaper, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body, cause, folder = WAYS[way]
    world.porch.script = [cause]
    total = _calls_of_a_clean_run(world, reaper, body)
    points = [(when, number) for number in range(1, total + 1) for when in ("before", "after")]
    for index, point in enumerate(points):
        _kill_and_redeliver(world, reaper, (f"intent-{index}.json", body), point)
        _assert_answered_once(world, f"intent-{index}.json", body, folder)
    with capsys.disabled():
        sys.stdout.write(f"\n  {way}: {len(points)} kill points, ")


def _calls_of_a_clean_run(world: World, reaper: Reaper, body: bytes) -> int:
    handoff = world.drop("intent-clean.json", body)
    reaper.reset()
    assert pipeline.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    return len(reaper.calls)


def _kill_and_redeliver(world: World, reaper: Reaper, dropped: tuple[str, bytes], point: tuple[str, int]) -> None:
    handoff = world.drop(*dropped)
    reaper.reset(point)
    with pytest.raises(Killed):
        pipeline.answer(world.app, handoff, world.deadline)
    package = _package_once_decided(world, handoff)
    pipeline.answer(world.app, handoff, world.deadline)  # waits for the lease of the dead worker to run out
    assert package is None or _package(world, handoff.key) == package
    assert pipeline.answer(world.app, handoff, world.deadline) is Answer.DUPLICATE


def _assert_answered_once(world: World, file: str, body: bytes, folder: str) -> None:
    assert file not in world.listing()
    assert world.bucket.get(BUCKET, f"{folder}/{file}") == body
    status = world.status(file)
    assert status["intent_file"] == file
    files = [key for key in world.listing() if key.startswith(status.get("package", {}).get("prefix", "no package"))]
    assert len(files) == len(status.get("package", {}).get("files", []))
    prefixes = {key.rpartition("/")[0] for key in world.listing() if key.startswith("packages/")}
    successes = [key for key in world.listing() if key.startswith("processed/")]
    assert len(prefixes) == len(successes), "one package for each success, none left over"


def _package_once_decided(world: World, handoff: Any) -> dict[str, bytes] | None:
    row = world.state.find([handoff]).get(handoff)
    if row is None or row.outcome is None:
        return None
    prefix = row.outcome.status.get("package", {}).get("prefix")
    return _below(world, prefix) if prefix else {}


def _package(world: World, file: str) -> dict[str, bytes]:
    prefix = world.status(file).get("package", {}).get("prefix")
    return _below(world, prefix) if prefix else {}


def _below(world: World, prefix: str) -> dict[str, bytes]:
    return {key: world.bucket.get(BUCKET, key) for key in world.listing() if key.startswith(prefix)}
