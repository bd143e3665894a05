"""What is printed: tables for people in a terminal, tab-separated lines for a pipe, JSON for programs, progress."""

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich import progress
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from conductor_loop.intents.model import SPELLINGS

STYLES: Mapping[str, str] = {
    "success": "green", "skipped": "cyan", "failed": "red", "timeout": "red", "retrying": "yellow",
    "processing": "blue",
}  # fmt: skip
_READABLE = 30  # characters of a name that say which it is
_GAP = 2  # between two columns
_WORDS = {str(state): word for word, state in SPELLINGS.items()}


def screen(*, stderr: bool = False) -> Console:
    """Give standard output or error as rich draws on it; rich itself reads NO_COLOR, FORCE_COLOR and TERM."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def word(state: str) -> str:
    """Give the word for a state that is shown everywhere, and that the specification has for a status."""
    return _WORDS.get(state, str(state))


def print_json(found: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document."""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, flexible: str = "", least: Collection[str] = ()
) -> None:
    """Print a table: in a terminal aligned, headed and never wider than it; in a pipe one line a row, tabs between.

    A narrow terminal goes without the columns ``least``, the first ones first, and cuts the column ``flexible``.
    """
    clean = [[printable(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in clean:
            click.echo("\t".join(row))
        return
    _print_table(columns, clean, flexible, least)


def _print_table(columns: Sequence[str], rows: list[list[str]], flexible: str, least: Collection[str]) -> None:
    terminal, dropped = screen(), set[str]()
    widths = {name: max(len(name), *(len(row[at]) for row in rows), 0) for at, name in enumerate(columns)}
    needed = sum(widths.values()) + _GAP * (len(columns) - 1) - max(widths.get(flexible, 0) - _READABLE, 0)
    for name in least:
        if needed > terminal.width:
            dropped.add(name)
            needed -= widths[name] + _GAP
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        if name == flexible:  # rich makes narrower what could be wrapped; its cells then say that they are cut
            table.add_column(name.upper(), overflow="ellipsis")
        elif name not in dropped:
            table.add_column(name.upper(), no_wrap=True, min_width=widths[name])
    for row in rows:
        cells = [Text(one, style=STYLES.get(one, ""), no_wrap=True, overflow="ellipsis") for one in row]
        table.add_row(*(cell for name, cell in zip(columns, cells, strict=True) if name not in dropped))
    terminal.print(table)


def note(word: str, text: str, colour: str) -> None:
    """Say something on standard error: one line, which a terminal shows as far as it is wide."""
    if sys.stderr.isatty():
        screen(stderr=True).print(Text.assemble((word, colour), text), no_wrap=True, overflow="ellipsis")
    else:
        click.echo(word + text, err=True)


def printable(text: str) -> str:
    """Put untrusted text into one line that moves no cursor and rings no bell."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


def print_lines(text: str, style: Callable[[str], str] = str) -> None:
    """Print untrusted text of many lines."""
    for line in text.splitlines():
        click.echo(style("\t".join(map(printable, line.split("\t")))))


@contextmanager
def bar(doing: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Draw how many of all are done, and a word about the others, on standard error; in a pipe, a line at the end."""
    others = progress.TextColumn(
        "{task.fields[others]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    shown = (progress.TextColumn("{task.description:8}"), progress.BarColumn(24), progress.MofNCompleteColumn())
    times, disable = progress.TimeElapsedColumn(), not sys.stderr.isatty()
    began, done = time.monotonic(), 0

    def show(number: int, about: str = "") -> None:
        nonlocal done
        done = number
        drawn.update(task, completed=number, others=about)

    with progress.Progress(*shown, times, others, console=screen(stderr=True), expand=True, disable=disable) as drawn:
        task = drawn.add_task(doing, total=total, others="")
        yield show
    if disable:
        click.echo(f"{doing}: {done} of {total} in {time.monotonic() - began:.1f} s", err=True)
