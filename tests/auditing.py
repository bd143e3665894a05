"""AuditFunction over in-memory parts: a stream in shards, a log, counters; and whatever can happen to a delivery."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from conductor_loop.audit.entries import Batch, Change, Shard, add, last_change
from conductor_loop.audit.handler import take
from conductor_loop.audit.verify import Known, Verification, read_status, verify
from tests.memory_state import MemoryState

type Records = list[dict[str, Any]]

POINTS = [(when, call) for call in ("read", "export", "log", "advance") for when in ("before", "after")]


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Conflict(Exception):  # noqa: N818 - as DynamoDB's condition
    """A shard is not where it was read."""


@dataclass
class MemoryAudit:
    """What AuditFunction writes, and where it is killed."""

    lines: list[str] = field(default_factory=list)  # of the log, as they were published
    exports: dict[str, list[str]] = field(default_factory=dict)
    shards: dict[str, Shard] = field(default_factory=dict)
    kill_at: tuple[str, str] | None = None
    kills: int = 0

    def deliver(self, shard: str, records: Records, kill_at: tuple[str, str] | None = None) -> None:
        """Hand a batch over, once."""
        self.kill_at = kill_at
        counters: Any = self
        try:
            take(counters, [self._export, self._log], {"shardId": shard, "Records": records}, 1.0)
        except Killed:
            self.kills += 1

    @property
    def counters(self) -> Counter[str]:
        return Counter(add(one.counters for one in self.shards.values()))

    def read(self, name: str) -> Shard:
        self._maybe("before", "read")
        shard = self.shards.get(name, Shard())
        self._maybe("after", "read")
        return shard

    def _export(self, batch: Batch, _: float) -> None:
        self._maybe("before", "export")
        self.exports[batch.name] = [entry.text for entry in batch.entries]
        self._maybe("after", "export")

    def _log(self, batch: Batch, _: float) -> None:
        self._maybe("before", "log")
        self.lines += [entry.text for entry in batch.entries]
        self._maybe("after", "log")

    def advance(self, batch: Batch) -> None:
        self._maybe("before", "advance")
        if self.shards.get(batch.shard, Shard()) != batch.before:
            raise Conflict
        self.shards[batch.shard] = batch.after
        self._maybe("after", "advance")

    def _maybe(self, *point: str) -> None:
        if self.kill_at == point:
            self.kill_at = None
            raise Killed

    def exported(self) -> list[str]:
        """Give the export's lines, in the order of its names."""
        return [line for name in sorted(self.exports) for line in self.exports[name]]

    def verified(self, known: Known, lines: Sequence[str] | None = None) -> Verification:
        """Verify the log, or other lines, against this and what else is known."""
        return verify(self.lines if lines is None else lines, replace(known, shards=self.shards))


def stream(written: Sequence[Mapping[str, Any]], roll: int = 10**9, count: int = 3) -> dict[str, Records]:
    """Give the records of writes by shard: of one row always in one, until shards roll over after so many writes."""
    shards: defaultdict[str, Records] = defaultdict(list)
    for number, one in enumerate(written, 1):
        shard = f"shardId-{number // roll:04}-{crc32(one['NewImage']['pk']['S'].encode()) % count}"
        place = {"SequenceNumber": f"{number}00", "ApproximateCreationDateTime": 1_800_000_000}
        shards[shard].append({"dynamodb": {**place, **one}})
    return dict(shards)


def batches(records: Records, most: int, dice: random.Random) -> Iterator[Records]:
    """Cut records into batches, as Lambda might."""
    rest = records
    while rest:
        size = dice.randint(1, most)
        yield rest[:size]
        rest = rest[size:]


def known(state: MemoryState, bucket: Any) -> Known:
    """Ask the rows and the statuses, as ``audit verify`` does."""
    rows = [change for key, row in state.items.items() if key.kind == "intent" and (change := last_change(row))]
    return Known(rows, statuses(bucket.objects))


def statuses(objects: Mapping[str, Any]) -> list[Change]:
    """Read the statuses of a bucket in memory."""
    found = [read_status(versions[-1].body) for key, versions in objects.items() if key.startswith("status/")]
    return [one for one in found if one is not None]
