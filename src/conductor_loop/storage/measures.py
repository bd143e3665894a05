"""What is counted and measured, for health, metrics and the audit trail: a few calls each, whatever the history."""

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from conductor_loop.audit.entries import Batch, Shard, add
from conductor_loop.counting import RUNNING, SWEPT_AT
from conductor_loop.storage import translated
from conductor_loop.storage.rows import Key, Value, expires, text
from conductor_loop.storage.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef
    from mypy_boto3_sqs import SQSClient

DIRECTORIES = Key("gauge", "directories")  # the row of gauges
_OUT_OF_REACH = {"INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED"}  # the key was gone for too long
_SWEPT_SECONDS = 90.0  # by which the note of one sweep may be newer than what is counted: the one before it is not
_CLOSED = "closed"  # sorts before the ids of shards: it is read first
_CLOSED_AFTER_SECONDS = 2 * 86_400.0  # the stream keeps a record for one day


@dataclass(frozen=True, slots=True)
class Counts:
    """Every counter since the stack was made, and what the last sweep measured."""

    counters: Mapping[str, float] = field(default_factory=dict)  # by the names of ``counting``
    gauges: Mapping[str, float] = field(default_factory=dict)  # of the last sweep, likewise; and files, by directory
    lag: float = 0.0  # seconds that the counters are behind what happens
    security_at: float = 0.0  # when an intent was last rejected for what looks like an attack; epoch seconds


class Counters(Table):
    """The counters, and how far the stream is published: a row for each shard, which only AuditFunction writes.

    A shard is over within hours. Two days after its last record, when the stream can deliver none of them again, its
    counts are added to the row ``closed``; its own row is deleted when that happens the next time. In between
    ``closed`` names it, so that no reader counts it twice, or not at all. Where its chain ends is kept as long as the
    audit log.
    """

    def read(self, shard: str) -> Shard:
        """Return how far a shard is."""
        return _shard(self.get(_key(shard)))

    def advance(self, batch: Batch) -> None:
        """Move a shard on, with all that it has counted, once. Raises ConditionalCheckFailedException."""
        self._put(_key(batch.shard), batch.before, batch.after)

    def fold(self, now: float, keep_seconds: float) -> None:
        """Add the counts of shards that are over to those before, and keep where their chains end for so long."""
        closed, folded, shards = self._shards()
        for name in folded & shards.keys():
            end = replace(shards.pop(name), counters={})
            self._put(_key(name, "audit"), end, end, expires(now + keep_seconds))
            self._client.delete_item(TableName=self._table, Key=_key(name).item)
        over = {name: shard for name, shard in shards.items() if shard.created_at < now - _CLOSED_AFTER_SECONDS}
        if over or folded:
            after = replace(_sum([closed, *over.values()]), sequence=str(int(closed.sequence or 0) + 1))
            with suppress(self._client.exceptions.ConditionalCheckFailedException):  # another one has folded meanwhile
                self._put(_key(_CLOSED), closed, after, {"folded": {"SS": sorted(over)}} if over else {})

    def totals(self) -> Shard:
        """Add up what all shards have counted."""
        closed, folded, shards = self._shards()
        return _sum([closed, *(shard for name, shard in shards.items() if name not in folded)])

    def ends(self) -> dict[str, Shard]:
        """Return how far each shard is, those that are over included."""
        rows = self._rows("counter") | self._rows("audit")  # so ordered: one that is moved meanwhile is in one
        return {name: _shard(row) for name, row in rows.items() if name != _CLOSED}

    @translated("DynamoDB")
    def active_workers(self) -> int:
        """Count the claims that are not released, as far as AuditFunction is. Raises NotAnswering."""
        return int(self.totals().counters.get(RUNNING, 0))

    @translated("DynamoDB")
    def counts(self, now: float) -> Counts:
        """Read every counter and gauge; ``now`` in epoch seconds. Raises NotAnswering."""
        row = next(self.query(DIRECTORIES.kind, DIRECTORIES.name), {})  # roles of readers allow Query alone
        totals = self.totals()
        gauges = {name: float(value["N"]) for name, value in row.items() if "N" in value}
        # The note of a sweep is in the stream, too: where that is not counted, the lag of the last count is an old one.
        is_old = gauges.get(SWEPT_AT, 0.0) - totals.created_at > _SWEPT_SECONDS
        lag = now - totals.created_at if is_old else totals.lag
        return Counts(totals.counters, gauges, lag, totals.security_at)

    def table_size(self) -> dict[str, int]:
        """Return how many rows and bytes the table has; DynamoDB counts every six hours or so. Raises NotAnswering."""
        found = self._describe()
        return {"state_entries": found.get("ItemCount", 0), "state_bytes": found.get("TableSizeBytes", 0)}

    def encryption_status(self) -> str:
        """Return "enabled"; or "impaired": the site's own key is out of reach, and nothing can be read.

        One call stands for all: there is one key for everything, and DynamoDB reports when it is out of reach.
        S3, CloudWatch Logs and Secrets Manager store nothing in the clear, and the template encrypts the queues.
        Raises NotAnswering.
        """
        table = self._describe()
        lost = "InaccessibleEncryptionDateTime" in table.get("SSEDescription", {})
        return "impaired" if lost or table.get("TableStatus") in _OUT_OF_REACH else "enabled"

    @translated("DynamoDB")
    def _describe(self) -> "TableDescriptionTypeDef":
        return self._client.describe_table(TableName=self._table)["Table"]

    def _put(self, key: Key, before: Shard, after: Shard, more: Mapping[str, Value] | None = None) -> None:
        progress = text(json.dumps(asdict(after)))
        self._client.put_item(
            TableName=self._table,
            Item={**key.item, "sequence": text(after.sequence), "progress": progress, **(more or {})},
            ConditionExpression="attribute_not_exists(pk) OR #sequence = :before",
            ExpressionAttributeNames={"#sequence": "sequence"},
            ExpressionAttributeValues={":before": text(before.sequence)},
        )

    def _shards(self) -> tuple[Shard, set[str], dict[str, Shard]]:
        """Read what is closed, the names of those that it names, and the shards that have a row."""
        rows = self._rows("counter")
        closed = rows.pop(_CLOSED, {})
        return _shard(closed), {*closed.get("folded", {}).get("SS", ())}, {one: _shard(rows[one]) for one in rows}

    def _rows(self, kind: str) -> dict[str, Item]:
        return {row["sk"]["S"]: row for row in self.query(kind, "shards")}


def _key(shard: str, kind: str = "counter") -> Key:
    return Key(kind, "shards", shard)


def _shard(row: Item) -> Shard:
    return Shard(**json.loads(row["progress"]["S"])) if row else Shard()


def _sum(shards: Collection[Shard]) -> Shard:
    newest, security_at = max(shards, key=lambda one: one.created_at), max(one.security_at for one in shards)
    return replace(newest, counters=add(one.counters for one in shards), security_at=security_at)


class QueueDepths:
    """How many messages wait; ``urls`` are those of the queues by priority, and of the dead letters, as ``dead``."""

    def __init__(self, client: "SQSClient", urls: Mapping[str, str]) -> None:
        self._client, self._urls = client, urls

    def size(self) -> int:
        """Add up what waits in the queues; dead letters do not. Raises NotAnswering."""
        return sum(depth for name, depth in self.each().items() if name != "dead")

    def each(self) -> Mapping[str, int]:
        """Return how much waits in each of the queues, and among the dead letters. Raises NotAnswering."""
        with ThreadPoolExecutor(max_workers=len(self._urls) or 1) as pool:
            return dict(zip(self._urls, pool.map(self._one, self._urls.values()), strict=True))

    @translated("SQS")
    def _one(self, url: str) -> int:
        answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])
