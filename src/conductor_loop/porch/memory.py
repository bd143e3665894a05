"""The memory that a run holds: what is its processes' own, and what lies in files that are memory themselves."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

SHARED = Path("/dev/shm")  # noqa: S108 - looked at; where POSIX shared memory lies, if a system has it
_MOST_FILES = 10_000  # of a run in shared memory; as many as it may have in its directory
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own
_RESIDENT = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)
_ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) (\d+)")  # of /proc/<pid>/smaps

type Object = tuple[int | None, int]  # device and inode


def is_above(bound: int, processes: Iterable[int], since_ns: int) -> bool:
    """Whether processes together hold more memory than ``bound`` bytes; pages of files on disk are not counted.

    Args:
        bound: In bytes.
        processes: Their ids.
        since_ns: What our user has put into shared memory since then is theirs too; by the clock of the file system.

    """
    processes = tuple(processes)
    named = list(islice(_named(since_ns), _MOST_FILES + 1))
    if len(named) > _MOST_FILES:  # however empty they are: to look through more takes too long
        return True
    objects = dict(named) | {(_kernel_device(), each.id): each.size_bytes for each in segments(since_ns)}
    objects |= {key: size for pid in processes for key, size in _open(pid)}
    in_objects = sum(objects.values())
    if sum(_resident(pid, _RESIDENT) for pid in processes) + in_objects <= bound:
        return False
    # Closer, since what several processes map, or what is mapped and open as well, has been counted twice.
    mapped = sum(_mapped(pid, objects.keys()) for pid in processes)
    return sum(_resident(pid, _ANONYMOUS) for pid in processes) + mapped + in_objects > bound


class Segment(NamedTuple):
    """A piece of System V's shared memory; it outlives its maker."""

    id: int  # and its inode
    size_bytes: int  # that are in use
    users: int  # how often it is attached


def segments(since_ns: int) -> Iterator[Segment]:
    """List System V's shared memory that is our user's and new."""
    with suppress(OSError, ValueError):  # a system without it
        names, *rows = map(str.split, Path("/proc/sysvipc/shm").read_text().splitlines())
        for row in (dict(zip(names, map(int, values), strict=True)) for values in rows):
            if row["cuid"] == os.geteuid() and row["ctime"] >= since_ns // 10**9:
                yield Segment(row["shmid"], row["rss"], row["nattch"])


def _resident(pid: int, kinds: re.Pattern[str]) -> int:
    with suppress(OSError):
        return 1024 * sum(map(int, kinds.findall(Path(f"/proc/{pid}/status").read_text(errors="replace"))))
    return 0


@cache
def _kernel_device() -> int | None:
    """Name the file system of the kernel's own: all shared memory is a file of it, but what lies in /dev/shm."""
    with suppress(OSError):  # a sandbox refuses: then it refuses porch as well
        descriptor = os.memfd_create("device")
        try:
            return os.fstat(descriptor).st_dev
        finally:
            os.close(descriptor)
    return None


@cache
def _devices() -> frozenset[int | None]:
    return frozenset({_kernel_device()} | ({SHARED.stat().st_dev} if SHARED.is_mount() else set()))


def _open(pid: int) -> Iterator[tuple[Object, int]]:
    """Files in memory that a process holds open, wherever their name is, if they have one."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:  # it is gone, or hides itself
        for entry in entries:
            with suppress(OSError):
                status = entry.stat()
                if status.st_dev in _devices():
                    yield (status.st_dev, status.st_ino), status.st_blocks * _BLOCK_BYTES


def _named(since_ns: int) -> Iterator[tuple[Object, int]]:
    """Files of our user in shared memory that are new: they outlive who made them, so that is not asked."""
    if SHARED.is_mount():
        for directory, _, files in os.walk(SHARED):
            for name in files:
                with suppress(OSError):
                    status = os.lstat(f"{directory}/{name}")
                    if status.st_uid == os.geteuid() and status.st_ctime_ns >= since_ns:
                        yield (status.st_dev, status.st_ino), status.st_blocks * _BLOCK_BYTES


def _mapped(pid: int, counted: Collection[Object]) -> int:
    """Bytes of shared memory that a process maps, its part where others map them too, but for what is counted already.

    Of a process that hides itself nothing is known but the whole.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines()
    except OSError:
        return _resident(pid, _RESIDENT) - _resident(pid, _ANONYMOUS)
    kilobytes, counts = 0, False
    for line in lines:
        if found := _MAPPING.match(line):
            device = os.makedev(int(found[1], 16), int(found[2], 16))
            counts = device in _devices() and (device, int(found[3])) not in counted
        elif counts and line.startswith("Pss:"):
            kilobytes += int(line.split()[1])
    return 1024 * kilobytes
