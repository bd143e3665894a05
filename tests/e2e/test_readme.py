"""README.md, line by line, with the environments that are here; tests/e2e/test_first_hour.py has them made anew."""

import subprocess
from pathlib import Path

from dev.stack import LOCAL, free_port
from tests import pages, transcripts


def read(page: str, clone: Path) -> None:
    """Type the commands of a page, and stop what they, or a test of the clone's, leave running."""
    port = free_port()
    home = clone.parent / f"home on {port}"
    home.mkdir()
    # Without these caches all would be fetched once more.
    caches = {"UV_CACHE_DIR": str(LOCAL / "cache/uv"), "PIP_CACHE_DIR": str(LOCAL / "cache/pip")}
    environment = caches | transcripts.reader() | {"PORT": str(port), "HOME": str(home)}
    try:
        wrong = pages.wrong(page, clone, environment, seconds=1500)
    finally:
        for left in [port, *(int(one.name) for one in (clone / ".local").iterdir() if one.name.isdecimal())]:
            subprocess.run(["make", "down", f"PORT={left}"], cwd=clone, check=False, capture_output=True)
    assert not wrong, "\n\n".join(wrong)
    # pip asks rustc, where there is one, for its version, and rustup's makes a folder for itself.
    assert {one.name for one in home.iterdir()} <= {".rustup"}, "nothing is written outside the clone"


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    read("README.md", pages.made(tmp_path / "a clone"))
