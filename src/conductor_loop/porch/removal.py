"""Removing a tree of directories, however deep, wide or closed to this user it is; in a bounded time."""

import errno
import os
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass

from conductor_loop.porch.package import DIRECTORY

REMOVAL_SECONDS = 3.0  # of cleaning before a run, and after it: the next run removes the rest


@dataclass(slots=True)
class _Level:
    """A directory on the way down."""

    name: str
    identity: tuple[int, int]
    directories: list[str]  # in it, not visited yet


def remove_below(top: int, *, kept: Container[str] = (), until: float) -> None:
    """Remove what is in a directory. What cannot be removed stays.

    Any depth takes two descriptors, and two steps for each directory: `shutil.rmtree` holds a descriptor for each
    level, of which a process has 1,024.

    Args:
        top: Descriptor of the directory, which stays open.
        kept: Names in it to leave alone.
        until: When to stop, by the monotonic clock, in seconds.

    Raises:
        OSError: a directory was moved meanwhile, and the way back up is lost.

    """
    here = os.dup(top)
    try:
        levels = [_level(here, "", kept)]
        while (levels[-1].directories or len(levels) > 1) and time.monotonic() < until:
            before, here = here, _down(here, levels) if levels[-1].directories else _up(here, levels)
            if here != before:
                os.close(before)
    finally:
        os.close(here)


def _down(here: int, levels: list[_Level]) -> int:
    """Open the next directory below; or stay, where it cannot be opened."""
    name = levels[-1].directories.pop()
    with suppress(OSError):
        os.chmod(name, 0o700, dir_fd=here)
        there = os.open(name, DIRECTORY, dir_fd=here)
        try:
            levels.append(_level(there, name))
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
    with suppress(OSError):
        os.rmdir(done.name, dir_fd=there)
    return there


def _level(directory: int, name: str, kept: Container[str] = ()) -> _Level:
    """Remove the files in a directory, and list the directories in it."""
    directories: list[str] = []
    with os.scandir(directory) as entries:
        for entry in [each for each in entries if each.name not in kept]:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=directory)
    return _Level(name, _identity(directory), directories)


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino
