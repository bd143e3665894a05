"""The processes that a run has started: found by its session and by its HOME, and killed.

A process left running on Lambda would survive into the next invocation of the same environment.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

_KILL_SECONDS = 5.0  # for all to end; milliseconds, unless the kernel keeps one in a system call
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Process:
    """A living process; id and start together name it, since ids are used again."""

    pid: int
    started: int  # clock ticks since the system's start
    threads: int
    name: str


def processes(is_wanted: Callable[[int], bool] = lambda _: True) -> list[Process]:
    """List the living processes of this user, or those whose ids are wanted; never one of another user."""
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    return [process for pid in pids if is_wanted(pid) and (process := _read(pid))]


def _read(pid: int) -> Process | None:
    with suppress(OSError):  # it has ended
        if os.stat(f"/proc/{pid}").st_uid == os.geteuid():  # noqa: PTH116 - many of them
            name, _, rest = _content(f"/proc/{pid}/stat").rpartition(b") ")
            fields = rest.split()  # proc_pid_stat(5), from the third on
            if fields[0] not in {b"Z", b"X"}:
                return Process(pid, int(fields[19]), int(fields[17]), os.fsdecode(name.partition(b"(")[2]))
    return None


def kill(find: Callable[[], Iterable[Process]]) -> None:
    """Kill what ``find`` lists until it lists nothing: a process may fork while the others are killed."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := [*find()]) and time.monotonic() < deadline:
        for process in found:
            _send(process.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Descendants:
    """A child that leads a session, and the processes that it started.

    Those that leave its process group are found in ``/proc`` by the session or by the run's directory in the
    environment (HOME); one that gives up all three is not. PR_SET_CHILD_SUBREAPER would find it, but Lambda refuses
    that, and it does not tell the orphans of one run from those of another.
    """

    leader: int
    directory: bytes

    def living(self) -> list[Process]:
        """List the leader and its descendants, without those that have ended."""
        return processes(self._has)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, at once, and to the descendants outside it."""
        _send_group(self.leader, number)
        for process in self.living():
            with suppress(ProcessLookupError):
                if os.getpgid(process.pid) != self.leader:
                    _send(process.pid, number)

    def end(self) -> tuple[str, ...]:
        """Kill all and wait until they have ended; return the names of the leader's descendants.

        The leader is not reaped: until then, its id is no other process's.
        """
        found = self.living()
        _send_group(self.leader, signal.SIGKILL)
        with suppress(ChildProcessError):  # something else took its exit status
            os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT)
        if found:  # else the leader had ended, and no process was left that could start another
            kill(self.living)
        return tuple(each.name for each in found if each.pid != self.leader)

    def _has(self, pid: int) -> bool:
        with suppress(OSError):  # it has ended, or is another user's
            return os.getsid(pid) == self.leader or self.directory in _content(f"/proc/{pid}/environ")
        return False


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - a Path takes twice the time, of many reads
        return file.read()


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or has become another user's
        os.kill(pid, number)


def _send_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
