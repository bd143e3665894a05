"""docs/first-hour.md, line by line in a fresh clone; then the pages that start stacks of their own, in that clone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import LOCAL, free_port
from tests import pages, transcripts


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.clone(tmp_path_factory.mktemp("reader") / "a clone")


@pytest.fixture
def port(clone: Path) -> Iterator[int]:
    """Give a port, and stop what was left running there, or by a test of the clone's."""
    port = free_port()
    yield port
    for left in [port, *(int(one.name) for one in (clone / ".local").iterdir() if one.name.isdecimal())]:
        subprocess.run(["make", "down", f"PORT={left}"], cwd=clone, check=False, capture_output=True)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[] if page == "README.md" else pytest.mark.long) for page in pages.STARTING]
)
def test_the_page_prints_what_it_says(clone: Path, port: int, page: str) -> None:
    # Without these caches all would be fetched once more.
    caches = {"UV_CACHE_DIR": str(LOCAL / "cache/uv"), "PIP_CACHE_DIR": str(LOCAL / "cache/pip")}
    home = clone.parent / f"home on {port}"
    home.mkdir()
    environment = caches | transcripts.reader() | {"PORT": str(port), "HOME": str(home)}
    wrong = pages.wrong(page, clone, environment, seconds=1500)
    assert not wrong, "\n\n".join(wrong)
    # pip asks rustc, where there is one, for its version, and rustup's makes a folder for itself.
    assert {one.name for one in home.iterdir()} <= {".rustup"}, "nothing is written outside the clone"
