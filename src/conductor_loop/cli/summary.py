"""What became of the intents of one ``submit``: a table, what was skipped, and the failures last."""

import statistics
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from conductor_loop.cli import console
from conductor_loop.cli.answers import GOOD
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Row


@dataclass(slots=True)
class Sent:
    """An intent that was sent, or could not be; and what is known of it."""

    name: str
    handoff: Handoff | None = None
    unsent: str = ""  # why it could not be sent
    since: float = 0.0  # monotonic seconds
    row: Row | None = None  # None: not read yet
    settled_after: float | None = None  # seconds

    @property
    def document(self) -> Mapping[str, Any]:
        """The status; empty while there is none."""
        return self.row.outcome.status if self.row and self.row.outcome else {}

    @property
    def state(self) -> str:
        """A word for where it stands: its status, or what it waits for."""
        if self.unsent:
            return "not sent"
        if self.document:
            return str(self.document["status"])
        return console.word(self.row.phase) if self.row else "received"

    @property
    def failed(self) -> bool:
        """Whether its answer is a bad one."""
        return bool(self.document) and self.state not in GOOD

    @property
    def why(self) -> str:
        """What is to be said of it where it did not go well."""
        if self.unsent:
            return self.unsent
        if details := self.document.get("error_details"):
            return f"{details['code']} {details['error_code']}: {details['error_message']}"
        return str(self.document.get("message", f"no answer yet; see: conductor-loop logs {self.name}"))


def print_summary(sent: Collection[Sent], *, waited: bool, as_json: bool) -> None:
    """Print what became of them."""
    if as_json:
        console.print_json([_as_json(one) for one in sent])
    elif waited:
        console.print_rows(("status", "intents", "attempts", "median", "slowest"), _by_state(sent), header_in_pipe=True)
    else:
        console.print_rows(("file", "version"), [[one.name, one.handoff.version_id] for one in sent if one.handoff])
    left = [one for one in sent if one.unsent or (waited and one.settled_after is None and not one.failed)]
    skipped = [one for one in sent if one.state == "skipped" and one not in left]
    for one in [*skipped, *left, *(one for one in sent if one.failed)]:  # the failures last, where they are seen
        colour = "red" if one.failed or one.unsent else console.STYLES.get(one.state, "yellow")
        console.note(f"{one.state:9}", f" {one.name}  {console.printable(one.why)}", colour)
    if not waited and sent:
        click.echo("follow them with: conductor-loop watch, or conductor-loop status NAME --wait 30", err=True)


def _by_state(sent: Collection[Sent]) -> Iterator[list[str]]:
    for state in sorted({one.state for one in sent}, key=lambda state: (state not in GOOD, state)):
        these = [one for one in sent if one.state == state]
        times = [one.settled_after for one in these if one.settled_after is not None]
        attempts = sum(one.row.attempt for one in these if one.row)
        spent = [f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"] if times else ["-", "-"]
        yield [state, str(len(these)), str(attempts), *spent]


def _as_json(one: Sent) -> dict[str, Any]:
    found = {"file": one.name, "version_id": one.handoff.version_id if one.handoff else None, "state": one.state}
    return found | ({"error": one.unsent} if one.unsent else {}) | ({"status": one.document} if one.document else {})
