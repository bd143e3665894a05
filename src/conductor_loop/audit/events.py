"""Audit entries about something else than a handoff: each in a row of the state table, whose stream is published."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.audit.entries import timestamp
from conductor_loop.config import InvalidConfig, load
from conductor_loop.config.schema import get, leaves, parse
from conductor_loop.config.typed import Revision
from conductor_loop.storage.rows import Key, Values, event_item, expires
from conductor_loop.storage.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = logging.getLogger("conductor-loop")

_MOST_PENDING = 1000  # entries that wait for the table; of more, the log has them
_DELETED = "/deleted"


class _Events(Table):
    """Writes entries, each in a row of its own."""

    def _write(self, key: Key, row: Values) -> None:
        """Write a row, once: another writer has the same one."""
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=key.item,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in row),
                ConditionExpression="attribute_not_exists(pk)",
                ExpressionAttributeNames={f"#{name}": name for name in row},
                ExpressionAttributeValues={f":{name}": value for name, value in row.items()},
            )


class Calls(_Events):
    """Writes entries about calls of the API, kept for ``keep_seconds``; what fails is retried with the next one."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        super().__init__(client, table)
        self._keep_seconds = keep_seconds
        self._pending: deque[tuple[Key, Values]] = deque(maxlen=_MOST_PENDING)

    def note(self, request_id: str, fields: Mapping[str, object], now: float) -> int:
        """Write an entry, and those that wait; how many still do. Never raises: a caller gets the response anyway."""
        key = Key("audit", f"api/{request_id}")
        item = event_item(key.name, {"at": timestamp(now), "event": "called", **fields})
        self._pending.append((key, item | expires(now + self._keep_seconds)))
        while self._pending:
            try:
                self._write(*self._pending[0])
            except (BotoCoreError, ClientError):
                logger.exception("an audit entry is not written: it is tried again", extra={"entry": dict(fields)})
                break
            self._pending.popleft()
        return len(self._pending)


class Configurations(_Events):
    """Writes entries about versions of the configuration: who changed which keys, and no values."""

    def note(self, revisions: Sequence[Revision], environment: Mapping[str, str], now: float) -> None:
        """Note the versions, oldest first, behind the newest one that is noted; or that the parameter was deleted.

        Each is accepted if the environment takes it. SSM keeps a hundred, so those before are unknown. After the
        parameter is deleted, it counts from 1 again.
        """
        newest, before = self._newest(), parse("{}")
        if newest and not revisions and not newest.endswith(_DELETED):
            fields = {"at": timestamp(now), "because": "the parameter was deleted", "version": 0}
            self._note(f"{newest}{_DELETED}", fields)
        for one in revisions:
            at, accepted, document = timestamp(one.at), False, object()
            name = f"{at}/{one.version:06}"
            with suppress(InvalidConfig):
                document = parse(one.text)
                accepted = name > newest and bool(load(document, environment))
            if name > newest:
                changed = [leaf.dotted for leaf in leaves() if get(before, leaf.path) != get(document, leaf.path)]
                fields = {"at": at, "by": one.by, "changed": changed, "accepted": accepted, "version": one.version}
                self._note(name, fields)
            before = document

    def _newest(self) -> str:
        return max((row["sk"]["S"] for row in self.query("audit", "config")), default="")

    def _note(self, name: str, fields: Mapping[str, object]) -> None:
        self._write(Key("audit", "config", name), event_item("config", {"event": "configured", **fields}))
