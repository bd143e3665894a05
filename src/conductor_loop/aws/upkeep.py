"""Looking after the state table's rows: reading many, mending what makes no sense, notes, and one sweep at a time."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any

from conductor_loop.app import Cursor, Turn
from conductor_loop.audit.chain import timestamp
from conductor_loop.aws.rows import (
    Key,
    Values,
    event_item,
    fields_read,
    intent_key,
    last_value,
    number,
    package_key,
    read_row,
    read_target,
    target_key,
    text,
)
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Last, Row, State, Target, Untidy
from conductor_loop.order import known

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SWEEP = Key("lease", "sweep")
_NOBODY_SWEEPS = "NOT held_until > :now"  # true of no row and of a field that makes no sense, too: it must not stop all
_STILL_MY_TURN = "lease_owner = :owner"
TIDY = text("tidy")  # in the index of active rows: decided, and to be tidied up after ``held_until``; no active worker


class Upkeep:
    """What ``dynamodb.StateTable`` can do beside writing what becomes of a handoff."""

    def __init__(self, client: "DynamoDBClient", table: str, audit_seconds: float) -> None:
        self._client, self._table, self._audit_seconds = client, table, audit_seconds

    def find(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row]:
        """Read the rows of some handoffs; those without one, or with one that makes no sense, are left out."""
        return {handoff: row for handoff, row in self.read(handoffs).items() if isinstance(row, Row)}

    def read(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row | Unreadable]:
        """Read the rows of some handoffs, or what is wrong with them; those without one are left out."""
        return {handoff: _row(item) for handoff, item in self._items(handoffs)}

    def _items(self, handoffs: Iterable[Handoff]) -> Iterator[tuple[Handoff, Mapping[str, Any]]]:
        for some in batched(handoffs, 100, strict=False):  # the most that one call reads
            keys = {(intent_key(handoff).pk, handoff.version_id): handoff for handoff in some}
            wanted: Any = {self._table: {"Keys": [intent_key(one).item for one in some], "ConsistentRead": True}}
            while wanted:
                answer = self._client.batch_get_item(RequestItems=wanted)
                for item in answer["Responses"].get(self._table, []):
                    yield keys[item["pk"]["S"], item["sk"]["S"]], item
                wanted = answer.get("UnprocessedKeys")

    def target(self, name: str) -> Target:
        """Read what is known of the target ``namespace/name``. Raises Unreadable."""
        answer = self._client.get_item(TableName=self._table, Key=target_key(name).item, ConsistentRead=True)
        return read_target(answer.get("Item", {}))

    def correlated(self, correlation_id: str, now: float) -> str | None:
        """Give the file that uses a correlation id; ``None`` where none does, or its row has expired."""
        key = Key("correlation", correlation_id).item
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        expired = float(item.get("expires_at", {}).get("N", "inf")) < now
        return None if expired else item.get("file", {}).get("S")

    def noted_packages(self, handoff: Handoff) -> Collection[str]:
        """Give the prefixes below which attempts at a handoff may have published."""
        answer = self._client.get_item(TableName=self._table, Key=package_key(handoff).item, ConsistentRead=True)
        return answer.get("Item", {}).get("prefixes", {}).get("SS", [])

    def mend(self, error: Unreadable, version: str | None = None, *, now: float, last: Last) -> bool:
        """Drop what makes no sense: fields of a target's row, the whole row of any other kind; whether it was done.

        A handoff's row becomes that of a new one, whose ``last`` says so; for any other, a row of its own does.

        Conditional on every field by which the row was found unreadable being as it was read, or absent if it was: so
        whatever somebody has made of the row since stays, and the caller has to read again in any case.

        Args:
            error: What was read.
            version: Of the target's last package, where it is known from elsewhere.
            now: Epoch seconds.
            last: Facts about this write.

        """
        writes: list[Any] = [{"Delete": self._as_read(error)}]
        if error.fields:
            writes = [{"Update": _rebuilt(self._as_read(error), error.fields, version)}]
        if error.name.startswith("intent/"):
            anew = _anew(error.row, now, last)
            writes = [{"Put": {"Item": anew, **self._as_read(error, key=False)}}]
        else:
            writes.append({"Put": {"TableName": self._table, "Item": self._event(error, now, last)}})
        try:
            self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as refused:
            reasons: Any = refused.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                return False  # mended by another, or made anew
            raise
        return True

    def _event(self, error: Unreadable, now: float, last: Last) -> Values:
        name = f"E009/{error.name}/{now:.3f}"
        facts = {"at": timestamp(now), "event": "reset", **last}
        expires = number(int(now + self._audit_seconds))
        return {**Key("audit", name).item, "rev": number(1), "expires_at": expires, **event_item(name, facts)}

    def note_sweep(self, handoff: Handoff, now: float) -> None:
        """Count a try of the sweeper to settle a decided handoff."""
        self._client.update_item(
            TableName=self._table,
            Key=intent_key(handoff).item,
            UpdateExpression="SET swept_at = :now, sweeps = if_not_exists(sweeps, :none) + :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":now": number(now), ":none": number(0), ":one": number(1)},
        )

    def untidy(self, bucket: str, now: float, most: int) -> list[Untidy]:
        """Find decided handoffs that are to be tidied up by now (epoch seconds), at most so many."""
        found = self._client.query(
            TableName=self._table,
            IndexName="active",
            KeyConditionExpression="active = :tidy AND held_until <= :now",
            ExpressionAttributeValues={":tidy": TIDY, ":now": number(now)},
            Limit=most,
        )["Items"]
        keys = [(item["pk"]["S"].partition("#")[2], item["sk"]["S"]) for item in found]
        return [_untidy(handoff, item) for handoff, item in self._items(Handoff(bucket, *key) for key in keys)]

    def put_off(self, handoff: Handoff, until: float, now: float) -> bool:
        """Have a handoff be tidied up, again, at another time; ``False`` where somebody is at it, or has done it."""
        values: Values = {":until": number(until), ":now": number(now)}
        return self._note(handoff, "SET held_until = :until", " AND held_until <= :now", values)

    def tidied(self, handoff: Handoff) -> None:
        """Note that a handoff is tidied up; doing it twice changes nothing."""
        self._note(handoff, "SET held_until = :none REMOVE active", "", {":none": number(0)})

    def _note(self, handoff: Handoff, update: str, condition: str, values: Values) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=intent_key(handoff).item,
                UpdateExpression=update,
                ConditionExpression=f"active = :tidy{condition}",
                ExpressionAttributeValues={":tidy": TIDY, **values},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def begin_sweep(self, owner: str, until: float, now: float) -> Turn | None:
        """Take the lease that lets one sweep run at a time; ``None`` while another one has it.

        sweep            until
          |--- sweeps ---|        no other one begins
                         |  killed: the next one begins, where this one did
        """
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_SWEEP.item,
                UpdateExpression="SET held_until = :until, lease_owner = :owner",
                ConditionExpression=_NOBODY_SWEEPS,
                ExpressionAttributeValues={":now": number(now), ":until": number(until), ":owner": text(owner)},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return Turn(owner, _cursor(answer["Attributes"]))

    def end_sweep(self, turn: Turn) -> None:
        """Give the lease back, with the cursor that the next sweep goes on from; fenced by the owner."""
        values: Values = {":owner": text(turn.owner)}
        update = "REMOVE held_until, lease_owner, cursor_key, cursor_version"
        if turn.cursor is not None:
            update = "SET cursor_key = :key, cursor_version = :version REMOVE held_until, lease_owner"
            values |= {":key": text(turn.cursor.key), ":version": text(turn.cursor.version_id)}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_SWEEP.item,
                UpdateExpression=update,
                ConditionExpression=_STILL_MY_TURN,
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # it took longer than its lease: the other one goes on

    def _as_read(self, error: Unreadable, *, key: bool = True) -> dict[str, Any]:
        """Give the condition that a row reads as it did; names of fields may be words that DynamoDB keeps to itself."""
        fields = fields_read(error)
        there = {name: error.row[name] for name in fields if name in error.row}
        clauses = [f"#{name} = :{name}" if name in there else f"attribute_not_exists(#{name})" for name in fields]
        given: dict[str, Any] = {
            "TableName": self._table,
            "ConditionExpression": " AND ".join(clauses),
            "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        }
        given |= {"Key": {name: error.row[name] for name in ("pk", "sk")}} if key else {}
        return given | ({"ExpressionAttributeValues": {f":{name}": there[name] for name in there}} if there else {})


def _anew(row: Mapping[str, Any], now: float, last: Last) -> dict[str, Any]:
    """Give a row that says as little as none: it is due at once, and no attempt has been made.

    Where it does not even say which revision it was, it goes on with one that it has not had.
    """
    rev = row.get("rev", {}).get("N", "")
    return {
        "pk": row["pk"],
        "sk": row["sk"],
        "state": text(State.ADMITTED),
        "attempt": number(0),
        "held_until": number(0),
        "since": number(0),
        "late": {"BOOL": True},  # nobody knows who was at it
        "rev": number(int(rev) + 1 if rev.isdigit() else int(now * 1000)),
        "last": last_value({"at": timestamp(now), **last}),
    } | _kept_of(row)


def _kept_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is worth keeping of a row that makes no sense: an order, once known, is never lost."""
    match row.get("handoff_order"):
        case {"S": str(put)}:
            return {"handoff_order": text(put)}
    return {}


def _rebuilt(given: dict[str, Any], fields: tuple[str, ...], version: str | None) -> dict[str, Any]:
    """Give the update of a target's row that drops some fields; a version that is known replaces the one that was."""
    dropped = [name for name in fields if version is None or name != "version"]
    remove = f"REMOVE {', '.join(f'#{name}' for name in dropped)}" if dropped else ""
    if version is None or "version" not in fields:
        return given | {"UpdateExpression": remove}
    values = given.get("ExpressionAttributeValues", {}) | {":rebuilt": text(version)}
    return given | {"UpdateExpression": f"SET #version = :rebuilt {remove}", "ExpressionAttributeValues": values}


def _row(item: Mapping[str, Any]) -> Row | Unreadable:
    try:
        return read_row(item)
    except Unreadable as error:
        return error


def _untidy(handoff: Handoff, item: Mapping[str, Any]) -> Untidy:
    row = _row(item)
    put_at = item.get("handoff_order", {}).get("S", "")
    return Untidy(known(handoff, put_at), row.outcome if isinstance(row, Row) else None)


def _cursor(item: Mapping[str, Any]) -> Cursor | None:
    key, version = (item.get(name, {}).get("S") for name in ("cursor_key", "cursor_version"))
    return Cursor(key, version or "") if key else None
