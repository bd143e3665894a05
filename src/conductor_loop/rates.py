"""Rate limits: token buckets, as the generic cell rate algorithm. Pure.

A bucket is one number: when the tokens taken so far will all have come back (``free_at``). A token may be taken while
that is less than ``burst - 1`` intervals away, and moves it one interval on:

        now                free_at            latest
         |--- tokens taken ---|                 |        there is a token: free_at + interval
         |--- tokens taken ---------------------|---|    there is none for free_at - latest
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

_RESOLUTION_SECONDS = 0.0005  # times are kept in milliseconds


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in a time, and so many at once."""

    quota: int
    window_seconds: int
    burst: int

    @property
    def interval_seconds(self) -> float:
        """How long a token takes to come back."""
        return self.window_seconds / self.quota

    @property
    def slack_seconds(self) -> float:
        """How far ahead ``free_at`` may be for there to be a token."""
        return self.interval_seconds * (self.burst - 1)

    def has_token(self, free_at: float, now: float) -> bool:
        """Say whether a bucket has one."""
        return free_at <= now + self.slack_seconds + _RESOLUTION_SECONDS


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether there was a token, and what is left. Times are in seconds, from now."""

    allowed: bool
    remaining: int
    reset_seconds: int  # until the bucket is full again
    retry_after_seconds: int = 0  # until there is a token again; 0: there is one, or was


type Peek = Callable[[str, Rate, float], bool]
"""Says whether a bucket has a token at that rate, now (epoch seconds), and takes none. May raise NotAnswering."""

type Take = Callable[[str, Rate, float], Taken]
"""Takes a token of a bucket, at a rate, now (epoch seconds). May raise NotAnswering."""


def outcome(rate: Rate, free_at: float, now: float, *, allowed: bool) -> Taken:
    """Say what a bucket looks like once a token was taken or refused."""
    ahead = round(max(free_at - now, 0.0), 3)
    left = int((rate.slack_seconds + _RESOLUTION_SECONDS - ahead) / rate.interval_seconds + 1)
    wait = 0 if allowed else max(1, math.ceil(ahead - rate.slack_seconds))
    return Taken(allowed, max(left, 0), math.ceil(ahead), wait)


@dataclass(slots=True)
class Memory:
    """Buckets of this process alone: for what must not ask anybody."""

    free_at: dict[str, float] = field(default_factory=dict)

    def peek(self, bucket: str, rate: Rate, now: float) -> bool:
        """Say whether there is a token."""
        return rate.has_token(self.free_at.get(bucket, now), now)

    def take(self, bucket: str, rate: Rate, now: float) -> Taken:
        """Take a token; full buckets are forgotten."""
        self.free_at = {name: then for name, then in self.free_at.items() if then > now}
        then = self.free_at.get(bucket, now)
        if allowed := rate.has_token(then, now):
            then = self.free_at[bucket] = then + rate.interval_seconds
        return outcome(rate, then, now, allowed=allowed)
