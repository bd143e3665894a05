"""The console blocks of the pages that need no stack."""

import os
from pathlib import Path

import pytest

from tests import pages, transcripts


@pytest.mark.parametrize("page", pages.ALONE)
def test_the_page_prints_what_it_says(page: str, tmp_path: Path) -> None:
    folder = pages.made(tmp_path / "clone")
    environment = transcripts.reader()
    environment["PATH"] = f"{pages.ROOT / '.venv/bin'}{os.pathsep}{environment['PATH']}"
    wrong = pages.wrong(page, folder, environment, seconds=600)
    assert not wrong, "\n\n".join(wrong)
