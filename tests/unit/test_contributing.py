"""CONTRIBUTING.md, the hooks, and the files for GitHub."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
YAML = [".pre-commit-config.yaml", *sorted(str(one.relative_to(ROOT)) for one in (ROOT / ".github").rglob("*.yml"))]


def test_what_is_named_exists() -> None:
    paths = set(re.findall(r"\btests/[\w/]+\.py\b|\]\(([^)]+)\)", TEXT)) - {""}
    paths |= set(re.findall(r"tests/[\w/]+\.py", TEXT))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    (file, test), *_ = re.findall(r"(tests/e2e/\w+\.py)::(\w+)", TEXT)
    assert f"def {test}(" in (ROOT / file).read_text()


def test_the_targets_are_those_of_make() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", TEXT)) <= targets


@pytest.mark.parametrize("file", YAML)
def test_a_file_for_others_can_be_read(file: str) -> None:
    assert isinstance(yaml.safe_load((ROOT / file).read_text()), dict)


def test_the_hooks_run_what_make_setup_installs_and_what_make_check_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = (ROOT / "Makefile").read_text()
    for program in (shlex.split(hook["entry"])[0] for hook in hooks):
        assert (ROOT / program).exists()
        assert program in checks or program == ".venv/bin/python"


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert workflow["permissions"] == {"contents": "read"}


def test_the_workflow_takes_each_action_by_its_commit() -> None:
    """A tag can be moved to another commit; the comment says which version it is."""
    lines = re.findall(r"uses: (.*)", (ROOT / ".github/workflows/ci.yml").read_text())
    assert lines
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in lines)


def test_line_ends_are_lf_on_every_system() -> None:
    listing = ["git", "ls-files", "--eol"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    wrong = [file for file in files if "crlf" in file or "mixed" in file or "attr/text=auto eol=lf" not in file]
    assert files
    assert not wrong
