import pytest

from conductor_loop.errors import Cause, Reaction
from conductor_loop.retry import LONGEST_DELAY_SECONDS, Policy, delay_seconds

POLICY = Policy(attempts=3, delay_seconds=30)
AGAIN = [cause for cause in Cause if cause.reaction in {Reaction.RETRY, Reaction.ALERT}]
FINAL = [cause for cause in Cause if cause not in AGAIN]


@pytest.mark.parametrize("cause", AGAIN)
def test_what_may_pass_is_tried_again(cause: Cause) -> None:
    assert delay_seconds(cause, 1, POLICY, lambda: 1.0) is not None


@pytest.mark.parametrize("cause", FINAL)
def test_what_is_final_is_not(cause: Cause) -> None:
    assert delay_seconds(cause, 1, POLICY, lambda: 1.0) is None


@pytest.mark.parametrize(("attempt", "bound"), [(1, 30), (2, 60), (3, 120)])
def test_the_bound_doubles_with_each_attempt(attempt: int, bound: float) -> None:
    assert delay_seconds(Cause.NETWORK_ERROR, attempt, POLICY, lambda: 1.0) == bound
    assert delay_seconds(Cause.NETWORK_ERROR, attempt, POLICY, lambda: 0.5) == bound / 2


def test_after_the_last_attempt_there_is_none() -> None:
    assert delay_seconds(Cause.NETWORK_ERROR, 4, POLICY, lambda: 1.0) is None


def test_no_delay_is_longer_than_a_queue_can_bear_or_shorter_than_a_second() -> None:
    assert delay_seconds(Cause.NETWORK_ERROR, 9, Policy(10, 300), lambda: 1.0) == LONGEST_DELAY_SECONDS
    assert delay_seconds(Cause.NETWORK_ERROR, 1, POLICY, lambda: 0.0) == 1.0
