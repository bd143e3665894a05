"""One child process, from its start until it and its descendants have ended.

It knows nothing of porch: a command goes in, its output and exit status come out. Lambda refuses some system calls, and
AWS does not document which, so whatever here is not plain POSIX may fail: it then contains less, and still works. A
process left running on Lambda would survive into the next invocation of the same environment.
"""

import ctypes
import math
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from pathlib import Path

_MIB = 1024**2
_GO_RESERVES_BYTES = 1024 * _MIB
_CHUNK_BYTES = 65_536  # what a pipe holds
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own
_POLL_SECONDS = 0.002  # once the output is closed, or all are killed: the exit follows at once
_CHECK_SECONDS = 0.05  # between two checks of the run's bounds
_KILL_SECONDS = 5.0  # for all to end; milliseconds, unless the kernel keeps one in a system call
_PR_SET_DUMPABLE = 4
_ENVIRONMENT = slice(47, 49)  # of /proc/self/stat, behind the name: its initial place in memory (proc_pid_stat(5))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. The kernel enforces those marked *each*, for every process; the others are of all together."""

    memory_bytes: int = 512 * _MIB  # each: private memory
    file_descriptors: int = 1024  # each: open at once
    file_bytes: int = 64 * _MIB  # each: the largest file it may write
    disk_bytes: int = 128 * _MIB  # everything in the work directory; a quarter of Lambda's smallest /tmp
    disk_entries: int = 10_000  # files and directories in the work directory: inodes run out as well
    tasks: int = 256  # processes and threads; a quarter of what a function may have
    output_bytes: int = _MIB  # printed, standard output and error together
    kept_output_bytes: int = 16 * 1024  # of each stream, kept for the status
    package_files: int = 100  # in the package; as many directories
    package_bytes: int = 10 * _MIB  # of all files in the package
    grace_seconds: float = 2.0  # from SIGTERM to SIGKILL


class Stop(Enum):
    """Why a run was ended."""

    TIME = auto()
    OUTPUT = auto()
    DISK = auto()
    TASKS = auto()


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
    survivors: tuple[str, ...] = ()  # names of the descendants that were alive when it ended


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
        if os.stat(f"/proc/{pid}").st_uid == os.geteuid():  # noqa: PTH116 - of each process, many times a second
            name, _, rest = _content(f"/proc/{pid}/stat").rpartition(b") ")
            fields = rest.split()  # proc_pid_stat(5), from the third on
            if fields[0] not in {b"Z", b"X"}:
                return Process(pid, int(fields[19]), int(fields[17]), os.fsdecode(name.partition(b"(")[2]))
    return None


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - likewise
        return file.read()


def kill(find: Callable[[], Iterable[Process]]) -> None:
    """Kill what ``find`` lists until it lists nothing: a process may fork while the others are killed."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := [*find()]) and time.monotonic() < deadline:
        for process in found:
            _send(process.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def execute(command: Command, limits: Limits) -> Ended:
    """Run a command to its end, or end it, and kill its descendants.

    Raises `OSError` if it cannot be started, or if something else in this process took its exit status.
    """
    harden_process()
    started = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - argv without a shell; the program is the operator's
        command.argv,
        cwd=command.directory,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as child:
        run = _Run(child, command.directory, limits, started + command.timeout_seconds)
        try:
            _confine(run)
            stopped = run.supervise()
        finally:
            survivors = run.end()
        output = run.output()
        stopped = stopped or (Stop.OUTPUT if run.has_flooded else None)
        return Ended(child.wait(), stopped, *output, time.monotonic() - started, survivors)


def _confine(run: "_Run") -> None:
    """Set the limits of each process from outside: code between fork and exec is not safe beside threads."""
    _limit(run.leader, run.limits)
    for each in run.living():  # and what it has started since
        _limit(each.pid, run.limits)
    with suppress(OSError):  # should memory run out, the kernel is to kill porch, not the function
        Path(f"/proc/{run.leader}/oom_score_adj").write_text("1000")


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


class _Run:
    """A child that leads a session, with the processes that it started.

    Those that leave its process group are found in ``/proc`` by the session or by the run's directory in the
    environment (HOME). PR_SET_CHILD_SUBREAPER would find all, but Lambda refuses it, and it tells no run from another.
    """

    def __init__(self, child: subprocess.Popen[bytes], directory: Path, limits: Limits, deadline: float) -> None:
        self.leader, self.directory, self.limits = child.pid, directory, limits
        self.deadline = deadline  # of SIGTERM; once that is sent, of SIGKILL
        self.stopped: Stop | None = None
        self.check_at = time.monotonic() + _CHECK_SECONDS
        self.streams = {pipe.fileno(): bytearray() for pipe in (child.stdout, child.stderr) if pipe}
        for pipe in self.streams:
            os.set_blocking(pipe, False)

    def living(self) -> list[Process]:
        """List the leader and its descendants that are alive."""
        return processes(self._has)

    def _has(self, pid: int) -> bool:
        with suppress(OSError):  # it has ended, or is another user's
            return os.getsid(pid) == self.leader or os.fsencode(self.directory) in _content(f"/proc/{pid}/environ")
        return False

    def end(self) -> tuple[str, ...]:
        """Kill all and wait until they have ended, without reaping the leader; return its descendants' names."""
        found = self.living()
        _send(-self.leader, signal.SIGKILL)
        with suppress(ChildProcessError):  # something else took its exit status
            os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT)
        if found:  # else the leader had ended, and no process was left that could start another
            kill(self.living)
        return tuple(each.name for each in found if each.pid != self.leader)

    def supervise(self) -> Stop | None:
        """Wait until the leader has ended or the run exceeds a bound; return the bound."""
        with selectors.DefaultSelector() as selector:
            for pipe in self.streams:
                selector.register(pipe, selectors.EVENT_READ)
            while True:
                poll = self.check_at - time.monotonic() if selector.get_map() else _POLL_SECONDS
                for key, _ in selector.select(max(0.0, min(self.deadline - time.monotonic(), poll))):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                # The leader's end counts, not that of its output: a descendant may keep that open.
                if os.waitid(os.P_PID, self.leader, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                    return self.stopped
                if stop := self._exceeded():
                    return self.stopped or stop
                if time.monotonic() >= self.deadline:
                    self._expire()

    def output(self) -> tuple[bytes, bytes]:
        """Take what is left in the pipes, once no process writes to them; return all that was printed, bounded."""
        for pipe in self.streams:
            with suppress(BlockingIOError):
                while not self.has_flooded and self._read(pipe):
                    pass
        stdout, stderr = (bytes(stream[: self.limits.output_bytes]) for stream in self.streams.values())
        return stdout, stderr

    @property
    def has_flooded(self) -> bool:
        """Whether more was printed than may be."""
        return sum(map(len, self.streams.values())) > self.limits.output_bytes

    def _read(self, pipe: int) -> bool:
        """Take what is there, as it comes, so that the run neither blocks nor floods; return whether more may come."""
        chunk = os.read(pipe, _CHUNK_BYTES)
        self.streams[pipe] += chunk
        return bool(chunk)

    def _expire(self) -> None:
        """Send the signal that is due to the process group, at once, and to the descendants outside it."""
        number = signal.SIGKILL if self.stopped else signal.SIGTERM
        _send(-self.leader, number)
        for process in self.living():
            with suppress(ProcessLookupError):
                if os.getpgid(process.pid) != self.leader:
                    _send(process.pid, number)
        self.deadline = math.inf if self.stopped else time.monotonic() + self.limits.grace_seconds
        self.stopped = Stop.TIME

    def _exceeded(self) -> Stop | None:
        """Check what the run uses as a whole: the kernel bounds single processes and files."""
        if self.has_flooded:
            return Stop.OUTPUT
        if time.monotonic() < self.check_at:
            return None
        has_too_many_tasks = sum(each.threads for each in self.living()) > self.limits.tasks
        stop = Stop.TASKS if has_too_many_tasks else Stop.DISK if self._fills_disk() else None
        self.check_at = time.monotonic() + _CHECK_SECONDS
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
    waiting = [top]
    while waiting:
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, or to the process group of a negative id."""
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or has become another user's
        os.kill(pid, number)


@cache
def harden_process() -> None:
    """Hide this process's memory, environment and descriptors from other processes of its user.

    On Lambda they hold the function's credentials, and porch runs as the same user. Not dumpable (prctl(2)), until
    ``exec``, so that porch itself can be debugged. Lambda refuses other uses of `prctl`, so the environment is also
    wiped from the place that ``/proc/<pid>/environ`` shows; Python's environ and ``getenv`` work as before.
    """
    with suppress(OSError, ValueError, AttributeError, IndexError):  # another libc, or no /proc
        libc = ctypes.CDLL(None)
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
        libc.prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))
