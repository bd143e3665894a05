"""The package's directory: written below -out and nowhere else, whatever lies there already."""

import os
import stat

from porch.errors import CANNOT_WRITE, PorchError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def write(out: str, package: str, files: dict[str, str]) -> None:
    """Write ``files`` to ``<out>/<package>/``, replacing those that are there; other files there stay."""
    try:
        os.makedirs(out, exist_ok=True)  # noqa: PTH103 - pathlib takes longer to import than porch to run
        with _Opened(os.open(out, _DIRECTORY)) as parent, _Opened(_open_package(parent, package)) as directory:
            _write_all(directory, files)
    except OSError as error:
        where = ascii(f"{out}/{package}")
        raise PorchError(
            CANNOT_WRITE, f"{where} cannot be written ({error.strerror}): make room, or correct -out"
        ) from None


class _Opened:
    """Closes a file descriptor; contextlib would cost 3 ms of start-up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _open_package(parent: int, package: str) -> int:
    try:
        os.mkdir(package, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(package, dir_fd=parent, follow_symlinks=False).st_mode):
            message = f"{package} in -out is a link or a file, not a directory: remove it, or choose another -out"
            raise PorchError(CANNOT_WRITE, message) from None
    # Not followed even if a link takes the directory's place after the check.
    return os.open(package, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _write_all(directory: int, files: dict[str, str]) -> None:
    # Removed and made anew, never opened where they are: an old file may be a link to something else.
    present = os.listdir(directory)
    for name, text in files.items():
        if name in present:
            os.unlink(name, dir_fd=directory)
        with os.fdopen(os.open(name, _NEW_FILE, 0o644, dir_fd=directory), "wb") as file:
            file.write(text.encode())
