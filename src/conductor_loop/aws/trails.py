"""Audit entries about something else than a handoff: each in a row of the state table, whose stream is published."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conductor_loop.audit.chain import Entry, Head, link
from conductor_loop.audit.entries import given, timestamp
from conductor_loop.aws.answering import translated
from conductor_loop.aws.rows import Key, number, text
from conductor_loop.config.changes import Noted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFIG = Key("audit", "config")
_MOST_ENTRIES = 50  # that a row keeps beside the published ones


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
        """Note a call of the API: a chain of one entry. Doing it twice changes nothing.

        Raises:
            NotAnswering: DynamoDB does not; it may have been noted.

        """
        name = f"api/{request_id}"
        entry = link(name, Head(), {"at": timestamp(now), "event": "called", **given(fields)})
        expires = {"expires_at": number(int(now + self._keep_seconds))}
        with translated("DynamoDB"):
            self._write(Key("audit", name), Head(), entry, (entry.text,), expires)

    def config(self) -> Noted:
        """Read what is noted of the configuration."""
        item = self._client.get_item(TableName=self._table, Key=_CONFIG.item, ConsistentRead=True).get("Item")
        if item is None:
            return Noted()
        entries = tuple(one["S"] for one in item["audit"]["L"])
        at = json.loads(entries[-1])["at"]
        return Noted(int(item["version"]["N"]), at, Head.read(item["audit_head"]["S"]), entries)

    def note_config(self, seen: Noted, version: int, fields: Mapping[str, object]) -> Noted | None:
        """Note the next version of the configuration; ``None`` where somebody else has since what was ``seen``."""
        entry = link("config", seen.head, {**given(fields), "version": version})
        kept = (*seen.entries[-_MOST_ENTRIES + 1 :], entry.text)
        if not self._write(_CONFIG, seen.head, entry, kept, {"version": number(version)}):
            return None
        return Noted(version, entry.document["at"], entry.head, kept)

    def _write(self, key: Key, head: Head, entry: Entry, kept: tuple[str, ...], more: Mapping[str, Any]) -> bool:
        """Write a row with its entries, if it still ends where the new one is linked."""
        at = str(entry.document["at"])
        row = {
            "audit": {"L": [text(one) for one in kept]},
            "audit_head": text(str(entry.head)),
            "arrival_day": text(f"audit#{at[:10]}"),  # a day of its own in the index, beside that of the intents
            "arrived": text(f"{at}#{key.name}"),
            **more,
        }
        names = {f"#{name}": name for name in row}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key.item,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in row),
                ConditionExpression="#audit_head = :seen" if head.seq else "attribute_not_exists(pk)",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={f":{name}": value for name, value in row.items()}
                | ({":seen": text(str(head))} if head.seq else {}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
