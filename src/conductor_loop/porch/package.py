"""What porch wrote: a directory read back as if its author were hostile."""

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from conductor_loop.errors import Cause
from conductor_loop.porch.process import Limits

FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a fifo must not hold us
_MOST_LEVELS = 8
_PATH_BYTES = 400  # with the longest namespace, target and package name before it, an S3 key stays within 1,024
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")  # a Kubernetes object's name (DNS-1123 subdomain), nearly
_NAME_LENGTH = 253


@dataclass(frozen=True, slots=True)
class Package:
    """A KRM package: its name, and every file in it by its path relative to the package (POSIX)."""

    name: str
    files: Mapping[str, bytes]


class Unusable(Exception):  # noqa: N818 - reads as what happened
    """The run or its package cannot be used; the message is a sentence without its full stop."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def is_name(name: object) -> bool:
    """Whether this may be a package's name: one part of an S3 key, and a Kubernetes name."""
    return isinstance(name, str) and len(name) <= _NAME_LENGTH and ".." not in name and bool(_NAME.fullmatch(name))


def build_package(files: Mapping[str, bytes], printed: str | None) -> Package:
    """Make a package of what lay in ``out/``; ``printed`` is its name, if porch printed one.

    If everything lies in one directory of the package's name, that directory is the package; otherwise all of ``out/``
    is. Raises `Unusable`: PACKAGE_MISSING if there is no file, PORCH_OUTPUT_INVALID if neither porch nor a single
    directory gives a usable name.
    """
    if not files:
        raise Unusable(Cause.PACKAGE_MISSING, "porch ended well, but wrote no package")
    top = _only_directory(files)
    name = printed or top
    if name is None:
        raise Unusable(Cause.PORCH_OUTPUT_INVALID, "porch did not say what its package is called")
    if not is_name(name):
        raise Unusable(Cause.PORCH_OUTPUT_INVALID, f"porch gave its package a name that cannot be used: {name[:80]!a}")
    if name == top:
        files = {path.removeprefix(f"{name}/"): content for path, content in files.items()}
    return Package(name, files)


def _only_directory(files: Mapping[str, bytes]) -> str | None:
    tops = {path.partition("/")[0] for path in files}
    return tops.pop() if len(tops) == 1 and all("/" in path for path in files) else None


def read(directory: int, limits: Limits) -> dict[str, bytes]:
    """Read everything below an open directory: relative POSIX path to content, sorted.

    Every name is opened relative to a directory already open and never through a link, so what was checked is what is
    read. Raises `Unusable` (PACKAGE_UNSAFE) for anything but plain files with plain names within the limits, and
    `OSError`.
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
    with os.fdopen(os.open(path.rpartition("/")[2], FILE, dir_fd=directory), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise _unsafe(f"holds {path!r}, which has a second name elsewhere")
        return file.read(room + 1)


def _unsafe(what: str) -> Unusable:
    return Unusable(Cause.PACKAGE_UNSAFE, f"the package {what}")


def _checked(path: str) -> str:
    """Return the path if every system that meets it as a part of a key will read it alike."""
    name = path.rpartition("/")[2]
    # isprintable is false for control characters, invisible and line-breaking ones, and bytes that are not UTF-8
    odd = not name.isprintable() or "\\" in name or ".." in name or name.strip(" ") != name
    # of two spellings of one name, S3 keeps both, and a file system may keep one
    if odd or not unicodedata.is_normalized("NFC", name) or len(os.fsencode(path)) > _PATH_BYTES:
        raise _unsafe(f"holds a name that is not safe: {ascii(path)[:200]}")
    return path
