"""The work directory of one run: made fresh, read back with suspicion, removed with all that is in it.

    <root>/run-<random>/
        intent-a.json   the intent
        kubeconfig      credentials for the cluster, if there is one; mode 0600
        out/            the package; the only part that is read back
        home/  tmp/     HOME and TMPDIR: scratch space

Each run holds a lock (flock) on its directory. The kernel releases it when the run's process dies, so a directory that
is not locked is left over, and no list of live runs has to be kept.

Where nothing else runs as this user, what a run leaves elsewhere is removed, too, once none is live.
"""

import errno
import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from conductor_loop.errors import Cause
from conductor_loop.porch.package import FILE, Unusable, read
from conductor_loop.porch.process import Limits, Process, kill, processes

REMOVAL_SECONDS = 3.0  # of cleaning before a run, and after it: the next run removes the rest
_AT_START = "at-start"  # in the work root: names of what was in the place at the environment's start
_lock = threading.Lock()
_live: Counter[Path] = Counter()  # runs by work root
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Workspace:
    """A live run's directory. Read it once no process is alive that could write to it."""

    def __init__(self, path: Path, descriptor: int, file: str, content: bytes, kubeconfig: bytes | None) -> None:
        self.path, self.descriptor, self.content = path, descriptor, content
        self.intent, self.out, self.home, self.tmp = (path / name for name in (file, "out", "home", "tmp"))
        self.kubeconfig = None if kubeconfig is None else path / "kubeconfig"
        for directory in (self.out, self.home, self.tmp):
            directory.mkdir(mode=0o700)
        self.intent.write_bytes(content)
        if self.kubeconfig and kubeconfig is not None:
            self.kubeconfig.touch(mode=0o600)
            self.kubeconfig.write_bytes(kubeconfig)

    def read(self, limits: Limits) -> dict[str, bytes]:
        """Everything below ``out/``: relative POSIX path to content, sorted.

        Raises `Unusable`: PACKAGE_UNSAFE as `package.read` does, and for anything written beside ``out/``.
        """
        try:
            self._check_surroundings()
            with open_directory("out", self.descriptor) as out:
                return read(out, limits)
        except OSError as error:
            raise Unusable(Cause.PACKAGE_UNSAFE, f"the package cannot be read ({error.strerror})") from error

    def _check_surroundings(self) -> None:
        ours = {path.name for path in (self.intent, self.out, self.home, self.tmp, self.kubeconfig) if path}
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - a Path has no descriptor
            if name not in ours:
                raise Unusable(Cause.PACKAGE_UNSAFE, f"porch wrote outside its directory: {name!a}")
        with suppress(OSError), os.fdopen(os.open(self.intent.name, FILE, dir_fd=self.descriptor), "rb") as intent:
            if intent.read(len(self.content) + 1) == self.content:
                return
        raise Unusable(Cause.PACKAGE_UNSAFE, "porch wrote outside its directory: the intent's file was changed")


@contextmanager
def workspace(root: Path, file: str, content: bytes, kubeconfig: bytes | None = None) -> Iterator[Workspace]:
    """Make a directory for one run below ``root`` (made if need be) with the intent in it; remove it at the end.

    ``root`` must be private to this user: it is refused if others own it or may write to it. Directories of runs whose
    process died are removed first, for a few seconds at most. Raises `Unusable`: DISK_FULL, or PORCH_PERMISSION_DENIED
    for what an operator has to correct.
    """
    made = None
    try:
        try:
            _check_root(root)
            _remove_leftovers(root)
            made = _make(root)
            space = Workspace(*made, file, content, kubeconfig)
        except OSError as error:
            cause = Cause.DISK_FULL if error.errno in _NO_ROOM else Cause.PORCH_PERMISSION_DENIED
            raise Unusable(cause, f"no work directory could be made ({error.strerror})") from error
        yield space
    finally:
        if made:
            _remove(*made, time.monotonic() + REMOVAL_SECONDS)


def _check_root(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "its parent belongs to others, or others may write to it")


def _make(root: Path) -> tuple[Path, int]:
    """Make a directory and lock it. It gets its name last: a run that removes leftovers finds it locked."""
    name = os.urandom(8).hex()
    path, new = root / f"run-{name}", root / f"new-{name}"
    new.mkdir(mode=0o700)
    descriptor = os.open(new, DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return new.rename(path), descriptor


def _remove_leftovers(root: Path) -> None:
    until = time.monotonic() + REMOVAL_SECONDS
    for path in root.glob("run-*"):
        with suppress(OSError):
            if path.is_symlink():
                continue
            path.chmod(0o700)  # its run may have made it unreadable; for a live run this changes nothing
            descriptor = os.open(path, DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)  # a live run's
            else:
                _remove(path, descriptor, until)


def _remove(path: Path, descriptor: int, until: float) -> None:
    """Remove a directory and close it; what is left by then is removed by the next run."""
    with suppress(OSError):
        os.fchmod(descriptor, 0o700)
        remove_below(descriptor, until=until)
        path.rmdir()
    os.close(descriptor)


@contextmanager
def open_directory(name: str | Path, parent: int | None = None) -> Iterator[int]:
    """Open a directory that is no link, by its name in an open one if that is given; yield the descriptor."""
    descriptor = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_below(top: int, *, kept: Container[str] = (), until: float) -> None:
    """Remove what is in a directory, however deep, wide or closed to this user. What cannot be removed stays.

    Each directory is moved up into ``top``, a descriptor, before it is emptied, so any depth takes two descriptors:
    `shutil.rmtree` holds one for each level, of which a process has 1,024. ``kept`` are names in it to leave alone,
    ``until`` is when to stop, by the monotonic clock, in seconds.
    """
    waiting = _empty(top, top, kept)
    while waiting and time.monotonic() < until:
        name = waiting.pop()
        with suppress(OSError):
            with open_directory(name, top) as directory:
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
def clean_up(place: Path | None, root: Path) -> Iterator[None]:
    """After the last of the concurrent runs, kill each process and remove each file that was not there at start.

    Before the first, likewise: the function's process may have ended with its run. ``place`` is the directory to clean:
    None unless this user runs nothing else, for then whatever was not there at start is a run's. The work root, which
    may lie in it, stays.
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
        with open_directory(place) as top:
            remove_below(top, kept=at_start, until=time.monotonic() + REMOVAL_SECONDS)


@cache
def _processes_at_start() -> frozenset[tuple[int, int]]:
    return frozenset((each.pid, each.started) for each in processes())


def _new_processes() -> list[Process]:
    return [each for each in processes() if (each.pid, each.started) not in _processes_at_start()]
