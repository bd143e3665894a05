"""Removing a tree of folders, however deep, wide or closed to ourselves it is; in a bounded time."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from conductor_loop.porch.package import DIRECTORY

REMOVAL_SECONDS = 3.0  # of cleaning before a run, and after it: what is left then, the next run goes on with


class Fate(Enum):
    """What becomes of an entry."""

    REMOVED = auto()  # a directory too, unless something in it stays
    LOOKED_INTO = auto()  # a directory stays, but what is in it may not
    KEPT = auto()


@dataclass(slots=True)
class _Level:
    """A directory on the way down: its name, what becomes of it, which one it is, and where to go down next."""

    name: str
    fate: Fate
    identity: tuple[int, int]
    below: list[tuple[str, Fate]]


def remove_below(top: int, fate: Callable[[os.DirEntry[str]], Fate] = lambda _: Fate.REMOVED, *, until: float) -> bool:
    """Remove what is in a directory; whether there was time for all of it. What cannot be removed stays.

    Any depth takes two descriptors, and as many steps as there are entries: `shutil.rmtree` holds a descriptor for each
    level, and moving what is deep to the top takes a rename for each, which costs a hundred times as much.

    Args:
        top: Descriptor of the directory, which stays open. Nobody else may move directories below it.
        fate: Says of each entry what becomes of it.
        until: Of the monotonic clock, in seconds.

    Raises:
        OSError: a directory was moved all the same, and the way back up is lost.

    """
    here = os.dup(top)
    try:
        levels = [_level(here, "", Fate.LOOKED_INTO, fate)]
        while levels[-1].below or len(levels) > 1:
            if time.monotonic() > until:
                return False
            before, here = here, _down(here, levels, fate) if levels[-1].below else _up(here, levels)
            if here != before:
                os.close(before)
    finally:
        os.close(here)
    return True


def _down(here: int, levels: list[_Level], fate: Callable[[os.DirEntry[str]], Fate]) -> int:
    """Open the next directory below; or stay, where that is closed to us."""
    name, becomes = levels[-1].below.pop()
    with suppress(OSError):
        if becomes is Fate.REMOVED:
            os.chmod(name, 0o700, dir_fd=here)
        there = os.open(name, DIRECTORY, dir_fd=here)
        try:
            levels.append(_level(there, name, becomes, fate))
        except OSError:
            os.close(there)
            raise
        return there
    return here


def _up(here: int, levels: list[_Level]) -> int:
    done = levels.pop()
    there = os.open("..", DIRECTORY, dir_fd=here)
    if _identity(there) != levels[-1].identity:
        os.close(there)
        raise OSError(errno.ESTALE, "a directory was moved while it was removed", done.name)
    if done.fate is Fate.REMOVED:
        with suppress(OSError):
            os.rmdir(done.name, dir_fd=there)
    return there


def _level(directory: int, name: str, becomes: Fate, fate: Callable[[os.DirEntry[str]], Fate]) -> _Level:
    """Look into a directory: remove its files, and list the directories to go down into."""
    below: list[tuple[str, Fate]] = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            with suppress(OSError):
                found = fate(entry)
                if found is not Fate.KEPT and entry.is_dir(follow_symlinks=False):
                    below.append((entry.name, found))
                elif found is Fate.REMOVED:
                    os.unlink(entry.name, dir_fd=directory)
    return _Level(name, becomes, _identity(directory), below)


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino
