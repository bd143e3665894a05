"""The embedded AWS of a local stack: a process that outlives the program that starts it."""

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60
_STOP_SECONDS = 60  # before it is killed
_TAIL = 3000  # characters of its log that show why it does not start
_SCRIPT = Path(__file__).with_name("emulator.py")


@dataclass(frozen=True)
class Server:
    """One embedded AWS on loopback."""

    python: Path  # of MiniStack's environment
    port: int
    home: Path  # folder that it writes to
    environment: Mapping[str, str]  # of it, and so of the functions, over its own

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._pid() is not None

    @property
    def taken(self) -> bool:
        """Whether anybody listens on its port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self) -> None:
        """Start it, and wait until it answers; end this program, with the end of its log, where it does not."""
        log = self.home / "aws.log"
        pid = os.posix_spawn(  # not subprocess: this process may end long before the server does
            str(self.python),
            [str(self.python), str(_SCRIPT)],
            self._variables(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._pid_file.write_text(str(pid))
        deadline = time.monotonic() + _START_SECONDS
        while not self._healthy():
            if not _alive(pid) or time.monotonic() > deadline:
                sys.exit(f"the embedded AWS does not start:\n{log.read_text()[-_TAIL:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it and its functions."""
        pid = self._pid()
        if pid is None:
            return
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _alive(pid):
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.1)

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "LANG": "C.UTF-8",
            "BIND_HOST": "127.0.0.1",  # its default is every interface
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "false",  # or it opens a port for MQTT
            "AUTH": "true",  # IAM enforced: a role must really allow each call
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",  # no limit of its own: dev/emulator.py has one at which calls wait
            **self.environment,
        }

    @property
    def _pid_file(self) -> Path:
        return self.home / "pid"

    def _pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text())
        except FileNotFoundError:
            return None
        return pid if _alive(pid) and "ministack" in _command(pid) else None  # a pid may be another program's by now

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
        except OSError:
            return False


def _alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # or a child that ended would count as alive
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _command(pid: int) -> str:
    """Read a process's command line; where there is no /proc, believe that it is ours."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return "ministack"
