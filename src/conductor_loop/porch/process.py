"""One child process, from its start until it and its descendants have ended.

It knows nothing of porch: a command goes in, its output and exit status come out. Lambda refuses some system calls, and
AWS does not document which, so whatever here is not plain POSIX may fail: it then contains less, and still works.
"""

import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch.descendants import Descendants
from conductor_loop.porch.harden import harden_process
from conductor_loop.porch.limits import Limits, Stop
from conductor_loop.porch.usage import Checks

_CHUNK_BYTES = 65_536  # what a pipe holds
_POLL_SECONDS = 0.002  # once the output is closed: the exit follows at once


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
            clock = _Clock(started + command.timeout_seconds, limits.grace_seconds)
            stopped = _attend(descendants, output, clock, Checks(descendants, command.directory, limits))
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
    limits.impose([descendants.leader])
    limits.impose(each.pid for each in descendants.living())  # and what it has started since
    with suppress(OSError):  # should memory run out, the kernel is to kill porch, not the function
        Path(f"/proc/{descendants.leader}/oom_score_adj").write_text("1000")


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


class _Clock:
    """When to send SIGTERM, and when SIGKILL: at the deadline, and after the grace."""

    def __init__(self, deadline: float, grace_seconds: float) -> None:
        self.deadline = deadline  # infinite: SIGKILL has been sent
        self.grace_seconds = grace_seconds
        self.has_expired = False

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def expire(self, descendants: Descendants) -> None:
        """Send the signal that is due, and set the next deadline."""
        descendants.signal(signal.SIGKILL if self.has_expired else signal.SIGTERM)
        self.deadline = math.inf if self.has_expired else time.monotonic() + self.grace_seconds
        self.has_expired = True


def _attend(descendants: Descendants, output: _Output, clock: _Clock, checks: Checks) -> Stop | None:
    """Wait until the leader has ended or exceeds a bound; send it the signals of a timeout."""
    with selectors.DefaultSelector() as selector:
        for pipe in output.streams:
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            poll = checks.seconds_left if selector.get_map() else _POLL_SECONDS
            for key, _ in selector.select(min(clock.seconds_left, poll)):
                if not output.read(key.fd):
                    selector.unregister(key.fd)
            timed_out = Stop.TIME if clock.has_expired else None
            # The leader's end counts, not that of its output: a descendant may keep that open.
            if os.waitid(os.P_PID, descendants.leader, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                return timed_out
            if stop := _exceeded(output, checks):
                return timed_out or stop
            if clock.seconds_left == 0.0:
                clock.expire(descendants)


def _exceeded(output: _Output, checks: Checks) -> Stop | None:
    if output.too_large:
        return Stop.OUTPUT
    return checks.exceeded() if checks.seconds_left == 0.0 else None
