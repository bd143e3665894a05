"""What a run uses as a whole, looked at while it runs: the kernel bounds single processes and files only."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch import memory
from conductor_loop.porch.family import Family
from conductor_loop.porch.limits import Limits, Stop

_LEAST_SECONDS, _MOST_SECONDS = 0.05, 0.5  # between two looks; an honest porch has often ended by the first
_IDLENESS = 20  # of the CPU the looks take one part in so many, unless that makes them too rare
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own
_WRITTEN = re.compile(r"^w(?:char|rite_bytes): (\d+)$", re.MULTILINE)  # of /proc/<pid>/io


@dataclass(frozen=True, slots=True)
class Disk:
    """What lies in a directory: bytes on disk, files and directories, and whether some could not be looked into."""

    size_bytes: int
    entries: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class Ground:
    """How things stood just before a run."""

    directory: Path  # of the run
    free_bytes: int  # on its file system
    since_ns: int  # by the clock of file systems

    @classmethod
    def of(cls, directory: Path) -> "Ground":
        """Look at the directory of a run that is about to begin."""
        return cls(directory, _free_bytes(directory), directory.stat().st_ctime_ns)


class Watch:
    """Looks at a run in turns, as often as is cheap."""

    def __init__(self, family: Family, ground: Ground, limits: Limits) -> None:
        self.family = family
        self.ground = ground
        self.limits = limits
        self.written_bytes: dict[int, int] = {}  # by process, also by those that are dead
        self.due = time.monotonic() + _LEAST_SECONDS

    @property
    def left(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self.due - time.monotonic())

    def look(self) -> Stop | None:
        """Find the bound that the run as a whole has broken, if any."""
        started = time.thread_time()  # of the CPU: a machine that a forker keeps busy is no reason to look less often
        broken = self._broken()
        pause = _IDLENESS * (time.thread_time() - started)
        self.due = time.monotonic() + min(max(_LEAST_SECONDS, pause), _MOST_SECONDS)
        return broken

    def _broken(self) -> Stop | None:
        family = self.family.living()  # first what grows fastest
        if sum(map(_tasks, family)) > self.limits.tasks:
            return Stop.TASKS
        if memory.is_above(self.limits.memory_bytes, family, self.ground.since_ns):
            return Stop.MEMORY
        self.family.end_outlaws()
        self.written_bytes |= {pid: _written_bytes(pid) for pid in family}
        return self._filled()

    def last_look(self) -> Stop | None:
        """Find whether a run that has ended, and is not reaped yet, filled the disk since the last look, or before."""
        if self._gone_bytes() <= self.limits.disk_bytes:
            return None
        self.written_bytes |= {pid: _written_bytes(pid) for pid in {self.family.leader, *self.family.living()}}
        return self._filled()

    def _filled(self) -> Stop | None:
        disk = measured(self.ground.directory, self.limits.disk_entries)
        if disk.size_bytes > self.limits.disk_bytes or disk.entries > self.limits.disk_entries:
            return Stop.DISK
        gone = self._gone_bytes()
        if disk.hidden and gone > self.limits.disk_bytes:
            return Stop.DISK  # by others perhaps, but a run that hides what it writes cannot complain
        # Others write to the file system too: a run is to blame only if it has written that much.
        elsewhere = min(gone - disk.size_bytes, sum(self.written_bytes.values()))
        return Stop.DISK_ELSEWHERE if elsewhere > self.limits.disk_bytes else None

    def _gone_bytes(self) -> int:
        return self.ground.free_bytes - _free_bytes(self.ground.directory)


def measured(directory: Path, most_entries: int) -> Disk:
    """Measure a directory that changes meanwhile; stops soon after ``most_entries``."""
    waiting, size_bytes, entries, hidden = [str(directory)], 0, 0, False
    while waiting and entries <= most_entries:
        try:
            for status, path in _entries(waiting.pop()):
                entries += 1
                size_bytes += status.st_blocks * _BLOCK_BYTES
                if path:
                    waiting.append(path)
                if entries > most_entries:
                    break
        except FileNotFoundError:  # removed meanwhile
            hidden = hidden or not entries  # unless it is the directory itself, which is ours to remove
        except OSError:  # no permission, or a path that is too long
            hidden = True
    return Disk(size_bytes, entries, hidden)


def _entries(directory: str) -> Iterator[tuple[os.stat_result, str | None]]:
    """List what lies in a directory, with the path of what is a directory itself."""
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield (
                    entry.stat(follow_symlinks=False),
                    entry.path if entry.is_dir(follow_symlinks=False) else None,
                )


def _free_bytes(directory: Path) -> int:
    with suppress(FileNotFoundError):
        status = os.statvfs(directory.parent)
        return status.f_bavail * status.f_frsize
    return 0


def _tasks(pid: int) -> int:
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/task").st_nlink - 2  # noqa: PTH116 - many of them
    return 0


def _written_bytes(pid: int) -> int:
    """Bytes that a process has written, and whatever of it is dead: by calls or by mappings, to files or to pipes."""
    with suppress(OSError):  # it is gone, or hides itself, or the kernel keeps no account
        return max(map(int, _WRITTEN.findall(Path(f"/proc/{pid}/io").read_text())))
    return 0
