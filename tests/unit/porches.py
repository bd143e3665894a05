"""Small real programs that stand in for porch, and a bench to run them on."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from conductor_loop.porch import Limits, Mode, Porch, PorchFailed, Request, Result

INTENT = {"intent_type": "scaling", "target": "cnf-simulator", "namespace": "oran-sim", "replicas": 3}
GOOD = "echo 'kind: Kptfile' > $4/Kptfile; echo 'Package successfully created: cnf-simulator-v1.0.0'"

# The limits are set from outside, right after the start; under load a program may be faster than a moment.
LIMITED = """
import resource, time
while resource.getrlimit(10)[1] == resource.RLIM_INFINITY:
    time.sleep(0.001)
"""
LIMITED_SHELL = "while [ $(ulimit -f) = unlimited ]; do sleep 0.01; done"


@dataclass
class Bench:
    """Runs programs on one work root, and holds that each run leaves it empty.

    A shell program finds the intent in ``$2`` and the package's directory in ``$4``, a Python one in ``argv[2]`` and
    ``argv[4]``. What a test wants to know of a program it has written below ``aside``, which no run touches.
    """

    folder: Path
    timeout_seconds: float = 20.0
    mode: Mode = Mode.DIRECT
    limits: Limits = field(default_factory=lambda: Limits(grace_seconds=0.1))
    environment: Mapping[str, str] = field(default_factory=dict)
    cleans: Path | None = None
    previous: tuple[str | None, int | None] = (None, None)
    document: Mapping[str, Any] = field(default_factory=lambda: dict(INTENT))

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def aside(self) -> Path:
        path = self.folder / "aside"
        path.mkdir(exist_ok=True)
        return path

    def program(self, text: str, interpreter: str = "/bin/sh") -> str:
        path = self.folder / f"porch-{len(list(self.folder.iterdir()))}"
        path.write_text(f"#!{interpreter}\naside={str(self.aside)!r}\n{dedent(text)}\n")
        path.chmod(0o755)
        return str(path)

    def python(self, text: str) -> str:
        return self.program("import os, signal, sys\n" + dedent(text), f"{sys.executable} -IS")

    def porch(self, path: str) -> Porch:
        return Porch(path, self.mode, self.environment, self.root, self.limits, self.cleans)

    def run(self, path: str, file: str = "intent-a.json") -> Result:
        try:
            return self.porch(path).run(Request(file, self.document, self.timeout_seconds, *self.previous))
        finally:
            assert not self.root.exists() or not any(self.root.iterdir())

    def failure(self, path: str) -> PorchFailed:
        with pytest.raises(PorchFailed) as caught:
            self.run(path)
        return caught.value


@contextmanager
def contained(folder: Path) -> Iterator[Bench]:
    """Yield a bench, and hold that a good porch still runs on it afterwards, with nothing of the test's alive.

    Programs write the ids of what they start to ``$aside/pids``.
    """
    bench = Bench(folder)
    with pytest.MonkeyPatch.context() as patched:  # what is left, is not so for want of time
        for module in ("leftovers", "workspace"):
            patched.setattr(f"conductor_loop.porch.{module}.REMOVAL_SECONDS", math.inf)
        yield bench
        bench.timeout_seconds, bench.limits = 20.0, Limits()
        assert bench.run(bench.program(GOOD)).run.exit_code == 0
    pids = bench.aside / "pids"
    assert [pid for pid in (pids.read_text().split() if pids.exists() else ()) if is_alive(int(pid))] == []


@contextmanager
def other_worker(bench: Bench, text: str, *launcher: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of our user, in the middle of a run of a program that has written to ``$aside/up``."""
    script = "import sys; from pathlib import Path; from conductor_loop.porch import Porch, Request\n"
    script += "Porch(sys.argv[1], work_root=Path(sys.argv[2])).run(Request('intent-z.json', {}, 60.0))"
    command = [*launcher, sys.executable, "-c", script, bench.program(text), str(bench.folder / "another-root")]
    os.mkfifo(bench.aside / "up")
    with subprocess.Popen(command) as process:
        (bench.aside / "up").read_text()
        yield process


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # a zombie is dead; who reaps it depends on the system's first process
