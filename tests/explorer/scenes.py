"""The scenes: two workers that meet, and what was there before they did."""

from collections.abc import Callable
from typing import Protocol

from conductor_loop.app import Message
from conductor_loop.errors import Cause
from conductor_loop.intents.reconcile import take_turn
from tests.explorer.play import Play
from tests.factories import BUCKET, intent


class Scene(Protocol):
    """Begins a play, of ``new`` parts."""

    def __call__(self, new: Callable[[], Play] = Play) -> Play: ...


SCENES: dict[str, Scene] = {}
_OLD, _NEW = intent(replicas=5, timeout="30s"), intent(replicas=2, timeout="30s")
_REFUSED = intent(replicas="2")


def scene(build: Callable[[Play], None]) -> Callable[[Play], None]:
    """Register a scene under its name in words."""

    def begin(new: Callable[[], Play] = Play) -> Play:
        play = new()
        build(play)
        return play

    SCENES[build.__name__.replace("_", " ")] = begin
    return build


def _inline(play: Play) -> None:
    play.config = play.configured(priority_queues=False)


def _waiting(play: Play) -> Message:
    """Give the only message that waits."""
    (message,) = play.messages
    return message


# -- one worker, at whom anything may go wrong


@scene
def alone(play: Play) -> None:
    play.race(play.event(play.put("intent-a.json", _NEW)))


@scene
def alone_inline(play: Play) -> None:
    _inline(play)
    play.race(play.event(play.put("intent-a.json", _NEW)))


@scene
def alone_inline_and_porch_fails(play: Play) -> None:
    _inline(play)
    play.race(play.event(play.put("intent-a.json", _NEW, script=(Cause.PORCH_FAILED,))))


@scene
def alone_inline_and_porch_fails_first(play: Play) -> None:
    _inline(play)
    play.race(play.event(play.put("intent-a.json", _NEW, script=(Cause.NETWORK_ERROR, None))))


@scene
def alone_and_critical_and_porch_fails_first(play: Play) -> None:
    body = intent(replicas=2, priority="critical")
    play.race(play.event(play.put("intent-a.json", body, script=(Cause.NETWORK_ERROR, None))))


@scene
def alone_with_a_message(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW))
    play.race(play.message(_waiting(play)))


@scene
def alone_with_a_message_and_porch_fails(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW, script=(Cause.PORCH_FAILED,)))
    play.race(play.message(_waiting(play)))


@scene
def alone_with_a_message_and_porch_fails_for_good(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW, script=(Cause.NETWORK_ERROR,)))
    play.race(play.message(_waiting(play)))


@scene
def alone_and_rejected(play: Play) -> None:
    play.race(play.event(play.put("intent-a.json", b"not JSON")))


@scene
def alone_and_superseded(play: Play) -> None:
    older = play.put("intent-a.json", _OLD)
    play.answer(play.put("intent-b.json", _NEW, at=2.0))
    play.work(play.messages.pop())
    play.race(play.event(older))


@scene
def alone_and_its_correlation_id_is_used(play: Play) -> None:
    play.answer(play.put("intent-a.json", intent(replicas=5, correlation_id="c-1")))
    play.work(play.messages.pop())
    play.answer(play.put("intent-b.json", intent(replicas=2, correlation_id="c-1"), at=2.0))
    play.race(play.message(_waiting(play)))


@scene
def alone_and_withdrawn_between_two_attempts(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW, script=(Cause.NETWORK_ERROR,))
    play.answer(handoff)
    play.work(_waiting(play))
    play.withdraw(handoff)
    play.now += 100
    play.race(play.message(_waiting(play)))


@scene
def alone_behind_a_worker_that_is_late(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.leave_late(_waiting(play))
    play.race(play.message(_waiting(play)))


@scene
def alone_behind_a_worker_that_is_late_and_porch_fails(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW, script=(None, Cause.PORCH_FAILED)))
    play.leave_late(_waiting(play))
    play.race(play.message(_waiting(play)))


@scene
def alone_and_withdrawn_behind_a_worker_that_is_late(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.leave_late(_waiting(play))
    play.withdraw(handoff)
    play.race(play.message(_waiting(play)))


@scene
def alone_behind_a_worker_that_is_late_and_a_newer_intent(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    older = _waiting(play)
    play.leave_late(older)
    play.answer(play.put("intent-b.json", _NEW, at=2.0))
    play.work(play.messages.pop())
    play.race(play.message(older))


@scene
def alone_with_the_message_of_a_second_attempt(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW, script=(Cause.NETWORK_ERROR, None)))
    play.work(_waiting(play))
    play.now += 100
    play.race(play.message(_waiting(play)))


@scene
def alone_and_rate_limited(play: Play) -> None:
    play.config = play.configured(high_per_minute=60)
    play.race(play.event(play.put("intent-a.json", intent(replicas=2, priority="high"))))


@scene
def alone_inline_with_a_table_that_is_older_than_the_bucket(play: Play) -> None:
    _inline(play)
    for file in ("Kptfile", "more.yaml"):
        key = f"packages/oran-sim/cnf-simulator/cnf-simulator-v1.0.0/{file}"
        play.bucket.drop(BUCKET, key, b"old")
        play.packages[key] = b"old"
    play.race(play.event(play.put("intent-a.json", _NEW)))


@scene
def alone_and_withdrawn_in_its_queue(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.withdraw(handoff)
    play.race(play.message(_waiting(play)))


@scene
def alone_inline_and_its_row_is_corrupt(play: Play) -> None:
    _inline(play)
    handoff = play.put("intent-a.json", _NEW)
    play.state.spoil(handoff.key, handoff.version_id)
    play.race(play.event(handoff))


@scene
def alone_inline_and_the_row_of_its_target_is_corrupt(play: Play) -> None:
    _inline(play)
    play.state.spoil("oran-sim/cnf-simulator", kind="target")
    play.race(play.event(play.put("intent-a.json", _NEW)))


# -- one sweep, at which anything may go wrong


@scene
def alone_a_sweep_of_a_lost_event(play: Play) -> None:
    play.put("intent-a.json", _NEW)
    play.now += 1000
    play.race(play.sweep())


@scene
def alone_a_sweep_of_a_lost_event_inline(play: Play) -> None:
    _inline(play)
    alone_a_sweep_of_a_lost_event(play)


@scene
def alone_with_the_message_of_a_sweep(play: Play) -> None:
    play.put("intent-a.json", _NEW)
    play.now += 1000
    take_turn(play.app(), play.now + 60)
    play.race(play.message(_waiting(play)))


@scene
def alone_a_sweep_of_a_decision_without_its_effects(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW))
    play.decide_only(_waiting(play))
    play.messages.clear()
    play.now += 1000
    play.race(play.sweep())


@scene
def alone_a_sweep_of_a_withdrawn_intent_whose_message_is_lost(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.withdraw(handoff)
    play.messages.clear()
    play.now += 1000
    play.race(play.sweep())


@scene
def alone_a_sweep_of_a_corrupt_row(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.state.spoil(handoff.key, handoff.version_id)
    play.now += 1000
    play.race(play.sweep())


# -- two workers that meet


@scene
def two_attempts_that_publish_at_the_same_time(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW))
    message = _waiting(play)
    play.race(play.asleep(message), play.message(message))


@scene
def two_attempts_at_one_target_that_publish_at_the_same_time(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    older = _waiting(play)
    play.answer(play.put("intent-b.json", _NEW, at=2.0))
    (newer,) = (one for one in play.messages if one != older)
    play.race(play.asleep(older), play.message(newer))


@scene
def one_event_twice(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.race(play.event(handoff), play.event(handoff))


@scene
def one_event_twice_inline(play: Play) -> None:
    _inline(play)
    handoff = play.put("intent-a.json", _NEW)
    play.race(play.event(handoff), play.event(handoff))


@scene
def one_message_twice(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW))
    message = _waiting(play)
    play.race(play.message(message), play.message(message))


@scene
def one_message_twice_and_porch_fails_first(play: Play) -> None:
    play.answer(play.put("intent-a.json", _NEW, script=(Cause.NETWORK_ERROR, None)))
    message = _waiting(play)
    play.race(play.message(message), play.message(message))


@scene
def an_event_and_the_message_it_has_made(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.race(play.event(handoff), play.message(_waiting(play)))


@scene
def two_intents_for_one_target(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    play.answer(play.put("intent-b.json", _NEW, at=2.0))
    older, newer = play.messages
    play.race(play.message(older), play.message(newer))


@scene
def two_intents_for_one_target_in_one_second(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD, at=0.1))
    play.answer(play.put("intent-b.json", _NEW, at=0.8))
    older, newer = play.messages
    play.race(play.message(older), play.message(newer))


@scene
def two_intents_for_one_target_in_one_second_inline(play: Play) -> None:
    _inline(play)
    older, newer = play.put("intent-a.json", _OLD, at=0.1), play.put("intent-b.json", _NEW, at=0.8)
    play.race(play.event(older), play.event(newer))


@scene
def two_versions_of_one_name(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    play.race(play.message(_waiting(play)), play.event(play.put("intent-a.json", _NEW, at=2.0)))


@scene
def two_versions_of_one_name_in_one_second(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD, at=0.1))
    play.race(play.message(_waiting(play)), play.event(play.put("intent-a.json", _NEW, at=0.8)))


@scene
def two_versions_of_one_name_and_the_newer_is_refused(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    play.race(play.message(_waiting(play)), play.event(play.put("intent-a.json", _REFUSED, at=2.0)))


@scene
def two_versions_of_one_name_and_the_newer_was_refused_before(play: Play) -> None:
    older = play.put("intent-a.json", _OLD)
    play.answer(older)
    play.answer(play.put("intent-a.json", _REFUSED, at=2.0))
    message = _waiting(play)
    play.race(play.message(message), play.message(message))


@scene
def two_versions_of_one_name_and_the_newer_is_withdrawn(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    newer = play.put("intent-a.json", _NEW, at=2.0)
    play.answer(newer)
    play.withdraw(newer)
    older, gone = play.messages
    play.race(play.message(older), play.message(gone))


@scene
def an_intent_that_is_withdrawn_while_its_message_waits(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.withdraw(handoff)
    message = _waiting(play)
    play.race(play.message(message), play.message(message))


@scene
def a_sweep_beside_a_late_event(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.now += 1000
    play.race(play.event(handoff), play.sweep())


@scene
def a_sweep_beside_a_late_event_inline(play: Play) -> None:
    _inline(play)
    handoff = play.put("intent-a.json", _NEW)
    play.now += 1000
    play.race(play.event(handoff), play.sweep())


@scene
def two_sweeps_and_a_decision_without_its_effects(play: Play) -> None:
    handoff = play.put("intent-a.json", _NEW)
    play.answer(handoff)
    play.decide_only(_waiting(play))
    play.now += 1000
    play.race(play.sweep(), play.message(_waiting(play)))


@scene
def two_versions_of_one_second_and_the_newer_is_refused_after_its_event_is_lost(play: Play) -> None:
    older = play.put("intent-a.json", _OLD, script=(Cause.NETWORK_ERROR, None), at=0.1)
    play.answer(older)
    play.work(_waiting(play))
    play.put("intent-a.json", _REFUSED, at=0.3)
    message = _waiting(play)
    play.now += 1000
    play.race(play.message(message), play.sweep())


@scene
def an_older_decision_without_its_effects_beside_a_newer_intent(play: Play) -> None:
    play.answer(play.put("intent-a.json", _OLD))
    older = _waiting(play)
    play.decide_only(older)
    play.answer(play.put("intent-b.json", _NEW, at=1.0))
    newer = next(one for one in play.messages if one.handoff.key == "intent-b.json")
    play.race(play.message(newer), play.message(older))
