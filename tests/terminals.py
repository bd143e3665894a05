"""A terminal to run programs in: a real one of the kernel's, drawn by pyte."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass

import pyte


@dataclass(frozen=True)
class Shown:
    """What a terminal showed in the end, and every byte that it was sent."""

    lines: list[str]  # without the spaces behind them, and without empty lines at the end
    sent: str


def shown(program: str, columns: int, rows: int, environment: Mapping[str, str] | None = None) -> Shown:
    """Run a Python program in a terminal of that size, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**variables, "TERM": "xterm-256color", **(environment or {})},
    )
    os.close(theirs)
    sent = bytearray()
    try:
        while chunk := os.read(ours, 65_536):
            sent += chunk
    except OSError:
        pass  # the kernel's word for the other side being closed
    finally:
        os.close(ours)
        process.wait()
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(bytes(sent))
    return Shown("\n".join(line.rstrip() for line in screen.display).rstrip("\n").split("\n"), sent.decode())
