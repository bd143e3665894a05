"""Which test runs the console blocks of which page of the documentation; whatever is not named here runs on a stack."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests import transcripts

ROOT = Path(__file__).parents[1]
ALONE = ("docs/porch-contract.md", "docs/validation.md")
"""Need no stack: tests/integration/test_pages.py."""
STARTING = ("docs/first-hour.md", "README.md", "CONTRIBUTING.md", "examples/README.md")
"""Start a stack, and another one, and end it, as the pages say: tests/e2e/test_first_hour.py."""


def markdown() -> list[str]:
    """Name every page of the repository, those that are not committed yet included."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(name for name in set(names) if name and (ROOT / name).exists())


def with_blocks_to_run() -> list[str]:
    """Name the pages with a console block that is not marked."""
    return [page for page in markdown() if any(block.reason is None for block in transcripts.blocks(ROOT / page))]


def on_a_stack() -> list[str]:
    """Name the pages that are run against a stack that is up: tests/e2e/test_pages.py."""
    return [page for page in with_blocks_to_run() if page not in (*ALONE, *STARTING)]


def clone(folder: Path) -> Path:
    """Clone the project as it is here, with what is not committed."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
    listing = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, changed.split("\0")):
        (folder / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def made(folder: Path) -> Path:
    """Clone the project, with the environments that `make setup` has made here."""
    clone(folder)
    (folder / ".local").mkdir()
    for name in (".venv", "layers/porch/lib/vendor", ".local/uv", ".local/tools", ".local/ministack"):
        (folder / name).symlink_to(ROOT / name)
    now = time.time()
    for stamp in (ROOT / ".local").glob("*.stamp"):
        made = folder / ".local" / stamp.name
        made.touch()
        os.utime(made, (now, now))  # newer than the requirements, and none older than another
    return folder


EXACT = ("docs/first-hour.md",)
"""Where a command that the page shows no output of prints nothing."""


def wrong(page: str, folder: Path, environment: dict[str, str], seconds: float) -> list[str]:
    """Run the blocks of a page in one shell; return what differs from the page.

    A command that the page shows no output of has to end well; one with output has to print it, on either stream.
    """
    steps = [step for block in transcripts.blocks(folder / page) if block.reason is None for step in block.steps]
    ran = transcripts.run(steps, folder, environment, seconds)
    reported = []
    for step, (output, code) in zip(steps, ran, strict=False):
        if not (step.is_matched_by(output) if step.prints or page in EXACT else code == 0):
            expected = step.prints or "exit code 0"
            reported.append(f"$ {step.command}\n{output}\nexit code {code}\n-- instead of --\n{expected}")
    return reported if len(ran) == len(steps) else [*reported, f"the shell ended at: $ {steps[len(ran)].command}"]
