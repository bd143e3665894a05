"""The pages that start stacks of their own, line by line in a fresh clone."""

from pathlib import Path

import pytest

from tests import pages
from tests.e2e import test_readme

pytestmark = pytest.mark.long  # fetches everything, and starts a stack for each page


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.clone(tmp_path_factory.mktemp("reader") / "a clone")


@pytest.mark.parametrize("page", pages.STARTING)
def test_the_page_prints_what_it_says(clone: Path, page: str) -> None:
    test_readme.read(page, clone)
