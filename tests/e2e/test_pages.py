"""The console blocks of every page that wants a running stack, each page from its top in one shell."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import Stack, free_port, write_env
from tests import pages, transcripts

SENT = "conductor-loop submit examples/intents/intent-scale-up-001.json --wait"
REFUSED = "aws s3 cp examples/intents/intent-too-many.json s3://$HANDOFF_BUCKET/"
ANSWERED = "conductor-loop status intent-too-many.json --wait 60"


pytestmark = pytest.mark.long  # a program starts for each line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a clone whose stack runs, with the intents of the first hour in it, one of which is refused."""
    clone = pages.made(tmp_path_factory.mktemp("reader") / "clone")
    stack = Stack(free_port(), parameters={"AuditLock": "governance"})
    try:
        write_env(stack, stack.up(), clone / ".local")
        first = [transcripts.Step(command, "") for command in (". .local/env", SENT, REFUSED, ANSWERED)]
        transcripts.run(first, clone, transcripts.reader(), seconds=300)
        yield clone
    finally:
        stack.down()


@pytest.mark.parametrize("page", pages.on_a_stack())
def test_the_page_prints_what_it_says(folder: Path, page: str) -> None:
    environment = transcripts.reader() | {"BASH_ENV": str(folder / ".local/env")}
    wrong = pages.wrong(page, folder, environment, seconds=600)
    assert not wrong, "\n\n".join(wrong)
