"""A child process and everything it started: found wherever it went, and killed.

A child left running on Lambda would survive into the next invocation of the same environment.
"""

import os
import resource
import selectors
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PASSES = 3  # over who was started before the limits held; each leaves fewer, unless limits cannot be set at all
_SWEEP_SECONDS = 5.0  # for all strays to die; they do in milliseconds, unless the kernel keeps one in a system call
_STARTING = threading.Lock()


@contextmanager
def branded(brand: int) -> Iterator[None]:
    """Give everything that this process starts meanwhile a number of our choice, which all its descendants inherit.

    The number is RLIMIT_RTTIME. It binds real-time processes only, and these to some hundred thousand years, so that we
    may bear it for a moment ourselves; and neither `setsid` nor an emptied environment takes it away.
    """
    with _STARTING:
        ours = _time_limits(0)
        if not ours:  # a sandbox refuses: two other marks remain
            yield
            return
        with suppress(ValueError):  # a system that bounds it lower: likewise
            resource.setrlimit(resource.RLIMIT_RTTIME, (brand, ours[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_RTTIME, ours)


def new_brand() -> int:
    """Return a number that no other run has."""
    return 2**62 + int.from_bytes(os.urandom(7))


@dataclass(frozen=True, slots=True)
class Family:
    """A child and everything it started, wherever that went.

    Its process group is killed as a whole. Who left the group is found in ``/proc`` by any of three marks that are
    inherited and that no other run has: the brand, the session, and the run's directory in the environment (HOME). Runs
    beside this one in other threads are therefore safe. Becoming the reaper of all orphans (PR_SET_CHILD_SUBREAPER)
    would find them too, but is refused on Lambda, and does not tell the orphans of one run from those of another.
    """

    leader: int
    directory: bytes
    brand: int

    def limit(self, wanted: Mapping[int, int]) -> None:
        """Set resource limits (kind to value) on the leader, and so on all that it starts.

        From outside, because code between fork and exec is not safe beside threads and switches `subprocess` from vfork
        to fork, and because a launcher costs each run the start of a second program. The price is a moment after the
        start without limits. They count what was used in it, and whom the leader started in it is limited as well.
        """
        wanted = {**wanted, resource.RLIMIT_RTTIME: self.brand}  # the last: who bears it as a hard limit, has them all
        with suppress(PermissionError):  # a sandbox that refuses this has limits of its own
            _set_limits(self.leader, wanted)
            for _ in range(_PASSES):
                for pid in self._unlimited():
                    _set_limits(pid, wanted)

    def _unlimited(self) -> list[int]:
        relatives = (pid for pid in _processes() if self._is_in_session(pid) or self._is_branded(pid))
        return [pid for pid in relatives if _time_limits(pid) != (self.brand, self.brand)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader's process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.leader, number)

    def end(self) -> None:
        """Kill whatever is alive and wait until it is dead. The leader is left to be reaped."""
        self.signal(signal.SIGKILL)
        # Not `Popen.wait`: that frees the leader's id while we still use it, and reports a lost exit status as 0.
        os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + _SWEEP_SECONDS
        dead: set[int] = set()
        while strays := self._members() - dead:  # again: a stray may have forked before it died
            for pid in strays:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return
            for pid in strays:
                _await_death(pid, deadline)
            dead |= strays

    def _members(self) -> set[int]:
        return {pid for pid in _processes() if self._owns(pid)} - {self.leader}

    def _owns(self, pid: int) -> bool:
        return self._is_in_session(pid) or self._is_branded(pid) or self._knows_directory(pid)

    def _is_in_session(self, pid: int) -> bool:
        with suppress(OSError):
            return os.getsid(pid) == self.leader
        return False

    def _is_branded(self, pid: int) -> bool:
        return self.brand in (_time_limits(pid) or ())

    def _knows_directory(self, pid: int) -> bool:
        with suppress(OSError):
            return self.directory in Path(f"/proc/{pid}/environ").read_bytes()
        return False


def _processes() -> list[int]:
    with suppress(OSError), os.scandir("/proc") as entries:  # without /proc the group is all that is known
        return [int(entry.name) for entry in entries if entry.name.isdigit()]
    return []


def _time_limits(pid: int) -> tuple[int, int] | None:
    with suppress(OSError):  # it is gone, or not ours to ask
        return resource.prlimit(pid, resource.RLIMIT_RTTIME)
    return None


def _set_limits(pid: int, wanted: Mapping[int, int]) -> None:
    with suppress(ProcessLookupError):
        for kind, value in wanted.items():
            _, hard = resource.prlimit(pid, kind)
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (bound, bound))


def _await_death(pid: int, deadline: float) -> None:
    with suppress(OSError):  # it is gone; or we cannot wait for what is not our child: it has been sent SIGKILL
        descriptor = os.pidfd_open(pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_READ)
                selector.select(max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)
    with suppress(OSError):  # ours to reap where we are a container's first process, the parent of orphans
        os.waitpid(pid, os.WNOHANG)
