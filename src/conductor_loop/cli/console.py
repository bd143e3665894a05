"""What is printed: tables for people in a terminal, tab-separated lines for a pipe, JSON for programs, progress."""

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import click
from rich import progress as bars
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
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    flexible: str = "",
    least: Collection[str] = (),
) -> None:
    """Print a table: in a terminal aligned, headed and never wider than it; in a pipe one line a row, tabs between.

    Args:
        columns: Their names.
        rows: As many cells each.
        flexible: The column that is cut, with an ellipsis, where the terminal is narrow.
        least: Columns that a narrow terminal goes without, the first ones first, where the flexible one needs room.

    """
    clean = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_table(columns, clean, flexible, least)
        return
    for row in clean:
        click.echo("\t".join(row))


def _print_table(columns: Sequence[str], rows: list[list[str]], flexible: str, least: Collection[str]) -> None:
    terminal = screen()
    widths = {name: max(len(name), *(len(row[at]) for row in rows)) if rows else 0 for at, name in enumerate(columns)}
    shown = _fitting(widths, flexible, least, terminal.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        if name == flexible:  # rich makes narrower what could be wrapped; its cells then say that they are cut
            table.add_column(name.upper(), overflow="ellipsis")
        else:
            table.add_column(name.upper(), no_wrap=True, min_width=widths[name])
    for row in rows:
        cells = [Text(one, style=STYLES.get(one, ""), no_wrap=True, overflow="ellipsis") for one in row]
        table.add_row(*(cell for name, cell in zip(columns, cells, strict=True) if name in shown))
    terminal.print(table)


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
        screen(stderr=True).print(
            Text(word, style=colour).append(text, style="default"), no_wrap=True, overflow="ellipsis"
        )
    else:
        click.echo(word + text, err=True)


def printable(text: str) -> str:
    """Put untrusted text into one line that moves no cursor and rings no bell."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


def lines_of(text: str, style: Callable[[str], str] | None = None) -> None:
    """Print untrusted text of many lines."""
    for line in text.splitlines():
        clean = "\t".join(map(printable, line.split("\t")))
        click.echo(style(clean) if style else clean)


class Progress:
    """How many of all are done, and a word about the others: a bar on standard error; in a pipe, a line at the end."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total, self._done, self._began = doing, total, 0, time.monotonic()
        words = bars.TextColumn(
            "{task.fields[others]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        )
        shown = (bars.TextColumn("{task.description:8}"), bars.BarColumn(24), bars.MofNCompleteColumn())
        times = bars.TimeElapsedColumn()
        self._bar = bars.Progress(*shown, times, words, console=screen(stderr=True), expand=True)
        self._bar.disable = not sys.stderr.isatty()
        self._task = self._bar.add_task(doing, total=total, others="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def show(self, done: int, others: str = "") -> None:
        """Draw how far it is."""
        self._done = done
        self._bar.update(self._task, completed=done, others=others)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._bar.stop()
        if self._bar.disable:
            seconds = time.monotonic() - self._began
            click.echo(f"{self._doing}: {self._done} of {self._total} in {seconds:.1f} s", err=True)
