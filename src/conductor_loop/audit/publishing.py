"""From the state table's stream to the audit log: every entry, in order, and again whenever it may not have arrived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Log = Callable[[Sequence[str], float], None]
"""Takes entries, oldest first, and the time (epoch seconds); raises where they may not have arrived."""
type Export = Callable[[Sequence[str], str, float], None]
"""Likewise, with a name that no other batch has."""


_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Publisher:
    """Brings entries to the log and, where there is one, the export."""

    log: Log
    export: Export | None = None

    def publish(self, entries: Sequence[str], name: str, now: float) -> None:
        """Publish a batch, whole; doing it again only repeats lines."""
        if not entries:
            return
        if self.export is not None:
            self.export(entries, name, now)
        self.log(entries, now)


def fresh(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the entries that a batch of stream records has added to rows, in order."""
    return [entry for record in records for entry in _added(record["dynamodb"])]


def name_of(records: Sequence[Mapping[str, Any]]) -> str:
    """Name a batch, so that names sort as what they name: by the stream's own numbers, of up to 40 digits."""
    number: str = records[0]["dynamodb"]["SequenceNumber"]
    return number.zfill(_DIGITS)


def _added(change: Mapping[str, Any]) -> Iterator[str]:
    before = {*_entries(change.get("OldImage", {}))}
    return (entry for entry in _entries(change.get("NewImage", {})) if entry not in before)


def _entries(image: Mapping[str, Any]) -> Iterator[str]:
    return (one["S"] for one in image.get("audit", {}).get("L", []))
