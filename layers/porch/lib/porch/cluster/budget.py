"""The time that all talk with a cluster may take together, whatever hangs: a name server, a handshake, a slow body."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from porch.errors import UNREACHABLE, WRONG_USAGE, PorchError

DEFAULT_SECONDS = 25  # below the 30 s that conductor-loop gives an intent that asks for nothing else
_MAX_SECONDS = 900  # a Lambda's longest run


def seconds(given: str) -> int:
    """Return the budget that ``PORCH_CLUSTER_SECONDS`` asks for ("" for none)."""
    if not given:
        return DEFAULT_SECONDS
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:4]) <= _MAX_SECONDS and len(given) <= 3):  # noqa: PLR2004 - digits of 900
        raise PorchError(
            WRONG_USAGE, f"PORCH_CLUSTER_SECONDS is {given!a:.60}: make it 1 to {_MAX_SECONDS}, or leave it out"
        )
    return int(given)


@contextmanager
def spending(limit_seconds: float) -> Iterator[None]:
    """End the block with ``PorchError`` (4) when it takes longer than this."""
    # A timeout bounds one read; a server that sends a byte now and then would pass it for ever. A signal bounds all but
    # the resolver, which does not let itself be interrupted and has bounds of its own: 2 tries of 2 s.
    os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")

    def expire(*_: object) -> None:
        raise PorchError(
            UNREACHABLE,
            f"the cluster took more than {limit_seconds:g} s: try again later, or raise PORCH_CLUSTER_SECONDS",
        )

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, limit_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
