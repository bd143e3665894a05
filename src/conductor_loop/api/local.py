"""What the process can say of itself and of its file system."""

import os
import tempfile
import threading
import time
from pathlib import Path

from conductor_loop.api.parts import Local, Vitals
from conductor_loop.rates import Memory

_STARTED = time.monotonic()
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def local() -> Local:
    """Give what needs no service."""
    return Local(writable=_writable, executable=_executable, vitals=_vitals, take=Memory().take)


def _writable() -> bool:
    with tempfile.TemporaryFile() as file:
        return file.write(b"x") == 1


def _executable(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)


def _vitals() -> Vitals:
    return Vitals(os.getpid(), _memory_bytes(), threading.active_count(), time.monotonic() - _STARTED)


def _memory_bytes() -> int:
    """Read what the process holds in memory; its second number, in pages (Linux, as Lambda is)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
