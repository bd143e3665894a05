"""What happens when something else than porch fails, and what an attempt leaves that came to nothing."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Never, cast

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit, outcome
from conductor_loop.intents.attempt import LATEST_WRITE_SECONDS
from conductor_loop.intents.model import Conflict, Deferred, Phase, Write
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import sweep, take_turn
from conductor_loop.storage.rows import number
from tests.factories import World, intent
from tests.writes import instead, is_claim, is_decision, is_retry


class Killed(BaseException):
    """The process is gone."""


def _die(*_: Any) -> Never:
    raise Killed


def _slow_down(*_: Any) -> Never:
    raise OSError("503 Slow Down")


@pytest.fixture
def world() -> World:
    return World()


def _killed_before_deciding(world: World, handoff: Handoff) -> None:
    with instead(world, is_decision, _die), pytest.raises(Killed):
        admit.answer(world.app, handoff, world.deadline)
    world.clock.wait(120)


def _packages(world: World) -> list[str]:
    return [key for key in world.listing() if key.startswith("packages/")]


def _clean_up(world: World) -> None:
    world.clock.wait(LATEST_WRITE_SECONDS)
    assert take_turn(world.app, world.deadline) is not None


def test_a_service_that_is_down_costs_no_attempt(world: World) -> None:
    handoff = world.drop()
    publish, world.bucket.publish = world.bucket.publish, _slow_down
    for _ in range(20):
        with pytest.raises(OSError, match="Slow Down"):
            admit.answer(world.app, handoff, world.deadline)
    row = world.row(handoff)
    assert (row.phase, row.attempt, row.due_at <= world.clock()) == (Phase.RETRYING, 0, True)
    world.bucket.publish = publish
    admit.answer(world.app, handoff, world.deadline)
    assert (world.status()["status"], world.status()["attempt"]) == ("success", 1)


def test_a_defect_of_our_own_costs_an_attempt_and_ends_in_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise KeyError("package")

    monkeypatch.setattr(outcome, "succeeded", defect)
    handoff = world.drop()
    for _ in range(20):
        with suppress(KeyError):
            admit.answer(world.app, handoff, world.deadline)
    attempts = world.app.config.retry.attempts + 1
    assert len(world.porch.requests) == attempts
    assert world.status()["message"].startswith(f"Failed to process intent: none of {attempts} attempts reported")


def test_a_claim_that_cannot_be_given_back_runs_out_by_itself(world: World) -> None:
    handoff = world.drop()
    publish, world.bucket.publish = world.bucket.publish, _slow_down
    with instead(world, is_retry, _slow_down), pytest.raises(OSError, match="Slow Down"):
        admit.answer(world.app, handoff, world.deadline)
    world.bucket.publish = publish
    world.clock.wait(120)
    admit.answer(world.app, handoff, world.deadline)
    assert (world.status()["status"], world.status()["attempt"]) == ("success", 2)


@pytest.mark.parametrize("end", ["fails", "is overwritten", "never comes to an end"])
def test_an_intent_that_does_not_succeed_leaves_no_package(world: World, end: str) -> None:
    world.porch.script = [None, Cause.DEPLOYMENT_NOT_FOUND]
    handoff = world.drop()
    _killed_before_deciding(world, handoff)
    assert _packages(world), "the attempt that died has published"
    if end == "is overwritten":
        world.drop(body=intent(target="another"))
    if end == "never comes to an end":
        world.configure(retry=replace(world.config.retry, attempts=0))
    admit.answer(world.app, handoff, world.deadline)
    assert world.row(handoff).phase in {Phase.FAILED, Phase.SKIPPED}
    _clean_up(world)
    assert _packages(world) == []


def test_a_package_that_was_decided_stays_although_its_targets_row_was_reset_after_an_earlier_attempt(
    world: World,
) -> None:
    handoff = world.drop()
    with instead(world, is_claim, lambda write: world.state.write(write) or _die()), pytest.raises(Killed):
        admit.answer(world.app, handoff, world.deadline)
    assert world.row(handoff).packages == (0,), "reserved, and nothing is published"
    world.state.lose("target")  # type: ignore[attr-defined]
    world.clock.wait(120)
    admit.answer(world.app, handoff, world.deadline)
    package = world.status()["package"]
    _clean_up(world)
    assert _packages(world) == [package["prefix"] + path for path in package["files"]]


def test_what_others_have_published_stays(world: World) -> None:
    admit.answer(world.app, world.drop("intent-first.json"), world.deadline)
    before = _packages(world)
    world.porch.script = [None, None, Cause.DEPLOYMENT_NOT_FOUND]
    handoff = world.drop("intent-second.json")
    _killed_before_deciding(world, handoff)
    assert len(_packages(world)) > len(before)
    admit.answer(world.app, handoff, world.deadline)
    _clean_up(world)
    assert _packages(world) == before


def test_files_of_a_dead_attempt_are_no_part_of_the_next_intents_package(world: World) -> None:
    dead, run = world.drop("intent-dead.json"), world.porch

    def with_a_note(request: Any) -> Any:
        result = run(request)
        note = {f"note-{request.file}": b"of this intent only"}
        return replace(result, package=replace(result.package, files={**result.package.files, **note}))

    app = replace(world.app, run_porch=with_a_note)
    with instead(world, is_decision, _die), pytest.raises(Killed):
        admit.answer(app, dead, world.deadline)
    world.clock.wait(120)
    admit.answer(app, world.drop("intent-next.json"), world.deadline)
    package = world.status("intent-next.json")["package"]
    there = [key.removeprefix(package["prefix"]) for key in _packages(world) if key.startswith(package["prefix"])]
    assert there == sorted(package["files"])


def test_an_attempt_begins_only_with_time_for_porch(world: World) -> None:
    assert admit.answer(world.app, world.drop(), world.clock() + 12) is Answer.QUEUED
    assert world.porch.requests == []


def test_an_intent_that_the_sweeper_found_skips_no_other_of_its_second(world: World) -> None:
    world.configure(priority_queues=True)
    older, newer = world.drop("intent-a.json", intent(replicas=1)), world.drop("intent-b.json", intent(replicas=9))
    world.clock.wait(1e10)
    sweep(world.app, None, world.deadline)
    swept = next(message for _, message in world.queues.waiting if message.handoff.key == older.key)
    newer = replace(newer, event_time=f"{swept.handoff.event_time[:19]}.600Z")
    admit.work(world.app, swept, world.deadline)
    admit.work(world.app, replace(swept, handoff=newer), world.deadline)
    assert world.status("intent-b.json")["status"] == "success"


def test_an_intent_that_waited_too_long_for_a_slot_has_claimed_nothing(world: World) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    (_, message), *_ = world.queues.waiting

    def late(_: bool) -> Any:
        world.clock.wait(76)
        return world.app.slot(False)

    app = replace(world.app, slot=late)
    assert isinstance(admit.work(app, message, world.deadline), Deferred)
    assert (world.row(handoff).phase, world.row(handoff).attempt, world.porch.requests) == (Phase.QUEUED, 0, [])


def test_a_claim_that_took_so_long_that_porch_would_not_get_its_time_is_given_back(world: World) -> None:
    handoff = world.drop("intent-short.json", intent(timeout="5s"))

    def slowly(write: Write) -> Conflict | None:
        world.clock.wait(6)
        return world.state.write(write)

    with instead(world, is_claim, slowly):
        assert admit.answer(world.app, handoff, world.deadline) is Answer.QUEUED
    assert (world.row(handoff).attempt, world.porch.requests) == (0, [])


def test_an_intent_whose_worker_died_runs_exclusively(world: World) -> None:
    handoff, asked = world.drop(), []

    def slot(exclusive: bool) -> Any:
        asked.append(exclusive)
        return world.app.slot(exclusive)

    _killed_before_deciding(world, handoff)
    admit.answer(replace(world.app, slot=slot), handoff, world.deadline)
    admit.answer(replace(world.app, slot=slot), world.drop("intent-other.json"), world.deadline)
    assert asked == [False, True, False], "the first time it is not known yet"


def test_a_number_that_is_taken_costs_no_attempt_also_while_packages_cannot_be_listed(world: World) -> None:
    admit.answer(world.app, world.drop("intent-first.json"), world.deadline)
    handoff, items = world.drop(), cast("Any", world.state).items
    items.update({key: {**row, "number": number(0)} for key, row in items.items() if key.kind == "target"})  # of before
    listing, world.bucket.next_number = world.bucket.next_number, _slow_down
    admit.answer(world.app, handoff, world.deadline)
    for _ in range(2):
        world.clock.wait(1)
        world.work()
    world.bucket.next_number = listing
    world.drain()
    status = world.status()
    assert (status["status"], status["attempt"], status["package"]["prefix"][-5:]) == ("success", 1, ".0.1/")
