"""The queued path, retries, priorities and sweeps, over in-memory parts."""

from dataclasses import replace
from typing import Any

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents import admit
from conductor_loop.intents.model import Phase
from conductor_loop.intents.outcome import Answer
from conductor_loop.retry import Policy
from tests.factories import World, intent


@pytest.fixture
def world() -> World:
    world = World()
    world.configure(priority_queues=True, critical_principals=("AWS:oncall-*",))
    return world


def arrive(world: World, handoff: Handoff) -> Answer:
    return admit.answer(world.app, handoff, world.deadline)


def priorities(world: World) -> list[Priority]:
    return [message.priority for _, message in world.queues.waiting]


def test_an_intent_is_queued_by_its_priority_and_processed_from_there(world: World) -> None:
    for priority in ("low", "normal", "high"):
        file = f"intent-{priority}.json"
        assert arrive(world, world.drop(file, intent(priority=priority, target=priority))) is Answer.QUEUED
    assert priorities(world) == ["low", "normal", "high"]
    assert world.porch.requests == []
    world.drain()
    assert {world.status(f"intent-{one}.json")["status"] for one in ("low", "normal", "high")} == {"success"}


def test_a_critical_intent_overtakes_a_backlog(world: World) -> None:
    for number in range(1000):
        arrive(world, world.drop(f"intent-{number}.json", intent(target=f"t-{number}")))
    critical = replace(
        world.drop("intent-now.json", intent(priority="critical", target="now")), principal="AWS:oncall-7"
    )
    assert arrive(world, critical) is Answer.SETTLED
    assert [request.file for request in world.porch.requests] == ["intent-now.json"]


def test_a_critical_intent_of_others_is_treated_as_normal_and_the_status_says_so(world: World) -> None:
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:stranger")
    assert arrive(world, handoff) is Answer.QUEUED
    assert priorities(world) == ["normal"]
    world.drain()
    assert "critical refused to AWS:stranger: treated as normal" in world.status()["message"]


def test_high_intents_over_the_limit_are_treated_as_normal(world: World) -> None:
    world.configure(high_per_minute=2)
    for number in range(3):
        arrive(world, world.drop(f"intent-{number}.json", intent(priority="high", target=f"t-{number}")))
        world.clock.now -= 1  # at the same moment
    assert priorities(world) == ["high", "high", "normal"]
    world.drain()
    assert "over its rate limit" in world.status("intent-2.json")["message"]


def test_every_attempt_says_how_long_it_took_those_made_again_too(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR, None]
    world.porch.on_run = lambda: world.clock.wait(3)
    arrive(world, world.drop())
    world.drain()
    assert [("next_retry" not in one.outcome.status, one.seconds) for one in world.measured] == [(False, 3), (True, 3)]
    assert ["processing_" in one.counted.samples for one in world.measured] == [False, True], "of decisions only"


def test_a_failure_that_may_pass_is_tried_again_until_it_does(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR, Cause.QUOTA_EXCEEDED, None]
    handoff = world.drop()
    arrive(world, handoff)
    world.work()
    first = world.status()
    assert (first["status"], first["retry_count"], first["error_details"]["code"]) == ("failed", 0, "E014")
    assert first["next_retry"] > first["timestamp"]
    assert world.row(handoff).phase is Phase.RETRYING
    assert "intent-a.json" in world.listing()
    world.drain()
    final = world.status()
    assert (final["status"], final["retry_count"], final["attempt"]) == ("success", 2, 3)
    assert "next_retry" not in final


def test_after_the_last_attempt_the_input_goes_to_failed(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR]
    arrive(world, world.drop())
    world.drain()
    assert len(world.porch.requests) == 4
    assert (world.status()["status"], world.status()["retry_count"]) == ("failed", 3)
    assert "failed/intent-a.json" in world.listing()


def test_after_a_timeout_the_next_attempt_has_twice_the_time(world: World) -> None:
    world.porch.script = [Cause.PROCESSING_TIMEOUT, Cause.PROCESSING_TIMEOUT, None]
    arrive(world, world.drop(body=intent(timeout="10s")))
    world.drain()
    assert [request.timeout_seconds for request in world.porch.requests] == [10, 20, 40]


def test_timeouts_to_the_end_are_a_timeout(world: World) -> None:
    world.porch.script = [Cause.PROCESSING_TIMEOUT]
    arrive(world, world.drop())
    world.drain()
    assert world.status()["status"] == "timeout"


def test_waiting_for_a_target_costs_no_attempt(world: World) -> None:
    first, second = world.drop("intent-a.json"), world.drop("intent-b.json")
    arrive(world, first)
    arrive(world, second)

    def meanwhile() -> None:
        world.porch.on_run = lambda: None
        world.work()  # the second is received while the first runs
        assert len(world.porch.requests) == 1

    world.porch.on_run = meanwhile
    world.drain()
    assert world.status("intent-b.json")["attempt"] == 1


def test_a_pile_for_one_target_costs_one_run_once_the_newest_is_applied(world: World) -> None:
    handoffs = [world.drop(f"intent-{n}.json", intent(replicas=n)) for n in range(20)]
    for handoff in reversed(handoffs):
        arrive(world, handoff)
    world.drain()
    assert len(world.porch.requests) == 1
    assert {world.status(f"intent-{n}.json")["status"] for n in range(19)} == {"skipped"}
    assert "intent-19.json" in world.status("intent-0.json")["message"]


def test_an_overwritten_name_is_skipped_with_its_successor_named(world: World) -> None:
    old, new = world.drop(body=intent(replicas=1)), world.drop(body=intent(replicas=2, target="other"))
    arrive(world, old)
    arrive(world, new)
    world.drain()
    assert len(world.porch.requests) == 1
    assert world.status()["version_id"] == new.version_id
    row = world.row(old)
    assert row.phase is Phase.SKIPPED
    assert row.outcome is not None
    assert f"version {new.version_id}" in row.outcome.status["message"]


def test_a_correlation_id_that_another_file_uses_is_e004(world: World) -> None:
    for file in ("intent-a.json", "intent-b.json"):
        arrive(world, world.drop(file, intent(correlation_id="c-1", target=file[7])))
    world.drain()
    details = world.status("intent-b.json")["error_details"]
    assert details["code"] == "E004"
    assert "intent-a.json" in details["error_message"]


def test_correlation_ids_may_be_shared_if_configured(world: World) -> None:
    world.configure(unique_correlation_ids=False)
    for file in ("intent-a.json", "intent-b.json"):
        arrive(world, world.drop(file, intent(correlation_id="c-1", target=file[7])))
    world.drain()
    assert world.status("intent-b.json")["status"] == "success"


def test_a_file_keeps_its_correlation_id_when_it_is_sent_again(world: World) -> None:
    for _ in range(2):
        arrive(world, world.drop(body=intent(correlation_id="c-1")))
        world.drain()
    assert world.status()["status"] == "success"


def test_a_message_names_its_target_which_is_read_beside_the_input(world: World) -> None:
    arrive(world, world.drop())
    state: Any = world.state
    asked: list[str] = []
    ahead = state.ahead

    def noted(name: str) -> Any:
        asked.append(name)
        return ahead(name)

    state.ahead = noted
    world.drain()
    assert (asked, world.status()["status"]) == (["oran-sim/cnf-simulator"], "success")


def test_without_priority_queues_a_retry_waits_in_the_queue_of_its_priority(world: World) -> None:
    world.configure(priority_queues=False, retry=Policy(attempts=3, delay_seconds=300))
    world.porch.script = [Cause.NETWORK_ERROR, None]
    handoff = world.drop(body=intent(priority="low"))
    assert arrive(world, handoff) is Answer.QUEUED
    ((due, message),) = world.queues.waiting
    assert (message.priority, due - world.clock()) == (Priority.LOW, 300)
    world.drain()
    assert world.status()["retry_count"] == 1


def test_a_critical_intent_that_must_be_tried_again_goes_to_high_with_a_delay(world: World) -> None:
    world.porch.script = [Cause.NETWORK_ERROR, None]
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:oncall-7")
    assert arrive(world, handoff) is Answer.QUEUED
    ((due, message),) = world.queues.waiting
    assert message.priority is Priority.HIGH
    assert due > world.clock()
    world.drain()
    assert world.status()["retry_count"] == 1


def test_workers_that_all_died_end_in_a_failure_and_not_in_a_circle(world: World) -> None:
    def die() -> None:
        raise SystemExit

    world.porch.on_run = die
    handoff = world.drop()
    arrive(world, handoff)
    message = world.queues.waiting.pop()[1]
    for _ in range(4):
        with pytest.raises(SystemExit):
            admit.work(world.app, message, world.deadline)
        world.clock.wait(100)
    assert admit.work(world.app, message, world.deadline) is Answer.SETTLED
    assert world.status()["error_details"]["error_code"] == "WORKERS_DIED"
