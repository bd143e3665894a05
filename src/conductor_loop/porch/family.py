"""A child process and everything it started: found wherever it went, and killed.

A child left running on Lambda would survive into the next invocation of the same environment.
"""

import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch.brand import (
    MARK,
    hard_limit,
    is_answered_for,
    is_below,
    is_brand,
    marks_of,
    name_alive,
    parent_of,
    workers,
)

_PASSES = 3  # over who was started before the limits held; each leaves fewer, unless limits cannot be set at all
_SWEEP_SECONDS = 5.0  # for all strays to die; they do in milliseconds, unless the kernel keeps one in a system call
_CROWD, _REAPING_SECONDS = 64, 2.0  # so many dead take places that the next run may need; init reaps them in a moment


@dataclass(frozen=True, slots=True)
class Family:
    """A child and everything it started, wherever that went.

    Its process group is killed as a whole. Who left the group is found in ``/proc`` by any of three marks that are
    inherited and that no other run has: the brand, the session, and the run's directory in the environment (HOME). Runs
    beside this one in other threads are therefore safe. The brand is a hard limit: who wants to be rid of it can only
    lower it, never lift it, and so all the other limits. Who bears a brand that no worker answers for, or no brand but
    a run's limits or lower ones, is of this family as much as of any. The brand as a soft limit alone is not enough:
    what another thread of ours starts in the same moment bears it too, until `limit` takes it away.
    Becoming the reaper of all orphans (PR_SET_CHILD_SUBREAPER) would find them too, but is refused on Lambda, and does
    not tell the orphans of one run from those of another.
    """

    leader: int
    directory: bytes
    brand: int
    limits: Mapping[int, int]  # resource limits, kind to value

    def limit(self) -> None:
        """Set the limits on the leader, and so on all that it starts.

        From outside, because code between fork and exec is not safe beside threads and switches `subprocess` from vfork
        to fork, and because a launcher costs each run the start of a second program. The price is a moment after the
        start without limits. They count what was used in it, and whom the leader started in it is limited as well.
        """
        wanted = {**self.limits, MARK: self.brand}  # the last: who bears it as a hard limit, has them all
        with suppress(PermissionError, ValueError):  # a sandbox that refuses this has limits of its own
            _set_limits(self.leader, wanted)
            for _ in range(_PASSES):
                self._limit_all(wanted)

    def _limit_all(self, wanted: Mapping[int, int]) -> None:
        for pid in _processes():
            match marks_of(pid):
                case (self.brand, self.brand):
                    pass
                case (self.brand, theirs) if self._is_bystander(pid):
                    _set_limits(pid, {MARK: theirs})
                case (self.brand, _):
                    _set_limits(pid, wanted)
                case _ if self._is_in_session(pid):
                    _set_limits(pid, wanted)

    def living(self) -> list[int]:
        """Find the family as far as that is cheap: the leader, and who bears its brand or is in its session."""
        return [pid for pid in _processes() if self._is_in_session(pid) or self._is_branded(pid)]

    def _is_branded(self, pid: int) -> bool:
        match marks_of(pid):
            case (_, self.brand):
                return True
            case (self.brand, _):
                return not self._is_bystander(pid)
        return False

    def _is_bystander(self, pid: int) -> bool:
        """Whether a process comes from us by another way than the leader: of the run there are only orphans so near.

        Those are adopted by the system's first process; where that is us, it cannot be told, and a run comes first.
        """
        ours = os.getpid()
        while pid not in {0, 1, ours, self.leader}:
            pid = parent_of(pid)
        return pid == ours != 1

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader's process group, at once, and then to whoever has left it."""
        _send_group(self.leader, number)
        for pid in self.living():
            with suppress(OSError):
                if os.getpgid(pid) != self.leader:
                    os.kill(pid, number)

    def end(self) -> tuple[str, ...]:
        """Kill whatever is alive and wait until it is dead; the names of what was, beside the leader.

        The leader is left to be reaped.
        """
        _send_group(self.leader, signal.SIGSTOP)  # as `_stopped` does
        known = set(self.living()) - {self.leader}
        names = [name for pid in known if (name := name_alive(pid))]
        _send_group(self.leader, signal.SIGKILL)
        # Not `Popen.wait`: that frees the leader's id while we still use it, and reports a lost exit status as 0.
        os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + _SWEEP_SECONDS
        dead: set[int] = set()
        while (strays := _stopped(self._members, dead, deadline)) and time.monotonic() < deadline:
            names += [name for pid in strays - known if (name := name_alive(pid))]
            kin = {pid for pid in strays if self._is_kin(pid)}  # of an outlaw nobody knows whose child it is
            _send(strays, signal.SIGKILL)
            for pid in strays:
                _await_death(pid, deadline)
            _reap(kin)
            dead |= strays
        _send(strays, signal.SIGKILL)
        _await_reaping(known | dead)
        return tuple(names)

    def _members(self) -> set[int]:
        return {pid for pid in _processes() if self._owns(pid)} - {self.leader, os.getpid()}

    def _owns(self, pid: int) -> bool:
        return self._is_kin(pid) or self._is_outlaw(pid)

    def _is_kin(self, pid: int) -> bool:
        return self._is_in_session(pid) or self._is_branded(pid) or self._knows_directory(pid)

    def end_outlaws(self) -> None:
        """Kill who is of a run that nobody answers for, on sight: it belongs to no run whose use is counted."""
        _send(_stopped(self._outlaws, set(), time.monotonic() + _SWEEP_SECONDS), signal.SIGKILL)

    def _outlaws(self) -> set[int]:
        return {pid for pid in _processes() if self._is_outlaw(pid)}

    def _is_outlaw(self, pid: int) -> bool:
        """Whether a process is of a run, and of none that is live: it changed its mark, or outlived its worker.

        A limit on locks alone proves nothing: people and services set one (``ulimit -x``, LimitLOCKS).
        """
        mark, ours = (marks_of(pid) or (0, resource.RLIM_INFINITY))[1], marks_of(0)
        if (
            mark == resource.RLIM_INFINITY or not ours or ours[1] != resource.RLIM_INFINITY
        ):  # then all that we start bears a limit, branded or not
            return False
        of_a_run = not is_answered_for(mark) if is_brand(mark) else self._is_limited(pid) and not self._has_worker(mark)
        return of_a_run and _identity(pid) == _identity(os.getpid())

    def _is_limited(self, pid: int) -> bool:
        """Whether a process bears all the limits of a run, or lower ones, and only a run can have given them to it."""
        telling = {kind: value for kind, value in self.limits.items() if kind != resource.RLIMIT_CORE}  # 0 for many
        return all(is_below(value, hard_limit(pid, kind)) for kind, value in self.limits.items()) and not any(
            is_below(value, hard_limit(0, kind)) for kind, value in telling.items()
        )

    def _has_worker(self, mark: int) -> bool:
        """Whether a worker lives that could give its runs no other mark, because it is under this very limit itself."""
        return any(hard_limit(pid, MARK) == mark and not self._is_limited(pid) for pid in workers())

    def _is_in_session(self, pid: int) -> bool:
        with suppress(OSError):
            return os.getsid(pid) == self.leader
        return False

    def _knows_directory(self, pid: int) -> bool:
        with suppress(OSError):
            return self.directory in Path(f"/proc/{pid}/environ").read_bytes()
        return False


def _stopped(find: Callable[[], set[int]], dead: set[int], deadline: float) -> set[int]:
    """Stop all that are found before the first is killed.

    A runaway forker that has used up all processes there are would otherwise fork again for each one we kill; what is
    stopped does not fork, and keeps its place. Nobody new in a whole pass means that nobody is left.
    """
    stopped: set[int] = set()
    while strays := find() - dead - stopped:
        _send(strays, signal.SIGSTOP)
        stopped |= strays
        if time.monotonic() > deadline:
            break
    return stopped


def _identity(pid: int) -> tuple[str, int] | None:
    """Whose a process is: its user ids, and how many namespaces of process ids deep it lives."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return fields["Uid"].strip(), len(fields["NSpid"].split())
    return None


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


def _send(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(OSError):  # it is gone
            os.kill(pid, number)


def _send_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _await_reaping(pids: set[int]) -> None:
    """Wait until a crowd of orphans is not even dead any more: until then they count as processes of our user."""
    deadline = time.monotonic() + _REAPING_SECONDS
    while len(pids) > _CROWD and time.monotonic() < deadline:
        time.sleep(0.005)
        pids = {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def _await_death(pid: int, deadline: float) -> None:
    with suppress(OSError):  # it is gone; or we cannot wait for what is not our child: it has been sent SIGKILL
        descriptor = os.pidfd_open(pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_READ)
                selector.select(max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)


def _reap(kin: set[int]) -> None:
    """Take the exit statuses of dead kin where we are a container's first process, the parent of orphans."""
    for pid in kin:
        with suppress(OSError):  # not our child
            os.waitpid(pid, os.WNOHANG)
