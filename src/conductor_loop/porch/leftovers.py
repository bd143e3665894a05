"""What runs leave: removed however it looks; and, where nothing else runs as this user, wherever it is."""

import os
import threading
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from conductor_loop.porch.descendants import Process, kill, processes
from conductor_loop.porch.package import DIRECTORY, opened

REMOVAL_SECONDS = 3.0  # of cleaning before a run, and after it: the next run removes the rest
_AT_START = "at-start"  # in the work root: names of what was in the place at the environment's start
_lock = threading.Lock()
_live: Counter[Path] = Counter()  # runs by work root


def remove_below(top: int, *, kept: Container[str] = (), until: float) -> None:
    """Remove what is in a directory, however deep, wide or closed to this user. What cannot be removed stays.

    Each directory is moved up into ``top`` before it is emptied, so any depth takes two descriptors: `shutil.rmtree`
    holds one for each level, of which a process has 1,024.

    Args:
        top: Descriptor of the directory, which stays open.
        kept: Names in it to leave alone.
        until: When to stop, by the monotonic clock, in seconds.

    """
    waiting = _empty(top, top, kept)
    while waiting and time.monotonic() < until:
        name = waiting.pop()
        with suppress(OSError):
            with opened(name, DIRECTORY, top) as directory:
                waiting += _empty(directory, top)
            os.rmdir(name, dir_fd=top)


def _empty(directory: int, top: int, kept: Container[str] = ()) -> list[str]:
    """Remove the files in a directory, and move the directories in it into ``top``; return their names there."""
    moved = []
    with os.scandir(directory) as entries:
        for name, is_directory in [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]:
            with suppress(OSError):
                if name in kept:
                    continue
                if not is_directory:
                    os.unlink(name, dir_fd=directory)
                    continue
                os.chmod(name, 0o700, dir_fd=directory)  # moving it writes to it: its parent is in it
                unique = name if directory == top else f"moved-{os.urandom(8).hex()}"
                os.rename(name, unique, src_dir_fd=directory, dst_dir_fd=top)
                moved.append(unique)
    return moved


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
