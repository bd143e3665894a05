"""Audit entries about something else than a handoff: each in a row of the state table, whose stream is published."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.audit.entries import timestamp
from conductor_loop.config.live import Revision
from conductor_loop.config.schema import InvalidConfig, get, leaves, parse
from conductor_loop.storage.rows import Key, event_item, number, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = logging.getLogger("conductor-loop")

_MOST_PENDING = 1000  # entries that wait for the table; of more, the log has them
_DELETED = "/deleted"


class Calls:
    """Writes entries about calls of the API, kept for ``keep_seconds``; what fails is retried with the next one."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        self._client, self._table, self._keep_seconds = client, table, keep_seconds
        self._pending: deque[dict[str, Any]] = deque(maxlen=_MOST_PENDING)

    def note(self, request_id: str, fields: Mapping[str, object], now: float) -> int:
        """Write an entry, and those that wait; how many still do. Never raises: a caller gets the response anyway."""
        name, expires = f"api/{request_id}", number(int(now + self._keep_seconds))
        item = event_item(name, {"at": timestamp(now), "event": "called", **fields})
        self._pending.append({**item, **Key("audit", name).item, "expires_at": expires})
        while self._pending:
            try:
                _write(self._client, self._table, self._pending[0])
            except (BotoCoreError, ClientError):
                logger.exception("an audit entry is not written: it is tried again", extra={"entry": dict(fields)})
                break
            self._pending.popleft()
        return len(self._pending)


class Configurations:
    """Writes entries about versions of the configuration: who changed which keys, and no values.

    Args:
        client: Of DynamoDB.
        table: The state table.
        good: Whether a text can be used.
        clock: Epoch seconds.

    """

    def __init__(
        self, client: "DynamoDBClient", table: str, good: Callable[[str], bool], clock: Callable[[], float]
    ) -> None:
        self._client, self._table, self._good, self._clock = client, table, good, clock

    def note(self, revisions: Sequence[Revision]) -> None:
        """Note the versions, oldest first, behind the newest one that is noted; or that the parameter was deleted.

        SSM keeps a hundred, so those before are unknown. After the parameter is deleted, it counts from 1 again.
        """
        newest, before = self._newest(), "{}"
        if newest and not revisions and not newest.endswith(_DELETED):
            fields = {"at": timestamp(self._clock()), "because": "the parameter was deleted", "version": 0}
            self._write(f"{newest}{_DELETED}", fields)
        for one in revisions:
            at = timestamp(one.at)
            if (name := f"{at}/{one.version:06}") > newest:
                changed = _changed(before, one.text)
                fields = {"at": at, "by": one.by, "changed": changed, "accepted": self._good(one.text)}
                self._write(name, {**fields, "version": one.version})
            before = one.text

    def _newest(self) -> str:
        query: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": text(Key("audit", "config").pk)},
            "ScanIndexForward": False,
            "Limit": 1,
            "ConsistentRead": True,
        }
        return next((str(item["sk"]["S"]) for item in self._client.query(**query)["Items"]), "")

    def _write(self, name: str, fields: Mapping[str, object]) -> None:
        item = event_item("config", {"event": "configured", **fields})
        _write(self._client, self._table, {**item, **Key("audit", "config", name).item})


def _write(client: "DynamoDBClient", table: str, item: Mapping[str, Any]) -> None:
    """Write a row, once: another writer has the same one."""
    values = {name: value for name, value in item.items() if name not in {"pk", "sk"}}
    try:
        client.update_item(
            TableName=table,
            Key={name: item[name] for name in ("pk", "sk")},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression="attribute_not_exists(pk)",
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return


def _changed(before: str, after: str) -> list[str]:
    old, new = _document(before), _document(after)
    return [leaf.dotted for leaf in leaves() if get(old, leaf.path) != get(new, leaf.path)]


def _document(text: str) -> Mapping[str, object]:
    try:
        document = parse(text)
    except InvalidConfig:
        return {}
    return document if isinstance(document, Mapping) else {}
