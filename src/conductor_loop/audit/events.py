"""Audit entries about something else than a handoff: each in a row of the state table, whose stream is published."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.audit.entries import timestamp
from conductor_loop.config.schema import InvalidConfig, get, leaves, parse
from conductor_loop.config.typed import Revision
from conductor_loop.storage.rows import Key, Values, event_item, number, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = logging.getLogger("conductor-loop")

_MOST_PENDING = 1000  # entries that wait for the table; of more, the log has them
_DELETED = "/deleted"


class Calls:
    """Writes entries about calls of the API, kept for ``keep_seconds``; what fails is retried with the next one."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        self._client, self._table, self._keep_seconds = client, table, keep_seconds
        self._pending: deque[tuple[Key, Values]] = deque(maxlen=_MOST_PENDING)

    def note(self, request_id: str, fields: Mapping[str, object], now: float) -> int:
        """Write an entry, and those that wait; how many still do. Never raises: a caller gets the response anyway."""
        key = Key("audit", f"api/{request_id}")
        item = event_item(key.name, {"at": timestamp(now), "event": "called", **fields})
        self._pending.append((key, {**item, "expires_at": number(int(now + self._keep_seconds))}))
        while self._pending:
            try:
                _write(self._client, self._table, *self._pending[0])
            except (BotoCoreError, ClientError):
                logger.exception("an audit entry is not written: it is tried again", extra={"entry": dict(fields)})
                break
            self._pending.popleft()
        return len(self._pending)


@dataclass(frozen=True, slots=True)
class Configurations:
    """Writes entries about versions of the configuration: who changed which keys, and no values."""

    client: "DynamoDBClient"
    table: str
    is_good: Callable[[str], bool]  # whether a text can be used

    def note(self, revisions: Sequence[Revision], now: float) -> None:
        """Note the versions, oldest first, behind the newest one that is noted; or that the parameter was deleted.

        SSM keeps a hundred, so those before are unknown. After the parameter is deleted, it counts from 1 again.
        """
        newest, before = self._newest(), _parse("{}")
        if newest and not revisions and not newest.endswith(_DELETED):
            fields = {"at": timestamp(now), "because": "the parameter was deleted", "version": 0}
            self._write(f"{newest}{_DELETED}", fields)
        for one in revisions:
            at, document = timestamp(one.at), _parse(one.text)
            if (name := f"{at}/{one.version:06}") > newest:
                changed = [leaf.dotted for leaf in leaves() if get(before, leaf.path) != get(document, leaf.path)]
                fields = {"at": at, "by": one.by, "changed": changed, "accepted": self.is_good(one.text)}
                self._write(name, {**fields, "version": one.version})
            before = document

    def _newest(self) -> str:
        query: Any = {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": text(Key("audit", "config").pk)},
            "ConsistentRead": True,
        }
        answer = self.client.query(TableName=self.table, ScanIndexForward=False, Limit=1, **query)
        return next((item["sk"]["S"] for item in answer["Items"]), "")

    def _write(self, name: str, fields: Mapping[str, object]) -> None:
        item = event_item("config", {"event": "configured", **fields})
        _write(self.client, self.table, Key("audit", "config", name), item)


def _parse(written: str) -> object:
    try:
        return parse(written)
    except InvalidConfig:
        return None


def _write(client: "DynamoDBClient", table: str, key: Key, row: Values) -> None:
    """Write a row, once: another writer has the same one."""
    with suppress(client.exceptions.ConditionalCheckFailedException):
        client.update_item(
            TableName=table,
            Key=key.item,
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in row),
            ConditionExpression="attribute_not_exists(pk)",
            ExpressionAttributeNames={f"#{name}": name for name in row},
            ExpressionAttributeValues={f":{name}": value for name, value in row.items()},
        )
