"""Sweeps, over in-memory parts: what fell through is found, and nothing is done twice for it."""

from contextlib import suppress
from typing import Never

import pytest

from conductor_loop.catalogue import QUEUES
from conductor_loop.errors import Illegible
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents import admit
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import sweep, take_turn
from tests.factories import World, intent
from tests.writes import claims, instead, is_noted, made


@pytest.fixture
def world() -> World:
    world = World()
    world.configure(priority_queues=True, critical_principals=("AWS:oncall-*",))
    return world


def arrive(world: World, handoff: Handoff) -> Answer:
    return admit.answer(world.app, handoff, world.deadline)


def later(world: World, seconds: float = 1000) -> None:
    world.clock.wait(seconds)


def test_a_lost_event_is_found_by_the_sweeper_and_handed_over_once(world: World) -> None:
    world.drop()
    sweep(world.app, None, world.deadline)
    assert world.queues.waiting == [], "its event may come still"
    later(world)
    for _ in range(5):
        sweep(world.app, None, world.deadline)
    assert len(world.queues.waiting) == 1
    world.work()
    assert world.status()["status"] == "success"


def test_what_is_decided_but_not_settled_is_settled_by_the_sweeper(world: World) -> None:
    decided_and_left(world)
    world.clock.wait(120)
    assert sweep(world.app, None, world.deadline).redelivered == 1
    assert world.work() == [Answer.SETTLED]
    assert "processed/intent-a.json" in world.listing()
    assert "intent-a.json" not in world.listing()


def test_a_stray_is_moved_to_failed_with_e001(world: World) -> None:
    world.drop("readme.txt", b"hello")
    later(world)
    assert sweep(world.app, None, world.deadline).redelivered == 1
    world.work()
    assert world.listing() == ["failed/readme.txt", "status/readme.txt.status"]
    assert world.status("readme.txt")["error_details"]["code"] == "E001"


def test_what_has_no_answer_after_an_hour_is_overdue(world: World) -> None:
    world.drop()
    later(world, 3590)
    assert sweep(world.app, None, world.deadline).overdue == 0
    later(world, 20)
    assert sweep(world.app, None, world.deadline).overdue == 1


def test_the_age_of_the_oldest_intent_without_an_answer_is_measured_by_priority(world: World) -> None:
    world.configure(priority_queues=True, critical_principals=())
    for number, priority in enumerate(("high", "normal", "low", "high")):
        handoff = world.drop(f"intent-{number}.json", intent(priority=priority, target=f"t-{number}"))
        assert admit.answer(world.app, handoff, world.deadline) is Answer.QUEUED
        world.clock.wait(100)
    oldest = sweep(world.app, None, world.deadline).oldest
    assert [round(oldest[one]) for one in QUEUES] == [403, 302, 201]  # known to the second
    world.queues.waiting = world.queues.waiting[:1]
    assert world.work() == [Answer.SETTLED]
    oldest = sweep(world.app, None, world.deadline).oldest
    assert [round(oldest[one]) for one in QUEUES] == [100, 302, 201]


def test_an_intent_that_waits_while_it_is_received_again_and_again_grows_old_all_the_same(world: World) -> None:
    world.configure(priority_queues=True)
    holder = world.drop("intent-b.json", intent(priority="high"))
    admit.answer(world.app, world.drop("intent-a.json", intent(priority="high")), world.deadline)
    claim = claims(holder, name="oran-sim/cnf-simulator", at=world.clock() + 3600)
    made(world, claim)
    for _ in range(200):
        world.clock.wait(5)
        world.work()
    assert sweep(world.app, None, world.deadline).oldest[Priority.HIGH] > 900


def test_an_unread_intent_counts_as_normal(world: World) -> None:
    world.drop()
    world.clock.wait(50)
    assert [round(one) for one in sweep(world.app, None, world.deadline).oldest.values()] == [0, 50, 0]


def test_what_cannot_be_looked_after_is_passed_over(world: World) -> None:
    world.drop("intent-corrupt.json")
    world.drop("intent-lost.json")
    later(world)
    world.state.spoil("intent-corrupt.json", "v1")  # type: ignore[attr-defined]
    world.bucket.set_aside = _denied
    swept = sweep(world.app, None, world.deadline)
    assert (swept.seen, swept.failed, swept.redelivered) == (2, 1, 1)
    assert [message.handoff.key for _, message in world.queues.waiting] == ["intent-lost.json"]


def test_what_cannot_be_noted_has_few_messages_a_sweep(world: World) -> None:
    for number in range(25):
        world.drop(f"intent-{number}.json", intent(target=f"t-{number}"))
    later(world)
    with instead(world, is_noted, _denied):
        swept = [take_turn(world.app, world.deadline) for _ in range(3)]
    assert [one.failed for one in swept] == [10, 10, 5]
    assert [one.seen for one in swept] == [25, 15, 5], "what gets no message is measured all the same"
    assert len(world.queues.waiting) == 25


@pytest.mark.parametrize("error", [PermissionError("denied"), Illegible("archived")])
def test_what_cannot_be_moved_has_a_message_every_six_hours(world: World, error: Exception) -> None:
    decided_and_left(world)

    def refuse(*_: object) -> None:
        raise error

    world.bucket.archive = refuse
    sent = 0
    for _ in range(24 * 60):
        later(world, 60)
        sent += sweep(world.app, None, world.deadline).redelivered
        with suppress(PermissionError):
            world.work()
        world.queues.waiting.clear()
    assert sent == 4
    del world.bucket.archive
    later(world, 6 * 3600 + 60)
    sweep(world.app, None, world.deadline)
    assert world.work() == [Answer.SETTLED]


def test_sweeps_go_on_where_the_last_one_ended_and_begin_again_at_the_end(world: World) -> None:
    for number in range(5):
        world.drop(f"intent-{number}.json", intent(target=f"t-{number}"))
    world.bucket.page = 1
    later(world)
    seen = [swept.seen for _ in range(4) if (swept := take_turn(world.app, world.deadline)) is not None]
    assert seen == [2, 2, 1, 2]
    assert len(world.queues.waiting) == 5


def test_a_sweep_stops_in_time_and_the_next_one_goes_on_there(world: World) -> None:
    for number in range(4):
        world.drop(f"intent-{number}.json", intent(target=f"t-{number}"))
    later(world)
    send = world.queues.send

    def slowly(*given: object) -> None:
        world.clock.wait(20)
        send(*given)  # type: ignore[arg-type]

    world.queues.send = slowly  # type: ignore[method-assign, assignment]
    seen = [swept.seen for _ in range(2) if (swept := take_turn(world.app, world.clock() + 55)) is not None]
    assert seen == [4, 1], "all are measured, and three had a message"
    assert len(world.queues.waiting) == 4


def test_a_sweep_whose_listing_fails_is_followed_by_one_from_the_beginning(world: World) -> None:
    for number in range(5):
        world.drop(f"intent-{number}.json", intent(target=f"t-{number}"))
    world.bucket.page = 1
    later(world)
    take_turn(world.app, world.deadline)
    world.bucket.unsettled = _denied
    with pytest.raises(PermissionError):
        take_turn(world.app, world.deadline)
    del world.bucket.unsettled
    take_turn(world.app, world.deadline)
    assert len(world.queues.waiting) == 2, "the first two again"


def test_what_has_no_message_is_not_noted(world: World) -> None:
    """In the other order, a crash between would leave a row that says queued, and no message."""
    handoff = world.drop()
    later(world)
    world.queues.send = _denied  # type: ignore[method-assign, assignment]
    sweep(world.app, None, world.deadline)
    assert world.state.find([handoff]) == {}


def test_the_message_is_sent_before_it_is_noted(world: World) -> None:
    handoff = world.drop()
    later(world)
    with instead(world, is_noted, _denied):
        sweep(world.app, None, world.deadline)
    assert [message.handoff.version_id for _, message in world.queues.waiting] == [handoff.version_id]


def decided_and_left(world: World) -> Handoff:
    """Leave an intent decided, and its input where it is."""
    handoff = world.drop()
    arrive(world, handoff)
    message = world.queues.waiting.pop()[1]
    world.bucket.archive = raising
    with pytest.raises(SystemExit):
        admit.work(world.app, message, world.deadline)
    del world.bucket.archive
    return handoff


def raising(*_: object) -> None:
    raise SystemExit


def _denied(*_: object) -> Never:
    raise PermissionError("denied")
