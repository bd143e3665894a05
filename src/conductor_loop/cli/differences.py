"""How two packages differ, as ``diff -u`` has it."""

import difflib
from collections.abc import Iterator, Mapping

import click

from conductor_loop.aws.packages import Stored
from conductor_loop.cli import console

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def changes(old: Stored, new: Stored) -> Mapping[str, list[str]]:
    """Give the lines of each file that differs, by its path."""
    found = {path: list(_changed(path, old, new)) for path in sorted(old.files.keys() | new.files.keys())}
    return {path: lines for path, lines in found.items() if lines}


def print_changes(old: Stored, new: Stored) -> None:
    """Print the differences, and how many files have any."""
    found = changes(old, new)
    for line in (line for lines in found.values() for line in lines):
        console.lines_of(line, _coloured)
    every = len(old.files.keys() | new.files.keys())
    click.echo(f"{old.name} -> {new.name}: {len(found)} of {every} files differ", err=True)


def _changed(path: str, old: Stored, new: Stored) -> Iterator[str]:
    before, after = old.files.get(path, b""), new.files.get(path, b"")
    if before == after and path in old.files and path in new.files:
        return
    texts = text_of(before), text_of(after)
    was, now = (f"{one.name}/{path}" if path in one.files else "/dev/null" for one in (old, new))
    if texts[0] is None or texts[1] is None:
        yield f"Binary files {was} and {now} differ"
        return
    yield from difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), was, now, lineterm="")


def _coloured(line: str) -> str:
    return click.style(line, bold=True) if line[:3] in {"+++", "---"} else click.style(line, fg=_COLOURS.get(line[:1]))


def text_of(body: bytes) -> str | None:
    """Give the text of a file; ``None`` for one that is none."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
