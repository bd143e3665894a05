"""What a run uses as a whole, looked at while it runs: the kernel bounds single processes and files only."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch.family import Family
from conductor_loop.porch.limits import Limits, Stop

_LEAST_SECONDS, _MOST_SECONDS = 0.05, 0.5  # between two looks; an honest porch has often ended by the first
_IDLENESS = 20  # of the CPU the looks take one part in so many, unless that makes them too rare
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Disk:
    """What lies in a directory: bytes on disk, files and directories, and whether some could not be looked into."""

    size_bytes: int
    entries: int
    hidden: bool


class Watch:
    """Looks at a run in turns, as often as is cheap."""

    def __init__(self, family: Family, directory: Path, limits: Limits) -> None:
        self.family = family
        self.directory = directory
        self.limits = limits
        self.free_before = _free_bytes(directory)
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
        if sum(map(_private_bytes, family)) > self.limits.memory_bytes:
            return Stop.MEMORY
        self.family.end_outlaws()
        return Stop.DISK if self._fills_the_disk() else None

    def _fills_the_disk(self) -> bool:
        disk = measured(self.directory, self.limits.disk_entries)
        if disk.hidden and _free_bytes(self.directory) < self.free_before - self.limits.disk_bytes:
            return True  # by others perhaps, but a run that hides what it writes cannot complain
        return disk.size_bytes > self.limits.disk_bytes or disk.entries > self.limits.disk_entries


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


def _private_bytes(pid: int) -> int:
    """Memory that is its alone: resident, but for pages of files and shared memory."""
    with suppress(OSError):
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(resident) - int(shared)) * _PAGE_BYTES
    return 0
