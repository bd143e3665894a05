"""Whether an attempt is made again, and when: a value, from a pure function."""

from collections.abc import Callable
from dataclasses import dataclass

from conductor_loop.errors import Cause, Reaction

LONGEST_DELAY_SECONDS = 900.0  # what an SQS message can be delayed by


@dataclass(frozen=True, slots=True)
class Policy:
    """``processing.retry_attempts`` and ``processing.retry_delay`` of the configuration."""

    attempts: int = 3  # after the first
    delay_seconds: float = 30.0  # before the first retry; doubled for each later one


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after a delay; ``timeout_multiplier`` multiplies the timeout of the next attempt."""

    delay_seconds: float
    timeout_multiplier: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The outcome is final."""


def decide(
    cause: Cause, attempt: int, timeout_multiplier: int, policy: Policy, jitter: Callable[[], float]
) -> Again | GiveUp:
    """Decide after attempt number ``attempt`` (from 1) failed for ``cause``.

    Full jitter: evenly spread between a second and the exponential bound, so that intents that failed together do not
    come back together. After a timeout the next attempt has twice the time (specification, "Porch Error Codes").
    """
    if cause.reaction not in {Reaction.RETRY, Reaction.ALERT} or attempt > policy.attempts:
        return GiveUp()
    bound = min(policy.delay_seconds * 2 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    longer = 2 if cause is Cause.PROCESSING_TIMEOUT else 1
    return Again(max(1.0, bound * jitter()), timeout_multiplier * longer)
