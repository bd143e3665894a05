"""A valid intent by default, and the ways to run porch on it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from porch.cli import main

ROOT = Path(__file__).parents[3]
PORCH = ROOT / "layers" / "porch" / "bin" / "porch"
KUBECTL = Path(sys.executable).with_name("kubectl")  # of requirements/dev.txt: no test is skipped

# The interpreter of the tests goes first on PATH, because the shebang takes whichever python3 it finds there.
PATH = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])


def intent(**changes: Any) -> dict[str, Any]:
    fields = {"intent_type": "scaling", "target": "cnf-simulator", "namespace": "oran-sim", "replicas": 3}
    return fields | changes


def write_intent(directory: Path, name: str = "intent-daily-001.json", **changes: Any) -> Path:
    path = directory / name
    path.write_text(json.dumps(intent(**changes)))
    return path


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run porch the way its caller does: by its path, with an environment of nothing but what is given."""
    return _execute([str(PORCH), *map(str, arguments)], environment)


def call(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run porch in this process: to start one takes longer than everything that it does."""
    before = dict(os.environ)
    with ExitStack() as stack:
        printed = [stack.enter_context(_redirected(descriptor)) for descriptor in (1, 2)]
        os.environ.clear()
        os.environ.update({"PATH": PATH} | environment)
        try:
            code = main([*map(str, arguments)])
        finally:
            os.environ.clear()
            os.environ.update(before)
        out, err = (os.pread(file.fileno(), 1 << 24, 0).decode() for file in printed)
    return subprocess.CompletedProcess([*map(str, arguments)], code, out, err)


@contextmanager
def _redirected(descriptor: int) -> Iterator[IO[bytes]]:
    """Have what is written to a descriptor in a file."""
    before = os.dup(descriptor)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield file
        finally:
            os.dup2(before, descriptor)
            os.close(before)


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of /bin/sh, for redirections and limits."""
    return _execute(["/bin/sh", "-c", script], {})


def _execute(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": PATH} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
