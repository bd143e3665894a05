"""The work directory of one run: made fresh, read back as if its author were hostile, removed with all that is in it.

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
import json
import os
import re
import stat
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conductor_loop.errors import Cause
from conductor_loop.porch.process import Limits, kill, processes

REMOVAL_SECONDS = 3.0  # of cleaning before a run, and after it: the next run removes the rest
_AT_START = "at-start"  # in the work root: names of what was in the place at the environment's start
_lock = threading.Lock()
_live: Counter[Path] = Counter()  # runs by work root
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a fifo must not hold us
_MOST_LEVELS = 8
_PATH_BYTES = 400  # with the longest namespace, target and package name before it, an S3 key stays within 1,024
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")  # a Kubernetes object's name (DNS-1123 subdomain), nearly
_NAME_LENGTH = 253
COMPONENT = "kustomization.yaml"  # the file of a kustomize Component
_COMPONENT_FIELDS = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
_KPTFILE = "Kptfile"  # kustomize does not read it


@dataclass(frozen=True, slots=True)
class Package:
    """A KRM package: its name, and every file in it by its path relative to the package (POSIX)."""

    name: str
    files: Mapping[str, bytes]

    @property
    def component(self) -> bytes | None:
        """The kustomize Component among its files; ``None`` if there is none that can be used alone.

        One that mentions another file of its package would break every overlay that lists it without that file.
        """
        content = self.files.get(COMPONENT)
        if content is None:
            return None
        text = content.decode(errors="replace")
        others = {path.partition("/")[0] for path in self.files.keys() - {COMPONENT, _KPTFILE}}
        return content if _is_component(text) and not any(name in text for name in others) else None


def _is_component(text: str) -> bool:
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return all(document.get(name) == value for name, value in _COMPONENT_FIELDS.items())
    return all(
        re.search(rf"^{name}:[ \t]*(['\"]?){re.escape(value)}\1[ \t]*(#.*)?\r?$", text, re.MULTILINE)
        for name, value in _COMPONENT_FIELDS.items()
    )


class Unusable(Exception):  # noqa: N818 - reads as what happened
    """The run or its package cannot be used; the message is a sentence without its full stop."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


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
        """Read all below ``out/``. Raises `Unusable` (PACKAGE_UNSAFE), also for anything written beside it."""
        try:
            self._check_surroundings()
            with open_directory("out", self.descriptor) as out:
                return _read(out, limits)
        except OSError as error:
            raise Unusable(Cause.PACKAGE_UNSAFE, f"the package cannot be read ({error.strerror})") from error

    def _check_surroundings(self) -> None:
        ours = (self.intent, self.out, self.home, self.tmp, self.kubeconfig)
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - a Path has no descriptor
            if self.path / name not in ours:
                raise Unusable(Cause.PACKAGE_UNSAFE, f"porch wrote outside its directory: {name!a}")
        with suppress(OSError), os.fdopen(os.open(self.intent.name, _FILE, dir_fd=self.descriptor), "rb") as intent:
            if intent.read(len(self.content) + 1) == self.content:
                return
        raise Unusable(Cause.PACKAGE_UNSAFE, "porch wrote outside its directory: the intent's file was changed")


@contextmanager
def workspace(root: Path, file: str, content: bytes, kubeconfig: bytes | None = None) -> Iterator[Workspace]:
    """Make a directory for one run below ``root`` with the intent in it, after those of dead runs are removed.

    ``root`` must be private to this user. Raises `Unusable`: DISK_FULL, or PORCH_PERMISSION_DENIED for what an operator
    has to correct.
    """
    made = None
    try:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = root.lstat()
            if root.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise PermissionError(errno.EPERM, "its parent belongs to others, or others may write to it")
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
    """Remove what is in a directory but ``kept``, however deep, wide or closed to this user, until a monotonic time.

    Each directory is moved up into ``top``, a descriptor, before it is emptied, so any depth takes two descriptors:
    `shutil.rmtree` holds one for each level, of which a process has 1,024. What cannot be removed stays.
    """
    waiting = _empty(top, top, kept)
    while waiting and time.monotonic() < until:
        name = waiting.pop()
        with suppress(OSError):
            with open_directory(name, top) as directory:
                waiting += _empty(directory, top)
            os.rmdir(name, dir_fd=top)


def _empty(directory: int, top: int, kept: Container[str] = ()) -> list[str]:
    moved = []
    with os.scandir(directory) as entries:
        found = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries if each.name not in kept]
    for name, is_directory in found:
        with suppress(OSError):
            if is_directory:
                os.chmod(name, 0o700, dir_fd=directory)  # moving it writes to it: its parent is in it
                unique = name if directory == top else f"moved-{os.urandom(8).hex()}"
                os.rename(name, unique, src_dir_fd=directory, dst_dir_fd=top)
                moved.append(unique)
            else:
                os.unlink(name, dir_fd=directory)
    return moved


@contextmanager
def clean_up(place: Path | None, root: Path) -> Iterator[None]:
    """Kill each process and remove each file in ``place`` that was not there at start, when no run is live.

    Before the first run, too: the function's process may have ended with its run. ``place`` is None unless this user
    runs nothing else. The work root, which may lie in it, stays.
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
    known = _processes_at_start()
    kill(lambda: [each for each in processes() if (each.pid, each.started) not in known])
    with suppress(OSError):  # without the listing, nothing is known to be a run's
        at_start = {os.fsdecode(name) for name in (root / _AT_START).read_bytes().split(b"\0")}
        with open_directory(place) as top:
            remove_below(top, kept=at_start, until=time.monotonic() + REMOVAL_SECONDS)


@cache
def _processes_at_start() -> frozenset[tuple[int, int]]:
    return frozenset((each.pid, each.started) for each in processes())


def is_name(name: object) -> bool:
    """Whether this may be a package's name: one part of an S3 key, and a Kubernetes name."""
    return isinstance(name, str) and len(name) <= _NAME_LENGTH and ".." not in name and bool(_NAME.fullmatch(name))


def build_package(files: Mapping[str, bytes], printed: str | None) -> Package:
    """Make a package of what lay in ``out/``; ``printed`` is its name, if porch printed one.

    If all lies in one directory of the package's name, that directory is the package. Raises `Unusable`:
    PACKAGE_MISSING, or PORCH_OUTPUT_INVALID if neither porch nor a single directory gives a usable name.
    """
    if not files:
        raise Unusable(Cause.PACKAGE_MISSING, "porch ended well, but wrote no package")
    tops = {path.partition("/")[0] for path in files}
    top = tops.pop() if len(tops) == 1 and all("/" in path for path in files) else None
    name = printed or top
    if name is None:
        raise Unusable(Cause.PORCH_OUTPUT_INVALID, "porch did not say what its package is called")
    if not is_name(name):
        raise Unusable(Cause.PORCH_OUTPUT_INVALID, f"porch gave its package a name that cannot be used: {name[:80]!a}")
    if name == top:
        files = {path.removeprefix(f"{name}/"): content for path, content in files.items()}
    return Package(name, files)


def _read(directory: int, limits: Limits) -> dict[str, bytes]:
    """Read everything below an open directory, if it is plain files with plain names within the limits.

    Names are opened relative to an open directory and never through a link: what was checked is what is read.
    """
    files: dict[str, bytes] = {}
    directories, room = 0, limits.package_bytes
    for top, below, others, descriptor in os.fwalk(".", dir_fd=directory, onerror=_raise):
        directories += len(below)
        for name in below + others:
            path = _checked(f"{top}/{name}".removeprefix("./"))
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and path.count("/") + 2 > _MOST_LEVELS:
                raise _unsafe(f"is deeper than {_MOST_LEVELS} directories")
            if stat.S_ISREG(mode):
                files[path] = _content(descriptor, path, room)
                room -= len(files[path])
                if room < 0:
                    raise _unsafe(f"is larger than {limits.package_bytes} bytes")
            elif not stat.S_ISDIR(mode):
                raise _unsafe(f"holds {path!r}, which is no plain file")
            if max(len(files), directories) > limits.package_files:
                raise _unsafe(f"has more than {limits.package_files} files")
    return dict(sorted(files.items()))


def _raise(error: OSError) -> None:
    raise error


def _content(directory: int, path: str, room: int) -> bytes:
    """Return the content of a file, or the first bytes more than there is room for."""
    with os.fdopen(os.open(path.rpartition("/")[2], _FILE, dir_fd=directory), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise _unsafe(f"holds {path!r}, which has a second name elsewhere")
        return file.read(room + 1)


def _unsafe(what: str) -> Unusable:
    return Unusable(Cause.PACKAGE_UNSAFE, f"the package {what}")


def _checked(path: str) -> str:
    """Return the path if every system reads it alike as a part of a key."""
    name = path.rpartition("/")[2]
    # isprintable is false for control characters, invisible and line-breaking ones, and bytes that are not UTF-8
    odd = not name.isprintable() or "\\" in name or ".." in name or name.strip(" ") != name
    # of two spellings of one name, S3 keeps both, and a file system may keep one
    if odd or not unicodedata.is_normalized("NFC", name) or len(os.fsencode(path)) > _PATH_BYTES:
        raise _unsafe(f"holds a name that is not safe: {ascii(path)[:200]}")
    return path
