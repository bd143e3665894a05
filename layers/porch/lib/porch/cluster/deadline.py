"""When a run has to be over: nothing is begun at the cluster after that, whatever hangs and whatever was frozen."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from porch.errors import TIMED_OUT, UNREACHABLE, WRONG_USAGE, PorchError

DEFAULT_SECONDS = 25  # where nobody gives a deadline
_MAX_SECONDS = 900  # a Lambda's longest run
_MARGIN_SECONDS = 0.5  # before the caller's deadline, to say how far it got


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time. The clock is the wall's: a monotonic one may stand still while an environment is frozen."""

    at: float  # epoch seconds
    clock: Callable[[], float] = time.time

    @property
    def seconds_left(self) -> float:
        """Seconds until then; not positive once it is past."""
        return self.at - self.clock()

    def check(self) -> None:
        """Raise ``PorchError`` (124) once it is past: by then a newer intent may have the target."""
        if self.seconds_left <= 0:
            raise PorchError(TIMED_OUT, "the time of this run is over, nothing was changed: send the intent again")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """End the block with ``PorchError`` (4) when it lasts longer."""
        # A timeout bounds one read; a server that sends a byte now and then would pass it for ever. A signal bounds all
        # but the resolver, which does not let itself be interrupted and has bounds of its own: 2 tries of 2 s.
        self.check()
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        limit = self.seconds_left

        def expire(*_: object) -> None:
            raise PorchError(
                UNREACHABLE, f"the cluster took more than {limit:.0f} s: try again later, or give the run more time"
            )

        before = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def deadline_of(environment: Mapping[str, str], clock: Callable[[], float] = time.time) -> Deadline:
    """Return the earlier one of ``PORCH_DEADLINE`` (epoch seconds) and ``PORCH_CLUSTER_SECONDS`` from now."""
    given, until = environment.get("PORCH_CLUSTER_SECONDS", ""), environment.get("PORCH_DEADLINE", "")
    ends = [clock() + seconds("PORCH_CLUSTER_SECONDS", given)] if given or not until else []
    if until:
        ends.append(_epoch(until) - _MARGIN_SECONDS)
    return Deadline(min(ends), clock)


def seconds(variable: str, given: str, otherwise: int = DEFAULT_SECONDS) -> int:
    """Return the seconds that a variable asks for."""
    if not given:
        return otherwise
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:4]) <= _MAX_SECONDS and len(given) <= 3):  # noqa: PLR2004 - digits of 900
        raise PorchError(WRONG_USAGE, f"{variable} is {given!a:.60}: make it 1 to {_MAX_SECONDS}, or leave it out")
    return int(given)


def _epoch(given: str) -> float:
    whole, _, part = given.partition(".")
    if not (given.isascii() and whole.isdecimal() and (part or "0").isdecimal() and len(given) <= 20):  # noqa: PLR2004 - of a time
        raise PorchError(WRONG_USAGE, f"PORCH_DEADLINE is {given!a:.60}: make it epoch seconds, or leave it out")
    return float(given)
