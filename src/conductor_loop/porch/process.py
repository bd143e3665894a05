"""One child process, from its start until it and its descendants have ended.

It knows nothing of porch: a command goes in, its output and exit status come out. Lambda refuses some system calls, and
AWS does not document which, so whatever here is not plain POSIX may fail: it then contains less, and still works.
"""

import ctypes
import math
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from conductor_loop.porch.descendants import Descendants
from conductor_loop.porch.limits import Limits, Stop

_CHUNK_BYTES = 65_536  # what a pipe holds
_POLL_SECONDS = 0.002  # once the output is closed: the exit follows at once
_LEAST_SECONDS, _MOST_SECONDS = 0.05, 0.5  # between two checks of the run's bounds
_IDLENESS = 20  # checks take one part in so many of the CPU, unless that makes them too rare
_GO_RESERVES_BYTES = 1024**3
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own
_PR_SET_DUMPABLE = 4
_ENVIRONMENT = slice(47, 49)  # of /proc/self/stat, behind the name: its initial place in memory (proc_pid_stat(5))


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``argv`` reaches the program as it is, without a shell."""

    argv: tuple[str, ...]
    directory: Path  # where it runs; of this run alone, and in ``environment``: descendants are found by it
    environment: Mapping[str, str]  # the whole of it
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. ``exit_code`` is negative for the signal that killed it."""

    exit_code: int
    stopped: Stop | None
    stdout: bytes  # complete, unless stopped for OUTPUT
    stderr: bytes
    duration_seconds: float
    left: tuple[str, ...] = ()  # names of the descendants that were alive when it ended


def execute(command: Command, limits: Limits) -> Ended:
    """Run a command to its end, or end it, and kill its descendants.

    Raises `OSError` if it cannot be started, or if something else in this process took its exit status.
    """
    harden_process()
    started = time.monotonic()
    with _start(command) as child:
        descendants = Descendants(child.pid, os.fsencode(command.directory))
        output = _Output(child, limits.output_bytes)
        try:
            _confine(descendants, limits)
            run = _Run(descendants, command.directory, limits, started + command.timeout_seconds)
            stopped = run.supervise(output)
        finally:
            left = descendants.end()
        output.drain()
        stopped = stopped or (Stop.OUTPUT if output.too_large else None)
        return Ended(child.wait(), stopped, *output.heads(), time.monotonic() - started, left)


def _start(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - argv without a shell; the program is the operator's
        command.argv,
        cwd=command.directory,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def _confine(descendants: Descendants, limits: Limits) -> None:
    """Set the limits that each process has, and that all it starts inherits.

    From outside: code between fork and exec is not safe beside threads. A process runs without limits for a moment.
    """
    _limit(descendants.leader, limits)
    for each in descendants.living():  # and what it has started since
        _limit(each.pid, limits)
    with suppress(OSError):  # should memory run out, the kernel is to kill porch, not the function
        Path(f"/proc/{descendants.leader}/oom_score_adj").write_text("1000")


def _limit(pid: int, limits: Limits) -> None:
    # Memory is RLIMIT_DATA: RLIMIT_AS counts what is merely reserved, and every Go program reserves 600 MiB at its
    # start. RLIMIT_AS, with room for that, remains for shared mappings, which RLIMIT_DATA does not count.
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_AS: limits.memory_bytes + _GO_RESERVES_BYTES,
        resource.RLIMIT_NOFILE: limits.file_descriptors,
        resource.RLIMIT_FSIZE: limits.file_bytes,
    }
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or a sandbox refuses
        for kind, value in wanted.items():
            _, hard = resource.prlimit(pid, kind)
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (bound, bound))


class _Output:
    """What a child prints: taken from its pipes as it comes, up to a bound, so that it neither blocks nor floods."""

    def __init__(self, child: subprocess.Popen[bytes], bound: int) -> None:
        self.streams = {pipe.fileno(): bytearray() for pipe in (child.stdout, child.stderr) if pipe}
        self.bound = bound
        for pipe in self.streams:
            os.set_blocking(pipe, False)

    @property
    def too_large(self) -> bool:
        return sum(map(len, self.streams.values())) > self.bound

    def read(self, pipe: int) -> bool:
        """Take what is there; return whether more may come."""
        chunk = os.read(pipe, _CHUNK_BYTES)
        self.streams[pipe] += chunk
        return bool(chunk)

    def drain(self) -> None:
        """Take what is left in the pipes, once no process writes to them."""
        for pipe in self.streams:
            with suppress(BlockingIOError):
                while not self.too_large and self.read(pipe):
                    pass

    def heads(self) -> tuple[bytes, bytes]:
        stdout, stderr = self.streams.values()
        return bytes(stdout[: self.bound]), bytes(stderr[: self.bound])


@dataclass(slots=True)
class _Run:
    """A run in progress, and when it gets SIGTERM: at the deadline; SIGKILL: after the grace."""

    descendants: Descendants
    directory: Path
    limits: Limits
    deadline: float
    check_at: float = field(default_factory=lambda: time.monotonic() + _LEAST_SECONDS)
    stopped: Stop | None = None

    def supervise(self, output: _Output) -> Stop | None:
        """Wait until the leader has ended or the run exceeds a bound; return the bound."""
        with selectors.DefaultSelector() as selector:
            for pipe in output.streams:
                selector.register(pipe, selectors.EVENT_READ)
            while True:
                poll = self.check_at - time.monotonic() if selector.get_map() else _POLL_SECONDS
                for key, _ in selector.select(max(0.0, min(self.deadline - time.monotonic(), poll))):
                    if not output.read(key.fd):
                        selector.unregister(key.fd)
                # The leader's end counts, not that of its output: a descendant may keep that open.
                if os.waitid(os.P_PID, self.descendants.leader, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                    return self.stopped
                if stop := Stop.OUTPUT if output.too_large else self._exceeded():
                    return self.stopped or stop
                if time.monotonic() >= self.deadline:
                    self._expire()

    def _expire(self) -> None:
        self.descendants.signal(signal.SIGKILL if self.stopped else signal.SIGTERM)
        self.deadline = math.inf if self.stopped else time.monotonic() + self.limits.grace_seconds
        self.stopped = Stop.TIME

    def _exceeded(self) -> Stop | None:
        """Check what the run uses as a whole, as often as is cheap: the kernel bounds single processes and files."""
        if time.monotonic() < self.check_at:
            return None
        started = time.thread_time()  # of the CPU: checks are not rarer on a machine that a runaway forker keeps busy
        has_too_many_tasks = sum(each.threads for each in self.descendants.living()) > self.limits.tasks
        stop = Stop.TASKS if has_too_many_tasks else Stop.DISK if self._fills_disk() else None
        pause = _IDLENESS * (time.thread_time() - started)
        self.check_at = time.monotonic() + min(max(_LEAST_SECONDS, pause), _MOST_SECONDS)
        return stop

    def _fills_disk(self) -> bool:
        size_bytes = 0
        try:
            for entries, status in enumerate(_below(str(self.directory)), 1):
                size_bytes += status.st_blocks * _BLOCK_BYTES
                if size_bytes > self.limits.disk_bytes or entries > self.limits.disk_entries:
                    return True
        except OSError:  # closed to this user, or too deep: what cannot be measured cannot be bounded
            return True
        return False


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


@cache
def harden_process() -> None:
    """Hide this process's memory, environment and descriptors from other processes of its user.

    On Lambda they hold the function's credentials, and porch runs as the same user. Not dumpable (prctl(2)), until
    ``exec``, so that porch itself can be debugged. Lambda refuses other uses of `prctl`, so the environment is also
    wiped from the place that ``/proc/<pid>/environ`` shows; Python's environ and ``getenv`` work as before.
    """
    with suppress(OSError, ValueError, AttributeError, IndexError):  # another libc, or no /proc
        libc = ctypes.CDLL(None)
        _wipe_environment(libc)
        libc.prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def _wipe_environment(libc: ctypes.CDLL) -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[_ENVIRONMENT])
    environment = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    libc.strdup.restype = ctypes.c_void_p
    index = 0
    while address := environment[index]:
        if start <= address < end:  # variables that were set later lie elsewhere
            environment[index] = libc.strdup(ctypes.c_void_p(address))
        index += 1
    ctypes.memset(start, 0, end - start)
