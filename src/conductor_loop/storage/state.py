"""The state table in DynamoDB: conditional writes, and reads."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from conductor_loop.app import Cursor
from conductor_loop.audit.entries import timestamp
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Conflict, Row, Target, Write, earliest, latest
from conductor_loop.storage.rows import (
    CLEAN_UP,
    Key,
    Values,
    anew,
    attributes,
    event_item,
    expires,
    intent_key,
    key_of,
    last_of,
    last_value,
    listed_values,
    number,
    read_row,
    read_target,
    read_text,
    text,
)
from conductor_loop.storage.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SWEEP = Key("cursor", "sweep")
# A version that was seen as the newest one of its name stays that, unless this one is certainly not older.
_NO_NEWER_VERSION = "attribute_not_exists(last_order) OR last_order <= :earliest OR last_version = :mine"
_MINE_OR_UNUSED = "attribute_not_exists(pk) OR #file = :file OR expires_at < :now"  # DynamoDB deletes up to days late
# That rows outlive objects: a message that is delivered late must find that it was answered.
EXPIRES_AFTER_SECONDS = 30 * 86_400
_TRIES = 4  # of a name whose newest version changes meanwhile
_CONFLICT_TRIES = 6  # of a transaction that conflicts with another one
_CONFLICT_SECONDS = 0.02  # before the second try; doubled for each later one
_READERS = 10  # as many as messages in a batch
_MOST_COMPARED = 100  # attributes of a corrupt row: an expression has at most 4 KB
_CONDITIONAL = "ConditionalCheckFailed"

type Operation = Mapping[str, Any]
"""An item of a transaction: ``{"Update": …}``."""


class DynamoDBStateTable(Table):
    """Rows of handoffs, targets, names and correlation ids; ``rows`` has their keys."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        keep_seconds: float,  # of rows, beside their objects
        jitter: Callable[[], float],  # evenly spread from 0 to 1
        audit_seconds: float = 0.0,  # for which the log is kept that refers to the rows of handoffs
    ) -> None:
        super().__init__(client, table)
        self._jitter = jitter
        self._keep_seconds = keep_seconds + EXPIRES_AFTER_SECONDS
        self._row_seconds = max(self._keep_seconds, audit_seconds)  # of a handoff's row
        self._pool = ThreadPoolExecutor(max_workers=_READERS)

    # -- writes

    def write(self, write: Write) -> Conflict | None:
        """Make one write, all or nothing; ``None`` means made. ``Write`` says under which conditions."""
        values = _changes(attributes(write.before), attributes(write.after)) | expires(write.at + self._row_seconds)
        values |= {} if write.last is None else {"last": last_of(write)}
        listed = listed_values(write.handoff, write.at)  # what is lost with a row that is reset comes back
        operations = {"intent": self._update(intent_key(write.handoff), values, *_unchanged(write.before.rev), listed)}
        if write.lease is not None:
            key, before, after = Key("target", write.lease.target), write.lease.before, write.lease.after
            values = _changes(attributes(before), attributes(after))
            operations["target"] = self._update(key, values, *_unchanged(before.rev))
        if write.newest:
            operations["name"] = self._name(write.handoff, write.newest, write.handoff.version_id, write.at)
        if write.correlation_id:
            key, values = Key("correlation", write.correlation_id), {"file": text(write.handoff.file)}
            values |= expires(write.at + self._keep_seconds)
            operations["correlation"] = self._update(key, values, _MINE_OR_UNUSED, {":now": number(write.at)})
        refused = self._send(operations)
        return None if refused is None else _conflict(refused)

    def _name(self, handoff: Handoff, newest: str, mine: str, now: float) -> Operation:
        """Note which version of a name was seen to be the newest, unless one that is newer than the handoff was.

        The version ``mine`` is known not to be, whatever its order.
        """
        values = {"last_order": text(latest(handoff.order)), "last_version": text(newest)}
        values |= expires(now + self._keep_seconds)
        condition = {":earliest": text(earliest(handoff.order)), ":mine": text(mine)}
        return self._update(Key("name", handoff.key), values, _NO_NEWER_VERSION, condition)

    def outrank(self, handoff: Handoff, older: Collection[str], now: float) -> None:
        """Note a handoff as the newest version of its name, also above one that is known to be ``older``.

        Nothing happens where another one is noted, of which that is not known.
        """
        over = handoff.version_id
        for _ in range(_TRIES):
            refused = self._send({"name": self._name(handoff, handoff.version_id, over, now)})
            above = _conflict(refused).newer_version if refused else None
            if above is None or above not in older:
                return
            over = above

    def reset(self, error: Unreadable, now: float, last: Mapping[str, Any]) -> bool:
        """Delete a corrupt row, but for what makes sense of a handoff's (``rows.anew``); whether this call did.

        Conditional on the whole row being as it was read: what another worker has made of it since stays.
        """
        kept: Any = {name: error.row[name] for name in ("pk", "sk")}
        as_read = {"TableName": self._table, **_as_read(error.row)}
        facts = {"at": timestamp(now), "event": "reset", **last}
        until = expires(now + self._row_seconds)
        if error.name.startswith("intent/"):
            kept |= {name: error.row[name] for name in ("arrival_day", "arrived") if name in error.row}
            row = attributes(anew(error.row, now)) | {"last": last_value(facts)} | until
            return self._send({"row": {"Put": {"Item": kept | row, **as_read}}}) is None
        name = f"E009/{error.name}/{now:.3f}"
        event = {**Key("audit", name).item, **until, **event_item(name, facts)}
        operations = {
            "row": {"Delete": {"Key": kept, **as_read}},
            "event": {"Put": {"TableName": self._table, "Item": event}},
        }
        return self._send(operations) is None

    def _update(
        self, key: Key, values: Mapping[str, Any], condition: str, given: Values, if_missing: Values | None = None
    ) -> Operation:
        """Write down one update; a value of ``None`` removes its attribute."""
        new, kept = {name: value for name, value in values.items() if value is not None}, if_missing or {}
        sets = [f"#{name} = :{name}" for name in new]
        sets += [f"#{name} = if_not_exists(#{name}, :{name})" for name in kept]
        removes = [f"#{name}" for name in values if name not in new]
        update = {
            "TableName": self._table,
            "Key": key.item,
            "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {f"#{name}": name for name in (*values, *kept)},
            "ExpressionAttributeValues": {f":{name}": value for name, value in (new | kept).items()} | given,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return {"Update": update}

    def _send(self, operations: Mapping[str, Operation]) -> Mapping[str, Item] | None:
        """Make all of the operations or none; the rows whose conditions failed, by their kind (``{}``: there is none).

        A conflict with another transaction is waited out.
        """
        items: Any = [*operations.values()]
        for tried in range(_CONFLICT_TRIES):
            try:
                if len(items) == 1 and "Update" in items[0]:  # half the price of a transaction
                    self._client.update_item(**items[0]["Update"])
                else:
                    self._client.transact_write_items(TransactItems=items)
            except self._client.exceptions.ConditionalCheckFailedException as error:
                there: Any = error.response.get("Item", {})
                return dict.fromkeys(operations, there)
            except (
                self._client.exceptions.TransactionCanceledException,
                self._client.exceptions.TransactionConflictException,
            ) as error:
                reasons: Any = zip(operations, error.response.get("CancellationReasons", []), strict=False)
                if refused := {kind: one.get("Item") or {} for kind, one in reasons if one["Code"] == _CONDITIONAL}:
                    return refused
                if tried == _CONFLICT_TRIES - 1:
                    raise  # in conflict, or throttled, all this time
                time.sleep(_CONFLICT_SECONDS * 2**tried * self._jitter())
            else:
                return None
        raise AssertionError  # the last try returns or raises

    # -- reads

    def find(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row]:
        """Read the rows of some handoffs; those without one, or with a corrupt one, are left out."""
        return {handoff: row for handoff, row in self.read(handoffs).items() if isinstance(row, Row)}

    def read(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row | Unreadable]:
        """Read the rows of some handoffs, or what is wrong with them; those without one are left out."""
        by_key = {intent_key(handoff): handoff for handoff in handoffs}
        return {by_key[key_of(item)]: _row(item) for item in self.get_some(by_key)}

    def target(self, name: str) -> Target:
        """Read what is known of the target ``namespace/name``. Raises Unreadable."""
        return read_target(self.get(Key("target", name)))

    def ahead(self, name: str) -> Callable[[], Target]:
        """Begin to read a target beside other calls; the result waits for it."""
        return self._pool.submit(self.target, name).result

    def correlated(self, correlation_id: str, now: float) -> str | None:
        """Give the file that uses a correlation id; ``None`` if none does, or its row has expired."""
        item = self.get(Key("correlation", correlation_id))
        expired = float(item.get("expires_at", {}).get("N", "inf")) < now
        return None if expired else item.get("file", {}).get("S")

    def uncleaned(self, bucket: str, now: float, most: int) -> list[Handoff]:
        """Find decided handoffs that are to be cleaned up after by now (epoch seconds), at most so many."""
        found = self._client.query(
            TableName=self._table,
            IndexName="clean-up",
            KeyConditionExpression="clean_up = :clean_up AND due_at <= :now",
            ExpressionAttributeValues={":clean_up": text(CLEAN_UP), ":now": number(now)},
            Limit=most,
        )["Items"]
        return [Handoff(bucket, key.name, key.version) for key in map(key_of, found)]

    # -- where the next sweep goes on

    def cursor(self) -> Cursor | None:
        """Read where the last sweep has ended; ``None``: at the end, or it is not known."""
        item = self.get(_SWEEP)
        key, version = (item.get(name, {}).get("S") for name in ("cursor_key", "cursor_version"))
        return Cursor(key, version or "") if key else None

    def keep_cursor(self, cursor: Cursor | None) -> None:
        """Note where a sweep has ended."""
        key, version = (cursor.key, cursor.version_id) if cursor else ("", "")
        item = {**_SWEEP.item, "cursor_key": text(key), "cursor_version": text(version)}
        self._client.put_item(TableName=self._table, Item=item)


def _changes(before: Values, after: Values) -> dict[str, Any]:
    """Give the attributes that differ; ``None`` for those that are removed."""
    return {name: value for name, value in after.items() if before.get(name) != value} | {
        name: None for name in before if name not in after
    }


def _as_read(row: Item) -> dict[str, Any]:
    """Give the condition that the attributes of a row are as they were read."""
    fields = {f"f{n}": name for n, name in enumerate([*row][:_MOST_COMPARED])}  # under names that an expression takes
    return {
        "ConditionExpression": " AND ".join(f"#{alias} = :{alias}" for alias in fields),
        "ExpressionAttributeNames": {f"#{alias}": name for alias, name in fields.items()},
        "ExpressionAttributeValues": {f":{alias}": row[name] for alias, name in fields.items()},
    }


def _unchanged(rev: int) -> tuple[str, Values]:
    """Give the condition that a row has the revision that its writer has read."""
    return ("rev = :seen", {":seen": number(rev)}) if rev else ("attribute_not_exists(pk)", {})


def _conflict(refused: Mapping[str, Item]) -> Conflict:
    """Read the rows whose conditions failed. Raises Unreadable, for a condition that may never hold."""
    name = refused.get("name")
    if name:
        read_text(name, "last_order")  # that conditions compare
    return Conflict(
        row=read_row(refused["intent"]) if "intent" in refused else None,
        target=read_target(refused["target"]) if "target" in refused else None,
        newer_version=read_text(name, "last_version") if name else None,
        correlated_file=read_text(refused["correlation"], "file") if "correlation" in refused else None,
    )


def _row(item: Item) -> Row | Unreadable:
    try:
        return read_row(item)
    except Unreadable as error:
        return error
