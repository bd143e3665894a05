"""What the API rests on, passed in; and what its process says of itself. ``handler`` builds them."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.rates import Memory, Take
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.listing import Listing
from conductor_loop.storage.measures import Counters, QueueDepths
from conductor_loop.tokens import Client


class Local:
    """What needs no service; the first one is made as this copy starts, which an import before a snapshot is not."""

    def __init__(self) -> None:
        _started()
        self.take: Take = Memory().take

    def writable(self) -> bool:
        """Say whether /tmp takes a file."""
        with tempfile.TemporaryFile() as file:
            return file.write(b"x") == 1

    def executable(self, path: str) -> bool:
        """Say whether there is a program of that path."""
        return Path(path).is_file() and os.access(path, os.X_OK)

    def vitals(self) -> dict[str, float]:
        """Measure the process: threads, memory, seconds since its start; by the names that the catalogue has."""
        lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]  # of Linux, as Lambda is
        sizes = {line[0]: int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
        return {
            "threads": threading.active_count(),
            "memory_bytes": sizes.get("VmRSS:", 0),
            "heap_bytes": sizes.get("VmData:", 0),
            "stack_bytes": sizes.get("VmStk:", 0),
            "uptime_seconds": time.monotonic() - _started(),
        }


@cache
def _started() -> float:
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Services:
    """Everything with an effect."""

    config: Config
    verify: Callable[[str, float], Client | None]  # a token, epoch seconds; may raise NotAnswering
    take: Take
    intents: Inbox
    listing: Listing
    queues: QueueDepths
    state: Counters
    local: Local
    note: Callable[[Counted], None]  # of what the API itself counts in CloudWatch
    record: Callable[[str, Mapping[str, object], float], None]  # an audit entry: request id, fields, epoch seconds
    trace: Callable[[Intent], None]  # called with each intent that is read, for the log lines that follow
    clock: Callable[[], float]  # epoch seconds
    timer: Callable[[], float]  # seconds of a monotonic clock
    new_id: Callable[[], str]  # that sorts by time, of letters and digits
