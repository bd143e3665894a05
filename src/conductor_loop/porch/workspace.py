"""The work directory of one run: made fresh, read back with suspicion, removed with all that is in it.

    <root>/run-<random>/
        intent-a.json   the intent
        kubeconfig      credentials for the cluster, if there is one; mode 0600
        out/            the package; the only part that is read back
        home/  tmp/     HOME and TMPDIR: scratch space

Each run holds a lock (flock) on its directory. The kernel releases it when the run's process dies, so a directory that
is not locked is left over, and no list of live runs has to be kept.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor_loop.errors import Cause
from conductor_loop.porch.leftovers import REMOVAL_SECONDS, remove_below
from conductor_loop.porch.limits import Limits
from conductor_loop.porch.package import DIRECTORY, FILE, Unusable, opened, read

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
            with opened("out", DIRECTORY, self.descriptor) as out:
                return read(out, limits)
        except OSError as error:
            raise Unusable(Cause.PACKAGE_UNSAFE, f"the package cannot be read ({error.strerror})") from error

    def _check_surroundings(self) -> None:
        ours = {path.name for path in (self.intent, self.out, self.home, self.tmp, self.kubeconfig) if path}
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - a Path has no descriptor
            if name not in ours:
                raise Unusable(Cause.PACKAGE_UNSAFE, f"porch wrote outside its directory: {name!a}")
        with suppress(OSError), opened(self.intent.name, FILE, self.descriptor) as intent:
            if os.read(intent, len(self.content) + 1) == self.content:
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
