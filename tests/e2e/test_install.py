"""The command line by itself, as `uv tool install --python 3.13 .` and `pipx install .` make it."""

import os
import subprocess
from pathlib import Path

import pytest

from dev.stack import LOCAL, ROOT

OF_THE_FUNCTIONS = ("aws_lambda_powertools", "prometheus_client")


@pytest.mark.long  # fetches and builds
def test_the_program_installs_with_what_it_needs_and_nothing_of_the_functions(tmp_path: Path) -> None:
    cache = {"UV_CACHE_DIR": str(LOCAL / "cache/uv")}
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    uv = str(LOCAL / "uv/bin/uv")
    install = [uv, "tool", "install", "--quiet", "--python", "3.13", str(ROOT)]
    subprocess.run(install, env=cache | os.environ | places, check=True)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "unknown"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = str(tmp_path / "bin/conductor-loop")
        return subprocess.run(
            [program, *arguments], env=bare, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("--version").stdout.startswith("conductor-loop, version ")
    assert run("validate", str(ROOT / "examples/intents/intent-cleanup.json")).returncode == 0
    assert run("porch-check", str(ROOT / "examples/patch-porch/bin/porch"), "--only", "structured").returncode == 0
    assert run("list").returncode == 2, "no region"
    (packages,) = (tmp_path / "tools/conductor-loop").glob("lib/python3*/site-packages")
    assert (packages / "rich").is_dir()
    assert not [name for name in OF_THE_FUNCTIONS if (packages / name).exists()]
