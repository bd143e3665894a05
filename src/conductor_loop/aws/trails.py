"""Audit entries about something else than a handoff: each in a row of the state table, whose stream is published."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from conductor_loop.audit.chain import timestamp
from conductor_loop.config.changes import Noted
from conductor_loop.storage.rows import Key, Values, event_item, number
from conductor_loop.storage.sdk import translated

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFIG = Key("audit", "config")


class Trails:
    """Writes such rows.

    Args:
        client: Of DynamoDB.
        table: The state table.
        keep_seconds: How long the rows of calls live: as long as the audit log.

    """

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        self._client, self._table, self._keep_seconds = client, table, keep_seconds

    def note_call(self, request_id: str, fields: Mapping[str, object], now: float) -> None:
        """Note a call of the API. Doing it twice changes nothing.

        Raises:
            NotAnswering: DynamoDB does not; it may have been noted.

        """
        name = f"api/{request_id}"
        item = event_item(name, {"at": timestamp(now), "event": "called", **fields})
        with translated("DynamoDB"):
            self._write(Key("audit", name), 0, {**item, "expires_at": number(int(now + self._keep_seconds))})

    def config(self) -> Noted:
        """Read what is noted of the configuration."""
        item = self._client.get_item(TableName=self._table, Key=_CONFIG.item, ConsistentRead=True).get("Item")
        if item is None:
            return Noted()
        at = json.loads(item["last"]["S"])["at"]
        return Noted(int(item["version"]["N"]), at, int(item["rev"]["N"]))

    def note_config(self, seen: Noted, version: int, fields: Mapping[str, object]) -> Noted | None:
        """Note the next version of the configuration; ``None`` if another writer was first."""
        item = event_item("config", {**fields, "version": version}, seen.rev + 1)
        if not self._write(_CONFIG, seen.rev, {**item, "version": number(version)}):
            return None
        return Noted(version, str(fields["at"]), seen.rev + 1)

    def _write(self, key: Key, seen: int, row: Values) -> bool:
        """Write a row, if its revision is the one that was seen."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key.item,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in row),
                ConditionExpression="#rev = :seen" if seen else "attribute_not_exists(pk)",
                ExpressionAttributeNames={f"#{name}": name for name in row},
                ExpressionAttributeValues={f":{name}": value for name, value in row.items()}
                | ({":seen": number(seen)} if seen else {}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
