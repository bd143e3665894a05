"""What ``watch`` draws: a snapshot → exactly the lines of the terminal. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from conductor_loop.aws.overview import Snapshot
from conductor_loop.cli.console import STYLES, printable, word
from conductor_loop.cli.rates import Growth
from conductor_loop.counting import DECIDED, FILES, RETRIED
from conductor_loop.storage.listing import Listed

if TYPE_CHECKING:
    from collections.abc import Mapping


_OUTCOMES = {"success": f"{FILES}success", "failed": f"{FILES}failed", "timeout": f"{FILES}timeout"} | {
    "skipped": f"{FILES}skipped",
    "all decided": DECIDED,
    "tried again": RETRIED,
}
_ALARMING = {"dead letters", "unanswered"}  # queues that are empty while all is well
_LATE = 10.0  # seconds that the counters are behind, from which on it is shown
_ABOVE = 13  # lines that the tables above the latest intents take, with the heading of those


@dataclass(frozen=True, slots=True)
class View:
    """One picture of the pipeline, made for the size that the terminal has when it is drawn."""

    place: str
    snapshot: Snapshot
    growth: Growth
    trouble: str = ""  # why the snapshot is an old one
    hint: str = "Ctrl-C leaves"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many of the latest intents as there is room for."""
        height = options.height or console.height
        room = max(height - _ABOVE, 1)
        yield Group(self._title(options.max_width), Text(), self._tables(), Text(), self._bucket(), Text())
        yield self._latest(room, pad=bool(options.height))

    def _title(self, width: int) -> Text:
        clock = f"{datetime.fromtimestamp(self.snapshot.at, UTC):%H:%M:%S}Z"
        right = Text(f"{clock}  {self.hint}", style="dim")
        left = Text(printable(self.trouble), style="bold red") if self.trouble else Text(self.place, style="bold")
        left.truncate(max(width - len(right) - 1, 0), overflow="ellipsis", pad=True)
        return _line(left, Text(" "), right)

    def _tables(self) -> Table:
        grid = Table.grid(padding=(0, 5, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_row(self._queues(), self._outcomes())
        return grid

    def _queues(self) -> Table:
        table = _table("queue", "waiting", "in flight", "later")
        for name, depth in self.snapshot.queues.items():
            style = "bold red" if name in _ALARMING and depth.visible else ""
            table.add_row(name, str(depth.visible), str(depth.in_flight), str(depth.delayed), style=style)
        table.add_row("being worked on", str(self.snapshot.working))
        return table

    def _outcomes(self) -> Table:
        table = _table("outcome", "total", "a minute")
        for name, counter in _OUTCOMES.items():
            rate = self.growth.per_minute(counter)
            total = int(self.snapshot.counts.counters.get(counter, 0))
            shown = "-" if rate is None else f"{rate:.1f}"
            table.add_row(Text(name, style=STYLES.get(name, "")), str(total), shown)
        return table

    def _bucket(self) -> Text:
        words = {"handoff": "waiting", "processed": "processed", "failed": "failed"}
        found: Mapping[str, float] = self.snapshot.counts.directories
        counted = ", ".join(f"{int(found[name])} {word}" for name, word in words.items() if name in found)
        late = f"; outcomes are {self.snapshot.counts.lag:.0f} s behind" if self.snapshot.counts.lag >= _LATE else ""
        text = Text(f"files in the bucket: {counted or 'not counted yet'} (as of the last sweep){late}", style="dim")
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _latest(self, room: int, *, pad: bool) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for name, width in {"arrived": 9, "state": 10, "priority": 8, "tries": 5}.items():
            table.add_column(name.upper(), no_wrap=True, width=width)
        table.add_column("INTENT", no_wrap=True, overflow="ellipsis", ratio=3)
        table.add_column("NAMESPACE", no_wrap=True, overflow="ellipsis", ratio=1)
        for one in self.snapshot.latest[:room]:
            table.add_row(*_cells(one))
        for _ in range(room - len(self.snapshot.latest) if pad else 0):
            table.add_row()
        return table


def _cells(one: Listed) -> list[Text | str]:
    state = Text(word(one.state), style=STYLES.get(word(one.state), ""))
    name, namespace = (
        Text(printable(text), no_wrap=True, overflow="ellipsis") for text in (one.name, one.namespace or "-")
    )
    return [f"{one.arrived[11:19]}Z", state, one.priority or "-", str(one.attempts), name, namespace]


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first.upper(), no_wrap=True)
    for name in numbers:
        table.add_column(name.upper(), no_wrap=True, justify="right")
    return table


def _line(*parts: Text) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for part in parts:
        line.append_text(part)
    return line
