"""What the process can say of itself and of its file system."""

import os
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

from conductor_loop.api.parts import Local, Vitals
from conductor_loop.rates import Memory


def local() -> Local:
    """Give what needs no service; the first call is this copy's start, which an import before a snapshot is not."""
    _started()
    return Local(writable=_writable, executable=_executable, vitals=_vitals, take=Memory().take)


def _writable() -> bool:
    with tempfile.TemporaryFile() as file:
        return file.write(b"x") == 1


def _executable(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)


def _vitals() -> Vitals:
    return Vitals(
        pid=os.getpid(),
        memory_bytes=_bytes("VmRSS"),
        threads=threading.active_count(),
        heap_bytes=_bytes("VmData"),
        stack_bytes=_bytes("VmStk"),
        uptime_seconds=time.monotonic() - _started(),
    )


@cache
def _started() -> float:
    return time.monotonic()


def _bytes(name: str) -> int:
    """Read how much memory of a kind the process holds, in bytes (Linux, as Lambda is)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
