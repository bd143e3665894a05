"""A progress bar on standard error; where that is no terminal, a line at the end."""

import sys
import time
from types import TracebackType
from typing import Any, Self

import click
from rich import progress as bars
from rich.table import Column

from conductor_loop.cli import console


class Progress:
    """Shows how many of all are done, and a word about the others."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total = doing, total
        self._done, self._began = 0, time.monotonic()
        self._bar: bars.Progress | None = _bar() if sys.stderr.isatty() else None
        self._task: Any = self._bar.add_task(doing, total=total, others="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def show(self, done: int, others: str) -> None:
        """Draw how far it is."""
        self._done = done
        if self._bar:
            self._bar.update(self._task, completed=done, others=others)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        else:
            seconds = time.monotonic() - self._began
            click.echo(f"{self._doing}: {self._done} of {self._total} in {seconds:.1f} s", err=True)


def _bar() -> bars.Progress:
    words = bars.TextColumn("{task.fields[others]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    return bars.Progress(
        bars.TextColumn("{task.description:8}"),
        bars.BarColumn(bar_width=24),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        words,
        console=console.stderr(),
        expand=True,
    )
