"""The counters, and how far the stream is published: a row for each shard, which only AuditFunction writes.

A shard is over within hours. Two days after its last record, when the stream can deliver none of them again, its
counts are added to the row ``closed``; its own row is deleted when that happens the next time. In between ``closed``
names it, so that no reader counts it twice, or not at all. Where its chain ends is kept as long as the audit log.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from conductor_loop.audit.entries import Batch, Image, Shard, add
from conductor_loop.storage.rows import Key, Value, number, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CLOSED = "closed"  # sorts before the ids of shards: it is read first
_CLOSED_AFTER_SECONDS = 2 * 86_400.0  # the stream keeps a record for one day


class Counters:
    """Reads and writes these rows."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def read(self, shard: str) -> Shard:
        """Return how far a shard is."""
        answer = self._client.get_item(TableName=self._table, Key=_key(shard).item, ConsistentRead=True)
        return _shard(answer.get("Item", {}))

    def advance(self, batch: Batch) -> None:
        """Move a shard on, with all that it has counted, once.

        Raises:
            ConditionalCheckFailedException: it is not where it was read.

        """
        self._put(_key(batch.shard), batch.before, batch.after)

    def totals(self) -> Shard:
        """Add up what all shards have counted."""
        rows = self._rows("counter")
        folded = _folded(rows.get(_CLOSED, {}))
        return _sum(_shard(row) for name, row in rows.items() if name not in folded)

    def ends(self) -> dict[str, Shard]:
        """Return how far each shard is, those that are over included."""
        rows = self._rows("audit") | self._rows("counter")
        return {name: _shard(row) for name, row in rows.items() if name != _CLOSED}

    def fold(self, now: float, keep_seconds: float) -> None:
        """Add the counts of shards that are over to those before, and keep where their chains end for so long."""
        rows = self._rows("counter")
        closed = rows.pop(_CLOSED, {})
        folded = _folded(closed)
        for name in folded & rows.keys():
            self._forget(name, _shard(rows.pop(name)), now + keep_seconds)
        shards = {name: _shard(row) for name, row in rows.items()}
        over = {name: shard for name, shard in shards.items() if shard.created_at < now - _CLOSED_AFTER_SECONDS}
        if over or folded:
            self._close(_shard(closed), over)

    def _close(self, closed: Shard, over: Mapping[str, Shard]) -> None:
        """Replace the row of all that is closed, unless another one has since it was read."""
        after = replace(_sum([closed, *over.values()]), sequence=str(int(closed.sequence or 0) + 1))
        try:
            self._put(_key(_CLOSED), closed, after, {"folded": {"SS": sorted(over)}} if over else {})
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _forget(self, name: str, shard: Shard, expires_at: float) -> None:
        """Delete the row of a shard whose counts are added, and keep where its chain ends."""
        end = replace(shard, counters={})
        self._put(_key(name, "audit"), end, end, {"expires_at": number(int(expires_at))})
        self._client.delete_item(TableName=self._table, Key=_key(name).item)

    def _put(self, key: Key, before: Shard, after: Shard, more: Mapping[str, Value] | None = None) -> None:
        self._client.put_item(
            TableName=self._table,
            Item={**key.item, "progress": _json(after), **(more or {})},
            ConditionExpression="attribute_not_exists(pk) OR progress = :before",
            ExpressionAttributeValues={":before": _json(before)},
        )

    def _rows(self, kind: str) -> dict[str, Image]:
        query: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": text(_key("", kind).pk)},
            "ConsistentRead": True,
        }
        pages = self._client.get_paginator("query").paginate(**query)
        return {row["sk"]["S"]: row for page in pages for row in page["Items"]}


def _key(shard: str, kind: str = "counter") -> Key:
    return Key(kind, "shards", shard)


def _json(shard: Shard) -> Value:
    return text(json.dumps(asdict(shard)))


def _shard(row: Image) -> Shard:
    return Shard(**json.loads(row["progress"]["S"])) if row else Shard()


def _folded(closed: Image) -> set[str]:
    return set(closed.get("folded", {}).get("SS", ()))


def _sum(shards: Iterable[Shard]) -> Shard:
    """Return what shards have counted together, as far as the newest of them is."""
    known = list(shards)
    newest = max(known, key=lambda one: one.created_at, default=Shard())
    security_at = max((one.security_at for one in known), default=0.0)
    return replace(newest, counters=add(one.counters for one in known), security_at=security_at)
