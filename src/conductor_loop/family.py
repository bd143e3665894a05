"""A child process and everything it started: found wherever it went, and killed.

A child left running on Lambda would survive into the next invocation of the same environment.
"""

import os
import resource
import selectors
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PASSES = 2  # over who was started before the limits held; more find none, unless the limits cannot be set


class Family:
    """A child and everything it started, wherever that went.

    Its process group is killed as a whole. Who left the group is found in ``/proc`` by any of three marks that are
    inherited and that no other run has: the session; the run's directory in the environment (HOME); and a brand, a
    number of our choice as RLIMIT_RTTIME, which binds real-time processes only and here to some hundred thousand
    years, but which `setsid` and an emptied environment leave as it is. Runs beside this one in other threads are
    therefore safe. Becoming the reaper of all orphans (PR_SET_CHILD_SUBREAPER) would find them too, but is not allowed
    on Lambda, and makes no difference between the orphans of one run and of another.
    """

    def __init__(self, leader: int, directory: bytes) -> None:
        self.leader = leader
        self.directory = directory
        self.brand = 2**62 + int.from_bytes(os.urandom(7))

    def limit(self, wanted: Mapping[int, int]) -> None:
        """Set the brand and resource limits (kind to value) on the leader, and so on all that it starts.

        From outside, because code between fork and exec is not safe beside threads and switches `subprocess` from vfork
        to fork, and because a launcher costs each run the start of a second program. The price is a moment after the
        start without limits. They count what was used in it, and whom the leader started in it is limited as well.
        """
        wanted = {resource.RLIMIT_RTTIME: self.brand, **wanted}
        with suppress(PermissionError):  # a sandbox that refuses this has limits of its own
            _set_limits(self.leader, wanted)
            for _ in range(_PASSES):
                early = [pid for pid in _processes() if self._is_in_session(pid) and not self._is_branded(pid)]
                for pid in early:
                    _set_limits(pid, wanted)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader's process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.leader, number)

    def end(self, grace_seconds: float) -> None:
        """Kill whatever is alive and wait until it is dead. The leader is left to be reaped."""
        self.signal(signal.SIGKILL)
        # Not `Popen.wait`: that frees the leader's id while we still use it, and reports a lost exit status as 0.
        os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + grace_seconds
        dead: set[int] = set()
        while (strays := self._members() - dead) and time.monotonic() < deadline:  # again: a stray may have forked
            for pid in strays:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
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
        with suppress(OSError):
            return self.brand in resource.prlimit(pid, resource.RLIMIT_RTTIME)
        return False

    def _knows_directory(self, pid: int) -> bool:
        with suppress(OSError):
            return self.directory in Path(f"/proc/{pid}/environ").read_bytes()
        return False


def _processes() -> list[int]:
    with suppress(OSError), os.scandir("/proc") as entries:  # without /proc the group is all that is known
        return [int(entry.name) for entry in entries if entry.name.isdigit()]
    return []


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
