"""Reads files and variables that other programs have written, and bounds them."""

import os
import re
import stat

from porch.errors import WRONG_USAGE, PorchError


def variable(name: str, pattern: str, rule: str) -> str:
    """Return a variable of the environment, or ""; one that does not match raises ``PorchError`` (64)."""
    value = os.environ.get(name, "")
    if value and not re.fullmatch(pattern, value):
        raise PorchError(WRONG_USAGE, f"{name} is {value!a:.60}: make it {rule}, or leave it out")
    return value


def is_true(name: str) -> bool:
    """Return whether a variable is true; without it, False."""
    return variable(name, "0|1|false|true", "true or false") in {"1", "true"}


def read(path: str, most_bytes: int) -> bytes:
    """Return the content of a file; raise ``ValueError`` with the reason where there is none to be had."""
    try:
        # Non-blocking, or a FIFO would keep porch waiting for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("is not a regular file: name the file itself")
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): name a file of yours") from None
    if len(content) > most_bytes:
        raise ValueError(f"is larger than {most_bytes} bytes: shorten it")
    return content
