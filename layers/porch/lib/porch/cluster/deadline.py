"""When a run has to be over: nothing is begun at the cluster after that, whatever hangs and whatever was frozen."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from porch.errors import TIMED_OUT, UNREACHABLE, PorchError
from porch.inputs import variable

_DEFAULT_SECONDS = 25  # without a deadline
_MARGIN_SECONDS = 0.5  # before the caller's deadline, to report how far it got


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
    def enforced(self) -> Iterator[None]:
        """End the block with ``PorchError`` (4) when it lasts longer."""
        # A timeout bounds one read, and a server that sends a byte now and then passes it for ever. A signal bounds all
        # but the resolver, which cannot be interrupted and has bounds of its own: 2 tries of 2 s.
        self.check()
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        limit = self.seconds_left

        def expire(*_: object) -> None:
            message = f"the cluster took more than {limit:.0f} s: try again later, or give the run more time"
            raise PorchError(UNREACHABLE, message)

        before = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def given_deadline() -> Deadline:
    """Return the earlier one of ``PORCH_DEADLINE`` (epoch seconds) and ``PORCH_CLUSTER_SECONDS`` from now."""
    until = variable("PORCH_DEADLINE", r"[0-9]{1,12}(\.[0-9]{1,9})?", "epoch seconds")
    ends = [float(until) - _MARGIN_SECONDS] if until else []
    if not until or os.environ.get("PORCH_CLUSTER_SECONDS"):
        ends.append(time.time() + seconds("PORCH_CLUSTER_SECONDS", _DEFAULT_SECONDS))
    return Deadline(min(ends))


def seconds(name: str, default: int) -> int:
    """Return the seconds, 1 to those of a Lambda's longest run, that a variable asks for."""
    return int(variable(name, "0{0,2}[1-9]|0?[1-9][0-9]|[1-8][0-9][0-9]|900", "1 to 900") or default)
