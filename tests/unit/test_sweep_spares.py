"""What has a message, or a worker, is left alone by the sweeper: nothing is amplified."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Row
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import sweep, take_turn
from tests.factories import World, intent
from tests.unit.test_sweep import arrive, decided_and_left, later, raising

DAY = 86_400.0


@pytest.fixture
def world() -> World:
    world = World()
    world.configure(priority_queues=True, critical_principals=("AWS:oncall-*",))
    return world


def test_a_backlog_is_not_amplified(world: World) -> None:
    for number in range(300):
        arrive(world, world.drop(f"intent-{number}.json", intent(target=f"t-{number}")))
    for _ in range(60):
        world.clock.wait(60)
        assert sweep(world.app, None, world.deadline).redelivered == 0
    assert len(world.queues.waiting) == 300


def test_a_lease_that_ran_out_is_handed_over_once_and_ever_more_rarely(world: World) -> None:
    def die() -> None:
        world.porch.on_run = lambda: None
        raise SystemExit

    world.porch.on_run = die
    arrive(world, world.drop())
    message = world.queues.waiting.pop()[1]
    with pytest.raises(SystemExit):
        admit.work(world.app, message, world.deadline)
    for _ in range(10):
        world.clock.wait(60)
        sweep(world.app, None, world.deadline)
    assert len(world.queues.waiting) == 1
    world.work()
    assert (world.status()["status"], world.status()["attempt"]) == ("success", 2)


def test_an_event_that_comes_after_a_sweep_is_queued_by_its_own_priority(world: World) -> None:
    """Lambda keeps a throttled event for up to six hours."""
    handoff = world.drop(body=intent(priority="high"))
    later(world)
    sweep(world.app, None, world.deadline)
    assert arrive(world, handoff) is Answer.QUEUED
    assert [message.priority for _, message in world.queues.waiting] == ["normal", "high"]
    world.drain()
    assert (len(world.porch.requests), world.status()["status"]) == (1, "success")


def test_an_event_costs_no_read_of_its_row(world: World) -> None:
    handoff = world.drop()
    world.state.find = world.state.read = raising  # type: ignore[method-assign, assignment]
    assert arrive(world, handoff) is Answer.QUEUED


def test_a_late_event_of_what_is_decided_settles_it(world: World) -> None:
    handoff = decided_and_left(world)
    later(world)
    assert arrive(world, handoff) is Answer.SETTLED
    assert "intent-a.json" not in world.listing()


def test_a_late_event_of_a_critical_intent_is_processed_at_once(world: World) -> None:
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:oncall-7")
    later(world)
    sweep(world.app, None, world.deadline)
    assert arrive(world, handoff) is Answer.SETTLED


def test_an_intent_that_waits_for_its_next_attempt_behind_a_backlog_gets_no_second_message(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR]
    arrive(world, world.drop())
    world.work()
    for _ in range(60):
        later(world, 60)
        assert sweep(world.app, None, world.deadline).redelivered == 0
    assert len(world.queues.waiting) == 1


def test_sweeps_that_come_together_send_a_message_more_and_run_porch_once(world: World) -> None:
    world.drop()
    later(world)
    read = world.state.read

    def meanwhile(handoffs: Iterable[Handoff]) -> dict[Handoff, Row | Unreadable]:
        asked = list(handoffs)
        found = read(asked)
        if asked:  # by the sweep; else it looks for what to clean up
            world.state.read = read  # type: ignore[method-assign]
            take_turn(world.app, world.deadline)
        return found

    world.state.read = meanwhile  # type: ignore[method-assign]
    take_turn(world.app, world.deadline)
    assert len(world.queues.waiting) == 2
    world.drain()
    assert (len(world.porch.requests), world.status()["status"]) == (1, "success")


@pytest.mark.parametrize("priority", ["critical", "high", "low"])
def test_the_status_says_that_what_the_sweeper_found_was_treated_as_normal(world: World, priority: str) -> None:
    world.drop(body=intent(priority=priority))
    later(world)
    sweep(world.app, None, world.deadline)
    world.work()
    assert world.status()["message"].endswith(f"(found by the sweeper: priority {priority} treated as normal)")


def test_the_status_of_a_normal_intent_says_nothing_of_the_sweeper(world: World) -> None:
    world.drop()
    later(world)
    sweep(world.app, None, world.deadline)
    world.work()
    assert "sweeper" not in world.status()["message"]


def retried(world: World) -> Handoff:
    world.porch.script = [Cause.NETWORK_ERROR]
    handoff = world.drop()
    arrive(world, handoff)
    world.work()
    return handoff


def died(world: World) -> Handoff:
    handoff = world.drop()
    world.porch.on_run = raising
    arrive(world, handoff)
    with pytest.raises(SystemExit):
        world.work()
    return handoff


def queued(world: World) -> Handoff:
    handoff = world.drop()
    arrive(world, handoff)
    return handoff


def swept(world: World) -> Handoff:
    handoff = world.drop()
    later(world)
    sweep(world.app, None, world.deadline)
    return handoff


def failed_inline(world: World) -> Handoff:
    """Leave it due again, and the worker dead before it has sent a message."""
    world.porch.script = [Cause.NETWORK_ERROR]
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:oncall-7")
    send, world.queues.send = world.queues.send, raising  # type: ignore[method-assign, assignment]
    with pytest.raises(SystemExit):
        arrive(world, handoff)
    world.queues.send = send  # type: ignore[method-assign]
    return handoff


@pytest.mark.parametrize(
    ("before", "seconds"),  # for how long it is left alone, from when it is due
    [
        (queued, 14 * DAY),
        (swept, 14 * DAY),
        (died, 60),
        (retried, 14 * DAY),
        (failed_inline, 60),
        (decided_and_left, 60),
    ],
)
def test_what_may_still_be_delivered_is_left_alone_for_a_while(
    world: World, before: Callable[[World], Handoff], seconds: float
) -> None:
    handoff = before(world)
    row = world.row(handoff)
    due_at = row.due_at or world.clock()
    assert row.reconcile_at == pytest.approx(due_at + seconds, abs=1)
    world.clock.now = row.reconcile_at
    sweep(world.app, None, world.deadline)
    assert world.row(handoff) == row
    later(world, 1)
    sweep(world.app, None, world.deadline)
    assert world.row(handoff) != row
