from dataclasses import replace
from typing import Any

import pytest

from bench.burst import critical_places
from bench.burst_outcome import BurstOutcome, Seen, allowed_seconds, classify, wait_until_settled
from tests.factories import Clock


def test_critical_ones_are_last_of_those_that_are_answered_in_the_same_second() -> None:
    first, second = "2026-11-23T03:00:00Z", "2026-11-23T03:00:01Z"
    answered = {"intent-critical-3": first, "intent-normal-1": first, "intent-normal-2": second}
    assert critical_places(answered) == [2]


FILES = [f"intent-{number}.json" for number in range(10)]


def seen(**changes: Any) -> Seen:
    """Give a reading of ten intents, all of them settled as they should be."""
    right = Seen(
        waiting=frozenset(),
        statuses=dict.fromkeys(FILES, "success"),
        packages=dict.fromkeys(FILES, frozenset({"v1.0.0"})),
        attempts=dict.fromkeys(FILES, (1,)),
        decided=10,
    )
    return replace(right, **changes)


def test_a_settled_burst_has_no_findings() -> None:
    assert classify(FILES, seen()) == BurstOutcome(unsettled=0, lost=0, doubled=0)


def test_what_is_slow_is_neither_lost_nor_doubled() -> None:
    """Of six that wait, one has its package but no status, one is tried again, and three have nothing at all."""
    slow = seen(
        waiting=frozenset(FILES[4:]),
        statuses=dict.fromkeys(FILES[:4], "success") | {FILES[5]: "failed", FILES[6]: "success"},
        packages=dict.fromkeys(FILES[:5], frozenset({"v1.0.0"})),
        attempts=dict.fromkeys(FILES[:5], (1,)) | {FILES[5]: (2,)},
        decided=7,
    )
    assert classify(FILES, slow) == BurstOutcome(unsettled=6, lost=0, doubled=0)


@pytest.mark.parametrize("waiting", [frozenset[str](), frozenset(FILES[1:])])
def test_what_left_the_root_without_an_answer_is_lost(waiting: frozenset[str]) -> None:
    gone = seen(
        waiting=waiting,
        statuses=dict.fromkeys(FILES[1:], "success"),
        packages=dict.fromkeys(FILES[1:], frozenset({"v1.0.0"})),
    )
    assert classify(FILES, gone) == BurstOutcome(unsettled=len(waiting), lost=1, doubled=0)


@pytest.mark.parametrize("waiting", [frozenset[str](), frozenset(FILES[1:])])
@pytest.mark.parametrize(
    "changes",
    [
        {"packages": dict.fromkeys(FILES, frozenset({"v1.0.0"})) | {FILES[0]: frozenset({"v1.0.0", "v1.0.1"})}},
        {"packages": dict.fromkeys(FILES[1:], frozenset({"v1.0.0"}))},
        {"statuses": dict.fromkeys(FILES, "success") | {FILES[0]: "failed"}},
        {"attempts": dict.fromkeys(FILES, (1,)) | {FILES[0]: (2,)}},
        {"attempts": dict.fromkeys(FILES, (1,)) | {FILES[0]: (1, 1)}},
    ],
)
def test_what_ran_or_was_decided_twice_is_doubled(changes: dict[str, Any], waiting: frozenset[str]) -> None:
    assert classify(FILES, seen(waiting=waiting, **changes)) == BurstOutcome(unsettled=len(waiting), lost=0, doubled=1)


@pytest.mark.parametrize(("decided", "waiting", "doubled"), [(12, 0, 2), (9, 0, 1), (12, 1, 0)])
def test_the_counters_are_compared_once_all_is_settled(decided: int, waiting: int, doubled: int) -> None:
    assert classify(FILES, seen(decided=decided, waiting=frozenset(FILES[:waiting]))).doubled == doubled


def test_the_time_allowed_grows_with_the_count() -> None:
    assert allowed_seconds(5000) > allowed_seconds(1000) > allowed_seconds(10)
    assert allowed_seconds(5000) >= 5000 / 2, "two in a second are slow, and not wrong"


@pytest.mark.parametrize(
    ("per_second", "allowed", "ends_at"),
    [
        (1.0, 3000, 2000),  # slow, and settled
        (1.0, 1500, 1500),  # slower than allowed
        (0.0, 3000, 300),  # nothing is settled any more
        (0.01, 10_000, 10_000),  # one each hundred seconds is still something
    ],
)
def test_a_burst_is_waited_for_while_it_moves_and_has_time(per_second: float, allowed: float, ends_at: float) -> None:
    clock = Clock(now=0.0)
    wait_until_settled(lambda: max(0, 2000 - int(per_second * clock.now)), allowed, clock, clock.wait)
    assert clock.now == ends_at
