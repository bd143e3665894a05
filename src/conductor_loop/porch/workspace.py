"""The work directory of one run: made fresh, read back with suspicion, removed whatever lies in it.

    <root>/run-<random>/
        intent-a.json   what porch is to do
        kubeconfig      how to talk to the cluster, if there is one; for nobody else to read
        out/            the package; the only part that is read back
        home/  tmp/     HOME and TMPDIR: porch's to litter

Each run holds a lock (flock) on its directory. The kernel drops it when the run's process dies, however it dies, so a
directory that is not locked is a leftover, and no list of live runs has to be kept.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from conductor_loop.errors import Cause
from conductor_loop.porch.package import DIRECTORY, FILE, Bounds, Unusable, opened, read
from conductor_loop.porch.removal import REMOVAL_SECONDS, remove_below

_PREFIX = "run-"
_HOME, _TMP, _OUT, _KUBECONFIG = "home", "tmp", "out", "kubeconfig"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LOCK_SECONDS = 10.0  # to wait for the root's lock, which an honest run holds for milliseconds
_POLL_SECONDS = 0.01
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A live run's directory. Read it when nothing that could write to it is alive any more."""

    path: Path
    descriptor: int
    file: str
    content: bytes = field(repr=False)
    kubeconfig_content: bytes | None = field(default=None, repr=False)

    @property
    def intent(self) -> Path:
        """The intent's file."""
        return self.path / self.file

    @property
    def out(self) -> Path:
        """Where porch writes the package."""
        return self.path / _OUT

    @property
    def home(self) -> Path:
        """HOME of the run."""
        return self.path / _HOME

    @property
    def tmp(self) -> Path:
        """TMPDIR of the run."""
        return self.path / _TMP

    @property
    def kubeconfig(self) -> Path | None:
        """KUBECONFIG of the run, if it has one."""
        return None if self.kubeconfig_content is None else self.path / _KUBECONFIG

    def read(self, bounds: Bounds) -> dict[str, bytes]:
        """Everything below ``out/``: relative POSIX path to content, sorted.

        Raises `Unusable`: PACKAGE_UNSAFE as `package.read` does, and for anything written beside ``out/``.
        """
        try:
            self._check_surroundings()
            with opened(_OUT, DIRECTORY, self.descriptor) as out:
                return read(out, bounds)
        except OSError as error:
            raise Unusable(Cause.PACKAGE_UNSAFE, f"the package cannot be read ({error.strerror})") from error

    def _check_surroundings(self) -> None:
        ours = {self.file, _OUT, _HOME, _TMP} | ({_KUBECONFIG} if self.kubeconfig else set())
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - a Path has no descriptor
            if name not in ours:
                raise Unusable(Cause.PACKAGE_UNSAFE, f"porch wrote outside its directory: {name!a}")
        with suppress(OSError), opened(self.file, FILE, self.descriptor) as intent:
            if os.read(intent, len(self.content) + 1) == self.content:
                return
        raise Unusable(Cause.PACKAGE_UNSAFE, "porch wrote outside its directory: the intent's file was changed")


@contextmanager
def workspace(
    root: Path, file: str, content: bytes, kubeconfig: bytes | None = None, *, seconds: float = _LOCK_SECONDS
) -> Iterator[Workspace]:
    """Make a directory for one run below ``root`` (made if need be) with the intent in it; remove it at the end.

    Likewise the kubeconfig, if there is one, with mode 0600.

    ``root`` must be private to this user: it is refused if others own it or may write to it. Leftovers of runs whose
    process died are removed first, as far as a few seconds go. Raises `Unusable`: DISK_FULL, PORCH_PERMISSION_DENIED
    for what an operator has to put right, or PROCESSING_TIMEOUT if others hold the root's lock for all those
    ``seconds``.
    """
    try:
        with _locked(root, seconds):  # no run may find another's directory made, but not yet locked
            leftovers = list(_leftovers(root))
            space = _made(root, file, content, kubeconfig)
        until = time.monotonic() + REMOVAL_SECONDS
        for leftover in leftovers:
            _remove(*leftover, until)
        _fill_or_remove(space)
    except OSError as error:
        cause = Cause.DISK_FULL if error.errno in _NO_ROOM else Cause.PORCH_PERMISSION_DENIED
        raise Unusable(cause, f"no work directory could be made ({error.strerror})") from error
    try:
        yield space
    finally:
        _remove(space.path, space.descriptor, time.monotonic() + REMOVAL_SECONDS)


@contextmanager
def _locked(root: Path, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(root, DIRECTORY) as descriptor:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "its parent belongs to others, or others may write to it")
        while not _is_taken(descriptor):
            if time.monotonic() > deadline:  # whoever may write there can take the lock, and keep it
                raise Unusable(Cause.PROCESSING_TIMEOUT, "no work directory could be made: others lock its parent")
            time.sleep(_POLL_SECONDS)
        yield


def _is_taken(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _made(root: Path, file: str, content: bytes, kubeconfig: bytes | None) -> Workspace:
    path = root / f"{_PREFIX}{os.urandom(8).hex()}"
    path.mkdir(mode=0o700)
    space = Workspace(path, os.open(path, DIRECTORY), file, content, kubeconfig)
    fcntl.flock(space.descriptor, fcntl.LOCK_EX)
    return space


def _fill_or_remove(space: Workspace) -> None:
    try:
        _fill(space)
    except OSError:
        _remove(space.path, space.descriptor, time.monotonic() + REMOVAL_SECONDS)
        raise


def _fill(space: Workspace) -> None:
    for directory in (space.out, space.home, space.tmp):
        directory.mkdir(mode=0o700)
    with space.intent.open("xb") as intent:
        intent.write(space.content)
    if space.kubeconfig and space.kubeconfig_content is not None:
        with os.fdopen(os.open(space.kubeconfig, _NEW, 0o600), "wb") as kubeconfig:
            kubeconfig.write(space.kubeconfig_content)


def _leftovers(root: Path) -> Iterator[tuple[Path, int]]:
    """Directories of dead runs, each open and locked by us now."""
    for path in root.glob(f"{_PREFIX}*"):
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
                yield path, descriptor


def _remove(path: Path, descriptor: int, until: float) -> None:
    """Remove a directory and close it. What is not removed by then is a leftover, which the next run goes on with."""
    with suppress(OSError):
        os.fchmod(descriptor, 0o700)
        remove_below(descriptor, until=until)
        path.rmdir()
    os.close(descriptor)
