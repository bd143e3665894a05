import pytest

from conductor_loop.errors import Cause, Reaction
from conductor_loop.retry import LONGEST_DELAY_SECONDS, Again, GiveUp, Policy, decide

POLICY = Policy(attempts=3, delay_seconds=30)
AGAIN = [cause for cause in Cause if cause.reaction in {Reaction.RETRY, Reaction.ALERT}]
FINAL = [cause for cause in Cause if cause not in AGAIN]


@pytest.mark.parametrize("cause", AGAIN)
def test_what_may_pass_is_tried_again(cause: Cause) -> None:
    assert isinstance(decide(cause, 1, 1, POLICY, lambda: 1.0), Again)


@pytest.mark.parametrize("cause", FINAL)
def test_what_is_final_is_not(cause: Cause) -> None:
    assert decide(cause, 1, 1, POLICY, lambda: 1.0) == GiveUp()


@pytest.mark.parametrize(("attempt", "bound"), [(1, 30), (2, 60), (3, 120)])
def test_the_bound_doubles_with_each_attempt(attempt: int, bound: float) -> None:
    assert decide(Cause.NETWORK_ERROR, attempt, 1, POLICY, lambda: 1.0) == Again(bound, 1)
    assert decide(Cause.NETWORK_ERROR, attempt, 1, POLICY, lambda: 0.5) == Again(bound / 2, 1)


def test_after_the_last_attempt_there_is_none() -> None:
    assert decide(Cause.NETWORK_ERROR, 4, 1, POLICY, lambda: 1.0) == GiveUp()


def test_no_delay_is_longer_than_a_queue_can_bear_or_shorter_than_a_second() -> None:
    assert decide(Cause.NETWORK_ERROR, 9, 1, Policy(10, 300), lambda: 1.0) == Again(LONGEST_DELAY_SECONDS, 1)
    assert decide(Cause.NETWORK_ERROR, 1, 1, POLICY, lambda: 0.0) == Again(1.0, 1)


def test_after_a_timeout_the_next_attempt_has_twice_the_time() -> None:
    assert decide(Cause.PROCESSING_TIMEOUT, 2, 2, POLICY, lambda: 1.0) == Again(60, 4)
