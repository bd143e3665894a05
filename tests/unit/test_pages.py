"""Every console block of the documentation is run by a test, or says why not."""

import re

import pytest

from tests import pages, transcripts
from tests.e2e import test_first_hour, test_pages
from tests.integration import test_pages as test_alone

FENCED = re.compile(r"^ *```(\S*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def run_by(module: object) -> list[str]:
    """Name the pages that the test of a module runs."""
    (mark,) = module.test_the_page_prints_what_it_says.pytestmark  # type: ignore[attr-defined]
    return [one if isinstance(one, str) else one.values[0] for one in mark.args[1]]


def test_every_page_is_run_by_one_test() -> None:
    run = [page for module in (test_first_hour, test_pages, test_alone) for page in run_by(module)]
    assert sorted(run) == pages.with_blocks_to_run()
    assert len(run) > 10


@pytest.mark.parametrize("page", pages.markdown())
def test_what_one_types_is_in_console_blocks(page: str) -> None:
    """No test would run others."""
    for language, text in FENCED.findall((pages.ROOT / page).read_text()):
        assert language not in {"sh", "bash", "shell", "shell-session", "zsh"}, text
        assert text.lstrip().startswith("$ ") == (language == "console"), text


@pytest.mark.parametrize("page", pages.markdown())
def test_a_block_that_is_not_run_says_why(page: str) -> None:
    marks = len(re.findall(r"^ *<!-- not run:", (pages.ROOT / page).read_text(), re.MULTILINE))
    reasons = [block.reason for block in transcripts.blocks(pages.ROOT / page) if block.reason is not None]
    assert len(reasons) == marks, "each mark stands right before its block"
    assert all(len(reason.split()) > 3 for reason in reasons)


def test_a_page_that_says_something_else_would_be_noticed() -> None:
    step = transcripts.Step("echo 3", "… replicas")
    assert not step.is_matched_by("3\n")
    assert step.is_matched_by("3 replicas\n")
