"""What has a message, or somebody at it, is left alone by the sweeper and by late events: nothing is amplified."""

from dataclasses import replace

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Outcome, Row, State
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import is_due, sweep, take_turn
from tests.factories import World, intent
from tests.unit.test_sweep import arrive, decided_and_left, later, raising

DAY = 86_400.0
NOW = 1_800_000_000.0


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


def test_events_that_come_after_a_sweep_make_no_second_message(world: World) -> None:
    """Lambda keeps a throttled event for up to six hours."""
    handoffs = [world.drop(f"intent-{n}.json", intent(target=f"t-{n}")) for n in range(50)]
    later(world)
    sweep(world.app, None, world.deadline)
    assert {arrive(world, handoff) for handoff in handoffs} == {Answer.QUEUED}
    assert len(world.queues.waiting) == 50


def test_a_late_event_of_what_nobody_knows_is_queued(world: World) -> None:
    handoff = world.drop()
    later(world)
    assert arrive(world, handoff) is Answer.QUEUED
    assert len(world.queues.waiting) == 1


def test_an_early_event_costs_no_read(world: World) -> None:
    handoff = world.drop()
    world.state.find = raising  # type: ignore[method-assign, assignment]
    assert arrive(world, handoff) is Answer.QUEUED


def test_an_event_that_the_sweeper_has_made_is_queued(world: World) -> None:
    world.configure(priority_queues=False)
    handoff = world.drop()
    later(world)
    sweep(world.app, None, world.deadline)
    world.configure(priority_queues=True)
    assert arrive(world, handoff) is Answer.QUEUED
    assert len(world.queues.waiting) == 1


def test_a_late_event_of_what_is_decided_settles_it_without_a_message(world: World) -> None:
    handoff = decided_and_left(world)
    later(world)
    assert arrive(world, handoff) is Answer.SETTLED
    assert world.queues.waiting == []
    assert "intent-a.json" not in world.listing()


def test_a_late_event_of_a_message_that_must_be_lost_is_queued(world: World) -> None:
    handoff = world.drop()
    arrive(world, handoff)
    later(world, 15 * DAY)
    arrive(world, handoff)
    assert len(world.queues.waiting) == 2


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


def test_sweeps_that_come_together_send_one_message(world: World) -> None:
    world.drop()
    later(world)
    read = world.state.read
    refused: list[object] = []

    def meanwhile(handoffs: list[Handoff]) -> dict[Handoff, Row]:
        refused.extend(take_turn(world.app, world.deadline) for _ in range(20))
        return read(handoffs)  # type: ignore[return-value]

    world.state.read = meanwhile  # type: ignore[method-assign, assignment]
    assert take_turn(world.app, world.deadline) is not None
    assert set(refused) == {None}
    assert len(world.queues.waiting) == 1


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


DECIDED = Outcome(State.FAILED, {}, "failed")


@pytest.mark.parametrize(
    ("row", "seconds"),  # for how long it is left alone
    [
        (Row(State.QUEUED, since=NOW), 14 * DAY),
        (Row(State.QUEUED, since=NOW, sweeps=3), 14 * DAY),
        (Row(State.ADMITTED, since=NOW), 960),
        (Row(State.ADMITTED, since=NOW, sweeps=2), 900 + 240),
        (Row(State.PROCESSING, held_until=NOW), 60),
        (Row(State.PROCESSING, held_until=NOW, sweeps=3), 480),
        (Row(State.PROCESSING, held_until=NOW, sweeps=30_000), 6 * 3600),
        (Row(State.RETRYING, held_until=NOW), 960),
        (Row(State.RETRYING, held_until=NOW, queued_at=NOW), 14 * DAY),
        (Row(State.RETRYING, held_until=NOW + 100, queued_at=NOW - 14 * DAY), 100 + 960),
        (Row(State.FAILED, outcome=DECIDED, since=NOW), 60),
        (Row(State.FAILED, outcome=DECIDED, since=NOW - DAY, swept_at=NOW, sweeps=2), 240),
    ],
)
def test_whatever_somebody_may_be_at_is_left_alone_for_a_while(world: World, row: Row, seconds: float) -> None:
    assert not is_due(row, NOW + seconds, world.config)
    assert is_due(row, NOW + seconds + 1, world.config)


def test_without_queues_the_next_attempt_has_no_message_to_wait_for(world: World) -> None:
    world.configure(priority_queues=False)
    assert is_due(Row(State.RETRYING, held_until=NOW), NOW + 61, world.config)
