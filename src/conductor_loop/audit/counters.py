"""The counters, and how far the stream is published: a row for each shard, which only AuditFunction writes.

A shard is over within hours. Two days after its last record, when the stream can deliver none of them again, its
counts are added to the row ``closed``; its own row is deleted when that happens the next time. In between ``closed``
names it, so that no reader counts it twice, or not at all. Where its chain ends is kept as long as the audit log.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conductor_loop.audit.entries import Batch, Position
from conductor_loop.storage.rows import Key, number, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CLOSED = "closed"  # sorts before the ids of shards: it is read first
_CLOSED_AFTER_SECONDS = 2 * 86_400.0  # the stream keeps a record for one day
_END = {"sequence": "S", "entries": "N", "digest": "S", "entry_at": "S", "began_at": "S"}  # as in Position
_NO_COUNTERS = frozenset({*_END, "pk", "sk", "created_at", "lag_seconds", "folds"})

type Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Totals:
    """What all shards have counted together."""

    counters: Mapping[str, float] = field(default_factory=dict)
    created_at: float = 0.0  # of the newest record that is counted; epoch seconds
    lag: float = 0.0  # seconds that it was behind then
    security_at: str = ""  # when an intent last looked like an attack; empty: none has


class Counters:
    """Reads and writes these rows; the ends of chains are kept for ``keep_seconds``."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float = 0.0) -> None:
        self._client, self._table, self._keep_seconds = client, table, keep_seconds

    def read(self, shard: str) -> Position:
        """Return how far a shard is."""
        answer = self._client.get_item(TableName=self._table, Key=_key(shard).item, ConsistentRead=True)
        return _position(answer["Item"]) if "Item" in answer else Position()

    def advance(self, batch: Batch, now: float) -> None:
        """Move a shard on, and count what its records have added; once.

        Raises:
            ConditionalCheckFailedException: it is not where it was read.

        """
        after = batch.after
        sets = {
            "sequence": text(after.sequence),
            "entries": number(after.entries),
            "digest": text(after.digest),
            "entry_at": text(after.at),
            "began_at": text(after.began),
            "created_at": number(batch.created_at),
            "lag_seconds": number(max(now - batch.created_at, 0.0)),
            **({"security_at": text(batch.security_at)} if batch.security_at else {}),
        }
        adds = {name: number(by) for name, by in batch.tally.items()}
        places = {name: f"v{n}" for n, name in enumerate([*sets, *adds])}  # names of counters are not ours alone
        update = "SET " + ", ".join(f"#{places[name]} = :{places[name]}" for name in sets)
        update += " ADD " * bool(adds) + ", ".join(f"#{places[name]} :{places[name]}" for name in adds)
        self._client.update_item(
            TableName=self._table,
            Key=_key(batch.shard).item,
            UpdateExpression=update,
            ConditionExpression=f"attribute_not_exists(pk) OR #{places['sequence']} = :seen",
            ExpressionAttributeNames={f"#{place}": name for name, place in places.items()},
            ExpressionAttributeValues={f":{places[name]}": value for name, value in (sets | adds).items()}
            | {":seen": text(batch.before.sequence)},
        )

    def totals(self) -> Totals:
        """Add up what all shards have counted."""
        rows = {row["sk"]["S"]: row for row in self._rows("counter")}
        closed = rows.pop(_CLOSED, {})
        return _added(closed, [row for shard, row in rows.items() if shard not in _folded(closed)])

    def ends(self) -> dict[str, Position]:
        """Return how far each shard is, those that are over included."""
        rows = (row for kind in ("audit", "counter") for row in self._rows(kind))
        return {row["sk"]["S"]: _position(row) for row in rows if "sequence" in row}

    def fold(self, now: float) -> None:
        """Add the counts of shards that are over to those of the ones before; doing it twice changes nothing."""
        rows = {row["sk"]["S"]: row for row in self._rows("counter")}
        closed = rows.pop(_CLOSED, {})
        folded = _folded(closed)
        for shard in folded & rows.keys():
            self._forget(rows.pop(shard), now)
        over = {shard: row for shard, row in rows.items() if _created(row) < now - _CLOSED_AFTER_SECONDS}
        if over or folded:
            self._close(closed, over)

    def _close(self, closed: Item, over: Mapping[str, Item]) -> None:
        """Replace the row of all that is closed, unless another one has since it was read."""
        total, folds = _added(closed, list(over.values())), int(closed.get("folds", {"N": "0"})["N"])
        item: dict[str, Any] = {name: number(by) for name, by in total.counters.items()}
        item |= {"security_at": text(total.security_at)} if total.security_at else {}
        item |= {"shards": {"SS": sorted(over)}} if over else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**item, **_key(_CLOSED).item, "folds": number(folds + 1)},
                ConditionExpression="attribute_not_exists(pk) OR folds = :seen",
                ExpressionAttributeValues={":seen": number(folds)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _forget(self, row: Item, now: float) -> None:
        """Delete the row of a shard whose counts are added, and keep where its chain ends."""
        shard, expires = row["sk"]["S"], number(int(now + self._keep_seconds))
        kept: Any = {name: row[name] for name in _END} | {**_key(shard, "audit").item, "expires_at": expires}
        self._client.put_item(TableName=self._table, Item=kept)
        self._client.delete_item(TableName=self._table, Key=_key(shard).item)

    def _rows(self, kind: str) -> Iterator[Item]:
        query: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": text(_key("", kind).pk)},
            "ConsistentRead": True,
        }
        for page in self._client.get_paginator("query").paginate(**query):
            yield from page["Items"]


def _key(shard: str, kind: str = "counter") -> Key:
    return Key(kind, "shards", shard)


def _position(row: Item) -> Position:
    values = [row[name][kind] for name, kind in _END.items()]
    return Position(values[0], int(values[1]), *values[2:])


def _added(closed: Item, rows: Sequence[Item]) -> Totals:
    total: Counter[str] = Counter()
    for row in (closed, *rows):
        total.update({name: float(row[name]["N"]) for name in row.keys() - _NO_COUNTERS if "N" in row[name]})
    newest = max(rows, key=_created, default={})
    attacks = [row["security_at"]["S"] for row in (closed, *rows) if "security_at" in row]
    lag = float(newest.get("lag_seconds", {"N": "0"})["N"])
    return Totals({name: round(by, 3) for name, by in total.items()}, _created(newest), lag, max(attacks, default=""))


def _folded(closed: Item) -> set[str]:
    return set(closed.get("shards", {}).get("SS", ()))


def _created(row: Item) -> float:
    return float(row.get("created_at", {"N": "0"})["N"])
