"""docs/first-hour.md, line by line in a fresh clone with a stack of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import ROOT, free_port
from tests import transcripts


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Clone the project as it is here, with what is not committed."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
    listing = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, changed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def port(clone: Path) -> Iterator[int]:
    """Give a port, and stop what was left running there."""
    port = free_port()
    yield port
    subprocess.run(["make", "down", f"PORT={port}"], cwd=clone, check=False, capture_output=True)


def test_the_first_hour_prints_what_the_page_says(clone: Path, port: int) -> None:
    steps = [step for block in transcripts.blocks(clone / "docs/first-hour.md") for step in block.steps]
    environment = transcripts.reader() | {"PORT": str(port)}
    printed = transcripts.run(steps, clone, environment, seconds=1200)
    wrong = [
        f"$ {step.command}\n{output}\n-- instead of --\n{step.prints}"
        for step, (output, _) in zip(steps, printed, strict=True)
        if not step.is_told_by(output)
    ]
    assert not wrong, "\n\n".join(wrong)
