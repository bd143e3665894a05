"""What the API rests on, passed in; and what its process says of itself. ``handler`` builds them."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.rates import Memory, Take
from conductor_loop.storage.listing import Answered, Listed, Page, Wanted
from conductor_loop.storage.measures import Counts, TableSize
from conductor_loop.tokens import Client


class Intents(Protocol):
    """Intents in the bucket and in the state table; ``aws.inbox`` says what each method does."""

    def put(self, name: str, body: bytes, *, replace: bool) -> str: ...  # noqa: D102
    def waiting(self, name: str) -> Listed | None: ...  # noqa: D102
    def failed(self, name: str, max_bytes: int) -> bytes | None: ...  # noqa: D102
    def status(self, name: str) -> Mapping[str, Any] | None: ...  # noqa: D102
    def newest(self, name: str) -> Answered | None: ...  # noqa: D102
    def page(self, wanted: Wanted, now: float) -> Page: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Measures:
    """What can be measured; all of them may raise NotAnswering."""

    queue_size: Callable[[], int]  # messages that wait
    queue_depths: Callable[[], Mapping[str, int]]  # of each queue, by priority, and of the dead letters, as "dead"
    active_workers: Callable[[], int]  # claims that are not released
    counts: Callable[[float], Counts]  # at a time (epoch seconds)
    table_size: Callable[[], TableSize]
    encryption_status: Callable[[], str]  # enabled or impaired


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the process is like, now."""

    pid: int
    memory_bytes: int
    threads: int
    heap_bytes: int
    stack_bytes: int
    uptime_seconds: float


@dataclass(frozen=True, slots=True)
class Local:
    """What needs no service."""

    writable: Callable[[], bool]  # whether /tmp takes a file
    executable: Callable[[str], bool]  # whether there is a program of that path
    vitals: Callable[[], Vitals]
    take: Take  # a token of a bucket of this process


@dataclass(frozen=True, slots=True)
class Services:
    """Everything with an effect."""

    config: Config
    verify: Callable[[str, float], Client | None]  # a token, epoch seconds; may raise NotAnswering
    take: Take
    intents: Intents
    measures: Measures
    local: Local
    note: Callable[[Counted], None]  # of what the API itself counts in CloudWatch
    record: Callable[[str, Mapping[str, object], float], None]  # an audit entry: request id, fields, epoch seconds
    trace: Callable[[Intent], None]  # called with each intent that is read, for the log lines that follow
    clock: Callable[[], float]  # epoch seconds
    timer: Callable[[], float]  # seconds of a monotonic clock
    new_id: Callable[[], str]  # that sorts by time, of letters and digits


def local() -> Local:
    """Return what needs no service; the first call is this copy's start, which an import before a snapshot is not."""
    _started()
    return Local(writable=_writable, executable=_executable, vitals=_vitals, take=Memory().take)


@cache
def _started() -> float:
    return time.monotonic()


def _writable() -> bool:
    with tempfile.TemporaryFile() as file:
        return file.write(b"x") == 1


def _executable(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)


def _vitals() -> Vitals:
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]  # of Linux, as Lambda is
    sizes = {line[0]: int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
    memory, heap, stack = (sizes.get(name, 0) for name in ("VmRSS:", "VmData:", "VmStk:"))
    return Vitals(os.getpid(), memory, threading.active_count(), heap, stack, time.monotonic() - _started())
