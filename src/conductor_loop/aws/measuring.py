"""What is measured for health and metrics: a few calls each, whatever the history."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from conductor_loop.api.parts import Counts, TableSize
from conductor_loop.aws.answering import translated
from conductor_loop.aws.dynamodb import SHARDS
from conductor_loop.aws.rows import Key, number, text
from conductor_loop.counting import OLDEST, OVERDUE, SECURITY, Counted
from conductor_loop.errors import NotAnswering

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger("conductor-loop")

_KEY, _FILES = {"pk", "sk"}, "files_"


class QueueDepths:
    """How many messages wait.

    Args:
        client: Of SQS.
        urls: Of the queues by priority; and of the dead letters, as ``dead``.

    """

    def __init__(self, client: "SQSClient", urls: Mapping[str, str]) -> None:
        self._client, self._urls = client, urls

    def size(self) -> int:
        """Add up what waits in the queues; dead letters do not. Raises NotAnswering."""
        return sum(self._measured({name: url for name, url in self._urls.items() if name != "dead"}).values())

    def each(self) -> Mapping[str, int]:
        """Say how much waits in each of the queues, and among the dead letters. Raises NotAnswering."""
        return self._measured(self._urls)

    def _measured(self, urls: Mapping[str, str]) -> Mapping[str, int]:
        """Ask for all of them side by side."""
        if not urls:
            return {}
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:
            return dict(zip(urls, pool.map(self._one, urls.values()), strict=True))

    def _one(self, url: str) -> int:
        with translated("SQS"):
            answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


class StateMeasures:
    """What the state table says about everything together."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def active_workers(self, now: float) -> int:
        """Count the claims whose lease has not run out. Raises NotAnswering."""
        query: Any = {
            "TableName": self._table,
            "IndexName": "active",
            "KeyConditionExpression": "active = :yes AND held_until > :now",
            "ExpressionAttributeValues": {":yes": text("yes"), ":now": number(float(now))},
            "Select": "COUNT",
        }
        with translated("DynamoDB"):
            return int(self._client.query(**query)["Count"])

    def counts(self) -> Counts:
        """Read every counter and gauge in one consistent call. Raises NotAnswering."""
        keys = [*(Key("counter", str(shard)) for shard in range(SHARDS)), Key("gauge", "directories")]
        wanted: Any = {self._table: {"Keys": [key.item for key in keys], "ConsistentRead": True}}
        with translated("DynamoDB"):
            answer = self._client.batch_get_item(RequestItems=wanted)
        if answer.get("UnprocessedKeys"):
            raise NotAnswering("DynamoDB: throttled")
        items = answer["Responses"].get(self._table, [])
        counters = [_numbers(item) for item in items if item["pk"]["S"].startswith("counter#")]
        gauges = next((_numbers(item) for item in items if item["pk"]["S"].startswith("gauge#")), {})
        return Counts(
            counters=_added([{name: by for name, by in one.items() if name != "security_at"} for one in counters]),
            overdue=gauges.get(OVERDUE),
            oldest={name: seconds for name, seconds in gauges.items() if name.startswith(OLDEST)},
            directories={name.removeprefix(_FILES): files for name, files in gauges.items() if name.startswith(_FILES)},
            security_at=max((one.get("security_at", 0.0) for one in counters), default=0.0),
        )

    def note_rejection(self, counted: Counted, now: float) -> None:
        """Count an intent that was refused before it was put; if it looks like an attack, when. Never raises."""
        attack = SECURITY in counted.tally
        update: Any = {
            "TableName": self._table,
            "Key": Key("counter", "0").item,
            "UpdateExpression": "ADD "
            + ", ".join(f"{name} :{name}" for name in counted.tally)
            + (" SET security_at = :now" if attack else ""),
            "ExpressionAttributeValues": {f":{name}": number(by) for name, by in counted.tally.items()}
            | ({":now": number(float(now))} if attack else {}),
        }
        try:
            with translated("DynamoDB"):
                self._client.update_item(**update)
        except NotAnswering:
            logger.warning("a rejection is not counted", exc_info=True)

    def table_size(self) -> TableSize:
        """Say how large the table is; DynamoDB counts every six hours or so. Raises NotAnswering."""
        with translated("DynamoDB"):
            found = self._client.describe_table(TableName=self._table)["Table"]
        return TableSize(found.get("ItemCount", 0), found.get("TableSizeBytes", 0))


def _numbers(item: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value["N"]) for name, value in item.items() if name not in _KEY and "N" in value}


def _added(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for name, by in row.items():
            total[name] = total.get(name, 0.0) + by
    return total
