"""What runs leave beside their own directories, in a place where nobody else writes: removed after them."""

import ctypes
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch.memory import segments
from conductor_loop.porch.package import DIRECTORY, opened
from conductor_loop.porch.removal import REMOVAL_SECONDS, Fate, remove_below

_STAMP = "since"  # in the work root: as old as the first of the runs that have not been cleaned up after
_IPC_RMID = 0  # <sys/ipc.h>: remove
_lock = threading.Lock()
_live: Counter[Path] = Counter()  # runs by work root


@contextmanager
def cleaned(place: Path | None, root: Path) -> Iterator[None]:
    """Remove what a run leaves below a place, when the last of the runs side by side is over.

    That is what our user wrote since they began, and nobody holds open, and System V's shared memory; sockets stay, and
    what lies in the work root. What a dead process left is removed before the run. Without a place nothing is removed:
    on a machine of many nobody can tell whose a file is.
    """
    if place is None:
        yield
        return
    with _lock:
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
    stamp = root / _STAMP
    if not _live[root] and stamp.exists():
        _clean(place, root)
    with suppress(OSError):  # it is there; or the work root cannot be used, which is for the run to find
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp.touch(mode=0o600, exist_ok=False)


def _clean(place: Path, root: Path) -> None:
    stamp = root / _STAMP
    with suppress(OSError):  # without the time, nothing is known to be a run's
        since = stamp.lstat().st_mtime_ns
        _remove_segments(since)
        with opened(place, DIRECTORY) as top:
            litter = _Litter(since, os.fstat(top).st_dev, _identity(root.lstat()))
            if remove_below(top, litter.fate, until=time.monotonic() + REMOVAL_SECONDS):
                stamp.unlink()  # or the next run goes on with it


def _remove_segments(since_ns: int) -> None:
    with suppress(OSError, AttributeError):  # another libc
        for segment in segments(since_ns):
            if not segment.users:
                ctypes.CDLL(None).shmctl(segment.id, _IPC_RMID, None)


@dataclass(slots=True)
class _Litter:
    """What our user wrote in a place since a moment, beside the work root."""

    since_ns: int
    device: int  # of the place
    root: tuple[int, int]
    held: set[tuple[int, int]] | None = None  # looked up once, and only if there is something to remove

    def fate(self, entry: os.DirEntry[str]) -> Fate:
        status = entry.stat(follow_symlinks=False)
        if status.st_uid != os.geteuid() or status.st_dev != self.device or _identity(status) == self.root:
            return Fate.KEPT
        if status.st_ctime_ns < self.since_ns:
            return Fate.LOOKED_INTO
        return Fate.REMOVED if stat.S_ISDIR(status.st_mode) or not self._stays(status) else Fate.KEPT

    def _stays(self, status: os.stat_result) -> bool:
        if self.held is None:
            self.held = _held()
        return stat.S_ISSOCK(status.st_mode) or _identity(status) in self.held


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _held() -> set[tuple[int, int]]:
    """Files that anybody has open, by device and inode: their work goes on."""
    held: set[tuple[int, int]] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError), os.scandir(process / "fd") as entries:  # it is gone
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat()
                    held.add(_identity(status))
    return held
