"""What is printed: tables for people in a terminal, tab-separated lines for a pipe, JSON for programs."""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conductor_loop.intents.model import SPELLINGS

STYLES: Mapping[str, str] = {
    "success": "green", "skipped": "cyan", "failed": "red", "timeout": "red", "retrying": "yellow",
    "processing": "blue",
}  # fmt: skip
_READABLE = 30  # characters of a name that say which it is
_GAP = 2  # between two columns
_WORDS = {str(state): word for word, state in SPELLINGS.items()}


def stdout() -> Console:
    """Give standard output as rich draws on it; rich itself hears NO_COLOR, FORCE_COLOR and TERM."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Give standard error, where progress goes."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def word(state: str) -> str:
    """Give the word for a state that is shown everywhere, and that the specification has for a status."""
    return _WORDS.get(state, str(state))


def print_json(found: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document."""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    flexible: str = "",
    least: Collection[str] = (),
    header_in_pipe: bool = False,
) -> None:
    """Print a table: in a terminal aligned, headed and never wider than it; in a pipe one line a row, tabs between.

    Args:
        columns: Their names.
        rows: As many cells each.
        flexible: The column that is cut, with an ellipsis, where the terminal is narrow.
        least: Columns that a narrow terminal goes without, the first ones first, where the flexible one needs room.
        header_in_pipe: Whether a pipe gets the names, too.

    """
    clean = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_table(columns, clean, flexible, least)
        return
    for row in [columns, *clean] if header_in_pipe else clean:
        click.echo("\t".join(row))


def _print_table(columns: Sequence[str], rows: list[list[str]], flexible: str, least: Collection[str]) -> None:
    screen = stdout()
    widths = {name: max(len(name), *(len(row[at]) for row in rows)) if rows else 0 for at, name in enumerate(columns)}
    shown = _fitting(widths, flexible, least, screen.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        if name == flexible:  # rich makes narrower what could be wrapped; its cells then say that they are cut
            table.add_column(name.upper(), overflow="ellipsis")
        else:
            table.add_column(name.upper(), no_wrap=True, min_width=widths[name])
    for row in rows:
        table.add_row(*(cell(text) for name, text in zip(columns, row, strict=True) if name in shown))
    screen.print(table)


def _fitting(widths: Mapping[str, int], flexible: str, least: Collection[str], width: int) -> list[str]:
    """Give the columns that a terminal shows: without the ``least``, until the flexible one can be read."""
    shown, wanted = [*widths], min(widths.get(flexible, 0), _READABLE)
    for name in least:
        room = width - sum(widths[one] + _GAP for one in shown if one != flexible)
        if room >= wanted:
            break
        shown.remove(name)
    return shown


def note(word: str, text: str, colour: str) -> None:
    """Say something on standard error: one line, which a terminal shows as far as it is wide."""
    if sys.stderr.isatty():
        stderr().print(Text(word, style=colour).append(text, style="default"), no_wrap=True, overflow="ellipsis")
    else:
        click.echo(word + text, err=True)


def cell(text: str) -> Any:  # noqa: ANN401 - rich's Text
    """Give a cell its colour, if its word has one."""
    return Text(text, style=STYLES.get(text, ""), no_wrap=True, overflow="ellipsis")


def printable(text: str) -> str:
    """Put untrusted text into one line that moves no cursor and rings no bell."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


def lines_of(text: str, style: Callable[[str], str] | None = None) -> None:
    """Print untrusted text of many lines."""
    for line in text.splitlines():
        clean = "\t".join(map(printable, line.split("\t")))
        click.echo(style(clean) if style else clean)
