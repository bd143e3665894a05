"""One child process, from its start to the end of everything it started.

It knows nothing of porch: a command goes in, what it printed and how it ended come out. AWS documents a system call
filter around Lambda functions and not what it holds (`prctl` is known to be refused), so everything here that is not
plain POSIX is allowed to fail: it then contains less, and still works.
"""

import math
import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch.brand import branded, branding
from conductor_loop.porch.family import Family
from conductor_loop.porch.limits import Limits, Stop
from conductor_loop.porch.shield import hide_ourselves
from conductor_loop.porch.watch import Ground, Watch

_CHUNK_BYTES = 65_536  # what a pipe holds
_GO_RESERVES_BYTES = 1024 * 1024**2  # see `_bounds`


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``argv`` reaches the program as it is: no shell ever sees it."""

    argv: tuple[str, ...]
    directory: Path  # where it runs; unique to this run, and named in ``environment``: strays are known by it
    environment: Mapping[str, str]  # the whole of it
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. ``exit_code`` is negative for the signal that killed it, whoever sent that."""

    exit_code: int
    stopped: Stop | None
    stdout: bytes  # complete, unless stopped for OUTPUT
    stderr: bytes
    duration_seconds: float
    left: tuple[str, ...] = ()  # names of the processes that it left running, or that were killed with it


def execute(command: Command, limits: Limits) -> Ended:
    """Run a command to its end, or end it; nothing that it started is alive afterwards.

    Raises `OSError` if it cannot be started, or if something else in this process took its exit status.
    """
    hide_ourselves()
    with branded() as brand:
        return _execute(command, limits, brand)


def _execute(command: Command, limits: Limits, brand: int) -> Ended:
    started = time.monotonic()
    ground = Ground.of(command.directory)
    with branding(brand):
        child = _start(command)
    with child:
        family = Family(child.pid, os.fsencode(command.directory), brand, _bounds(limits))
        output = _Output(child, limits.output_bytes)
        try:
            _confine(family)
            clock = _Clock(started + command.timeout_seconds, limits.grace_seconds)
            stopped = _attend(family, output, clock, Watch(family, ground, limits))
        finally:
            left = family.end()
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


def _bounds(limits: Limits) -> dict[int, int]:
    """Give the resource limits of a run.

    Memory is RLIMIT_DATA: RLIMIT_AS counts what is merely reserved, and every Go program reserves 600 MiB at its
    start. RLIMIT_AS, with room for that, remains for what RLIMIT_DATA does not count (shared mappings).
    """
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_AS: limits.memory_bytes + _GO_RESERVES_BYTES,
        resource.RLIMIT_NOFILE: limits.file_descriptors,
        resource.RLIMIT_FSIZE: limits.file_bytes,
    }


def _confine(family: Family) -> None:
    """Set the limits of a run that has just started."""
    family.limit()
    with suppress(OSError):  # should memory run out, the kernel is to choose porch, and not us
        Path(f"/proc/{family.leader}/oom_score_adj").write_text("1000")


class _Output:
    """What a child prints: taken from its pipes as it comes, up to a bound, so that it neither blocks nor floods us."""

    def __init__(self, child: subprocess.Popen[bytes], bound: int) -> None:
        self.streams = {pipe.fileno(): bytearray() for pipe in (child.stdout, child.stderr) if pipe}
        self.bound = bound
        for pipe in self.streams:
            os.set_blocking(pipe, False)

    @property
    def too_large(self) -> bool:
        return sum(map(len, self.streams.values())) > self.bound

    def read(self, pipe: int) -> bool:
        """Take what is there; whether more may come."""
        chunk = os.read(pipe, _CHUNK_BYTES)
        self.streams[pipe] += chunk
        return bool(chunk)

    def drain(self) -> None:
        """Take what is left in the pipes; ends, since nobody can write any more or the bound is reached."""
        for pipe in self.streams:
            with suppress(BlockingIOError):
                while not self.too_large and self.read(pipe):
                    pass

    def heads(self) -> tuple[bytes, bytes]:
        stdout, stderr = self.streams.values()
        return bytes(stdout[: self.bound]), bytes(stderr[: self.bound])


class _Clock:
    """When to ask a run to end, and when to make it: at the deadline, and after the grace."""

    def __init__(self, deadline: float, grace_seconds: float) -> None:
        self.deadline = deadline  # infinite: SIGKILL has been sent, all that is left is to wait
        self.grace_seconds = grace_seconds
        self.asked = False

    @property
    def left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def strike(self, family: Family) -> None:
        """Send the family what is due, and set the next deadline."""
        family.signal(signal.SIGKILL if self.asked else signal.SIGTERM)
        self.deadline = math.inf if self.asked else time.monotonic() + self.grace_seconds
        self.asked = True


def _attend(family: Family, output: _Output, clock: _Clock, watch: Watch) -> Stop | None:
    """Wait until a child has ended, and end it for its output, the clock or what it uses, whichever comes first."""
    stopped: Stop | None = None
    with _exit_of(family.leader) as exited, selectors.DefaultSelector() as selector:
        for descriptor in (exited, *output.streams):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select(min(clock.left, watch.left))]
            if exited in ready:
                # A grandchild may hold the pipes open for ever: what counts is the child.
                return stopped or watch.last_look()
            for pipe in ready:
                if not output.read(pipe):
                    selector.unregister(pipe)
            if broken := _broken(output, watch):
                return stopped or broken  # and whoever called us kills it
            if clock.left == 0.0:
                stopped = Stop.TIME
                clock.strike(family)


def _broken(output: _Output, watch: Watch) -> Stop | None:
    if output.too_large:
        return Stop.OUTPUT
    return watch.look() if watch.left == 0.0 else None


@contextmanager
def _exit_of(pid: int) -> Iterator[int]:
    """Yield a descriptor that becomes readable when a child has ended; the child is not reaped."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # an older kernel, or a sandbox that refuses it
        descriptor = _closed_at_exit_of(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _closed_at_exit_of(pid: int) -> int:
    ours, theirs = os.pipe()

    def wait() -> None:
        with suppress(ChildProcessError):  # it was reaped meanwhile: it has ended
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(theirs)

    threading.Thread(target=wait, daemon=True).start()
    return ours
