"""What a run uses as a whole, checked while it runs: the kernel bounds single processes and files only."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from conductor_loop.porch.descendants import Descendants
from conductor_loop.porch.limits import Limits, Stop

_LEAST_SECONDS, _MOST_SECONDS = 0.05, 0.5  # between two checks
_IDLENESS = 20  # checks take one part in so many of the CPU, unless that makes them too rare
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own


class Checks:
    """Checks a run as often as is cheap."""

    def __init__(self, descendants: Descendants, directory: Path, limits: Limits) -> None:
        self.descendants = descendants
        self.directory = directory
        self.limits = limits
        self.due = time.monotonic() + _LEAST_SECONDS

    @property
    def seconds_left(self) -> float:
        """Seconds until the next check."""
        return max(0.0, self.due - time.monotonic())

    def exceeded(self) -> Stop | None:
        """Return the bound that the run has exceeded, if any."""
        started = time.thread_time()  # of the CPU: checks are not rarer on a machine that a runaway forker keeps busy
        stop = self._tasks() or self._disk()
        pause = _IDLENESS * (time.thread_time() - started)
        self.due = time.monotonic() + min(max(_LEAST_SECONDS, pause), _MOST_SECONDS)
        return stop

    def _tasks(self) -> Stop | None:
        return Stop.TASKS if sum(each.threads for each in self.descendants.living()) > self.limits.tasks else None

    def _disk(self) -> Stop | None:
        size_bytes = 0
        try:
            for entries, status in enumerate(_below(str(self.directory)), 1):
                size_bytes += status.st_blocks * _BLOCK_BYTES
                if size_bytes > self.limits.disk_bytes or entries > self.limits.disk_entries:
                    return Stop.DISK
        except OSError:  # closed to this user, or too deep: what cannot be measured cannot be bounded
            return Stop.DISK
        return None


def _below(top: str) -> Iterator[os.stat_result]:
    """Yield the status of each entry below a directory that changes meanwhile."""
    waiting = [top]
    while waiting:
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
