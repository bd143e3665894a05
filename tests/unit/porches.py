"""Small real programs that stand in for porch, and a bench to run them on."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from conductor_loop.porch import Limits, Mode, Porch, PorchFailed, PorchRequest, Result, workspace
from conductor_loop.porch.process import Process, processes

INTENT = {"intent_type": "scaling", "target": "cnf-simulator", "namespace": "oran-sim", "replicas": 3}
GOOD = "echo 'kind: Kptfile' > $4/Kptfile; echo 'Package successfully created: cnf-simulator-v1.0.0'"

# The limits are set from outside, right after the start; the last one shows that all are.
LIMITED = """
import resource, time
while resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY:
    time.sleep(0.001)
"""
LIMITED_SHELL = "while [ $(ulimit -f) = unlimited ]; do sleep 0.01; done"


@dataclass
class Bench:
    """Runs programs on one work root, and checks that no run leaves its directory there.

    A shell program finds the intent in ``$2`` and the package's directory in ``$4``, a Python one in ``argv[2]`` and
    ``argv[4]``. Programs report to the test below ``aside``.
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
            return self.porch(path).run(PorchRequest(file, self.document, self.timeout_seconds, *self.previous))
        finally:
            assert not any(self.root.glob("[!a]*"))  # at-start stays

    def failure(self, path: str) -> PorchFailed:
        with pytest.raises(PorchFailed) as caught:
            self.run(path)
        return caught.value


@contextmanager
def contained(folder: Path) -> Iterator[Bench]:
    """Yield a bench, and check that a good porch still runs on it afterwards, with no process of the test alive.

    Programs write the ids of what they start to ``$aside/pids``. No other process is ever taken for a leftover: the
    machine is not the test's alone.
    """
    bench = Bench(folder)
    pids = bench.aside / "pids"

    def alive() -> list[Process]:
        own = set(map(int, pids.read_text().split())) if pids.exists() else set()
        return processes(own.__contains__)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workspace, "processes", alive)
        patched.setattr(workspace, "REMOVAL_SECONDS", math.inf)
        workspace._processes_at_start.cache_clear()
        yield bench
        bench.timeout_seconds, bench.limits, bench.cleans = 20.0, Limits(), None
        assert bench.run(bench.program(GOOD)).run.exit_code == 0
    workspace._processes_at_start.cache_clear()
    assert alive() == []
