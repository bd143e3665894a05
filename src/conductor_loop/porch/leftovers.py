"""What runs leave beside their directories, where nothing else runs as this user: removed when none is live."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from conductor_loop.porch.descendants import Process, kill, processes
from conductor_loop.porch.package import DIRECTORY, opened
from conductor_loop.porch.removal import REMOVAL_SECONDS, remove_below

_AT_START = "at-start"  # in the work root: names of what was in the place at the environment's start
_lock = threading.Lock()
_live: Counter[Path] = Counter()  # runs by work root


@contextmanager
def cleaned(place: Path | None, root: Path) -> Iterator[None]:
    """After the last of the concurrent runs, kill each process and remove each file that was not there at start.

    Before the first, likewise: the function's process may have ended with its run. Where it was not there at start, a
    process is one of a run, so the caller passes a place only where this user runs nothing else.

    Args:
        place: Directory to clean; ``None`` leaves processes and files alone.
        root: Work root; may lie in the place, and stays.

    """
    if place is None:
        yield
        return
    with _lock:
        if not _live[root]:
            _begin(place, root)
        _live[root] += 1
    try:
        yield
    finally:
        with _lock:
            _live[root] -= 1
            if not _live[root]:
                _clean(place, root)


def _begin(place: Path, root: Path) -> None:
    _processes_at_start()
    listing = root / _AT_START
    if listing.exists():
        _clean(place, root)
        return
    with suppress(OSError):  # the work root cannot be used, and the run will say so
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = listing.with_suffix(".new")
        written.write_bytes(b"\0".join(os.listdir(os.fsencode(place))))  # noqa: PTH208 - as bytes
        written.rename(listing)


def _clean(place: Path, root: Path) -> None:
    kill(_new_processes)
    with suppress(OSError):  # without the listing, nothing is known to be a run's
        at_start = {os.fsdecode(name) for name in (root / _AT_START).read_bytes().split(b"\0")}
        with opened(place, DIRECTORY) as top:
            remove_below(top, kept=at_start, until=time.monotonic() + REMOVAL_SECONDS)


@cache
def _processes_at_start() -> frozenset[tuple[int, int]]:
    return frozenset((each.pid, each.started) for each in processes())


def _new_processes() -> list[Process]:
    return [each for each in processes() if (each.pid, each.started) not in _processes_at_start()]
