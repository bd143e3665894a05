"""What runs leave beside their own directories, in a place where nobody else writes: removed after them."""

import ctypes
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor_loop.porch.memory import segments

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
        _remove_segments(stamp.lstat().st_mtime_ns)
        new = list(_new(place, root, stamp.lstat().st_mtime_ns))
        spared = _held() if new else set()
        for path, status in reversed(new):  # what is in a directory comes behind it
            with suppress(OSError):
                if stat.S_ISDIR(status.st_mode):
                    os.rmdir(path)  # noqa: PTH106 - unless there is something in it that stays
                elif (status.st_dev, status.st_ino) not in spared and not stat.S_ISSOCK(status.st_mode):
                    os.unlink(path)  # noqa: PTH108 - a path that scandir gave
        stamp.unlink()


def _remove_segments(since_ns: int) -> None:
    with suppress(OSError, AttributeError):  # another libc
        for segment in segments(since_ns):
            if not segment.users:
                ctypes.CDLL(None).shmctl(segment.id, _IPC_RMID, None)


def _new(place: Path, root: Path, since_ns: int) -> Iterator[tuple[str, os.stat_result]]:
    """List what our user wrote below a place, and beside the work root; a directory before what is in it."""
    waiting, device = [str(place)], place.stat().st_dev
    while waiting:
        directory = waiting.pop()
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_uid != os.geteuid() or status.st_dev != device or entry.path == str(root):
                        continue
                    is_new = status.st_ctime_ns >= since_ns
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
                        if is_new:
                            os.chmod(entry.path, 0o700)  # noqa: PTH101 - likewise; it may be closed to ourselves
                    if is_new:
                        yield entry.path, status


def _held() -> set[tuple[int, int]]:
    """Files that anybody has open, by device and inode: their work goes on."""
    held: set[tuple[int, int]] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError), os.scandir(process / "fd") as entries:  # it is gone
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat()
                    held.add((status.st_dev, status.st_ino))
    return held
