"""From the state table's stream to the audit log and the counters: every record once, in order, whatever fails."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conductor_loop.audit.chain import Change, Entry, Head, link
from conductor_loop.audit.entries import change
from conductor_loop.counting import RUNNING, SECURITY, Tally
from conductor_loop.intents.model import State

type Log = Callable[[Sequence[str], float], None]
"""Takes entries, oldest first, and the time (epoch seconds); raises where they may not have arrived."""
type Export = Callable[[Sequence[str], str, float], None]
"""Likewise, with a name that no other batch has."""
type Records = Sequence[Mapping[str, Any]]

_DIGITS = 40
_MOST = 1e12  # that one entry adds to a counter: more, or no number, makes no sense, and the table takes none of it


@dataclass(frozen=True, slots=True)
class Position:
    """How far the records of a shard are published and counted."""

    sequence: str = ""  # the stream's number of the last record; empty: none is
    head: Head = field(default_factory=Head)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the records of a shard add that are not counted yet."""

    shard: str
    first: str  # the stream's number of the first one
    before: Position
    after: Position
    entries: tuple[Entry, ...]
    tally: Tally
    created_at: float  # epoch seconds, of the last record
    security_at: str = ""  # when the last intent among them came that looked like an attack

    @property
    def name(self) -> str:
        """Name it, so that names sort as what they name: by the stream's numbers, of up to 40 digits."""
        return f"{self.first.zfill(_DIGITS)}-{self.shard}"


@dataclass(frozen=True, slots=True)
class Auditor:
    """Publishes and counts.

        read ── publish ── advance         killed before the advance: delivered again, the same lines
                              |            killed behind it: the records are counted, and passed over

    Args:
        read: How far a shard is.
        log: The audit log.
        export: A second copy, if there is one.
        advance: Moves a shard on, with all that the batch counts, in one write. Raises where it is not as it was read.

    """

    read: Callable[[str], Position]
    log: Log
    export: Export | None
    advance: Callable[[Batch, float], None]

    def take(self, shard: str, records: Records, now: float) -> Batch | None:
        """Take a batch of records of a shard, of which any may have been taken before; ``None`` where all have."""
        batch = unseen(shard, self.read(shard), records)
        if batch is None:
            return None
        lines = [entry.text for entry in batch.entries]
        if lines and self.export is not None:
            self.export(lines, batch.name, now)
        if lines:
            self.log(lines, now)
        self.advance(batch, now)
        return batch


def unseen(shard: str, position: Position, records: Records) -> Batch | None:
    """Give what those of the records add that are behind a position; ``None`` where none is."""
    fresh = [one["dynamodb"] for one in records if _is_behind(one["dynamodb"], position)]
    if not fresh:
        return None
    changes = [found for one in fresh if (found := change(one.get("OldImage", {}), one.get("NewImage", {})))]
    entries, head = [], position.head
    for one in changes:
        entries.append(link(shard, head, one))
        head = entries[-1].head
    return Batch(
        shard=shard,
        first=fresh[0]["SequenceNumber"],
        before=position,
        after=Position(fresh[-1]["SequenceNumber"], head),
        entries=tuple(entries),
        tally=_added(fresh, changes),
        created_at=float(fresh[-1]["ApproximateCreationDateTime"]),
        security_at=max((str(one.fields.get("at", "")) for one in changes if SECURITY in one.tally), default=""),
    )


def _is_behind(record: Mapping[str, Any], position: Position) -> bool:
    return int(record["SequenceNumber"]) > int(position.sequence or -1)


def _added(records: Records, changes: Sequence[Change]) -> Tally:
    total: Counter[str] = Counter()
    for record in records:
        total[RUNNING] += _is_running(record.get("NewImage", {})) - _is_running(record.get("OldImage", {}))
    for one in changes:
        total.update({name: by for name, by in one.tally.items() if abs(by) < _MOST})
    return {name: round(by, 3) for name, by in total.items() if by}


def _is_running(image: Mapping[str, Any]) -> bool:
    return bool(image.get("state", {}).get("S") == State.RUNNING)
