"""Whether an attempt is made again, and when: a value, from a pure function."""

from collections.abc import Callable
from dataclasses import dataclass

from conductor_loop.errors import Cause

LONGEST_DELAY_SECONDS = 900.0  # what an SQS message can be delayed by


@dataclass(frozen=True, slots=True)
class Policy:
    """``processing.retry_attempts`` and ``processing.retry_delay`` of the configuration."""

    attempts: int = 3  # after the first
    delay_seconds: float = 30.0  # before the first retry; doubled for each later one


def delay_seconds(cause: Cause, attempt: int, policy: Policy, jitter: Callable[[], float]) -> float | None:
    """Return how long after attempt number ``attempt`` (from 1) the next one is due; ``None``: there is none.

    Full jitter: evenly spread between a second and the exponential bound, so that intents that failed together do not
    come back together.
    """
    if not cause.is_retried or attempt > policy.attempts:
        return None
    bound = min(policy.delay_seconds * 2.0 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return max(1.0, bound * jitter())
