"""What is measured for health and metrics: a few calls each, whatever the history."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conductor_loop.audit.counters import Counters
from conductor_loop.audit.entries import Shard
from conductor_loop.counting import RUNNING, SWEPT_AT
from conductor_loop.errors import NotAnswering
from conductor_loop.storage import translated
from conductor_loop.storage.rows import Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef
    from mypy_boto3_sqs import SQSClient

_OUT_OF_REACH = {"INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED"}  # the key was gone for too long
_KEY = {"pk", "sk"}
_SWEPT_SECONDS = 90.0  # by which the note of one sweep may be newer than what is counted: the one before it is not


@dataclass(frozen=True, slots=True)
class Counts:
    """Every counter since the stack was made, and what the last sweep measured."""

    counters: Mapping[str, float] = field(default_factory=dict)  # by the names of ``counting``
    gauges: Mapping[str, float] = field(default_factory=dict)  # of the last sweep, likewise; and files, by directory
    lag: float = 0.0  # seconds that the counters are behind what happens
    security_at: float = 0.0  # when an intent was last rejected for what looks like an attack; epoch seconds


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
        return sum(depth for name, depth in self.each().items() if name != "dead")

    def each(self) -> Mapping[str, int]:
        """Return how much waits in each of the queues, and among the dead letters. Raises NotAnswering."""
        if not self._urls:
            return {}
        with ThreadPoolExecutor(max_workers=len(self._urls)) as pool:
            return dict(zip(self._urls, pool.map(self._one, self._urls.values()), strict=True))

    def _one(self, url: str) -> int:
        with translated("SQS"):
            answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


class StateMeasures:
    """What the state table says about everything together."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def active_workers(self) -> int:
        """Count the claims that are not released, as far as AuditFunction is. Raises NotAnswering."""
        with translated("DynamoDB"):
            return int(Counters(self._client, self._table).totals().counters.get(RUNNING, 0))

    def counts(self, now: float) -> Counts:
        """Read every counter and gauge; ``now`` in epoch seconds. Raises NotAnswering."""
        wanted: Any = {self._table: {"Keys": [Key("gauge", "directories").item], "ConsistentRead": True}}
        with translated("DynamoDB"):
            answer = self._client.batch_get_item(RequestItems=wanted)
            totals = Counters(self._client, self._table).totals()
        if answer.get("UnprocessedKeys"):
            raise NotAnswering("DynamoDB: throttled")
        gauges = next(map(_numbers, answer["Responses"].get(self._table, [])), {})
        return Counts(
            counters=totals.counters,
            gauges=gauges,
            lag=_lag(totals, gauges.get(SWEPT_AT, 0.0), now),
            security_at=totals.security_at,
        )

    def table_size(self) -> dict[str, int]:
        """Return how many rows and bytes the table has; DynamoDB counts every six hours or so. Raises NotAnswering."""
        found = self._describe()
        return {"state_entries": found.get("ItemCount", 0), "state_bytes": found.get("TableSizeBytes", 0)}

    def encryption_status(self) -> str:
        """Return "enabled"; or "impaired": the site's own key is out of reach, and nothing can be read.

        One call stands for all: there is one key for everything, and DynamoDB reports when it is out of reach.
        S3, CloudWatch Logs and Secrets Manager store nothing in the clear, and the template encrypts the queues.

        Raises:
            NotAnswering: DynamoDB does not.

        """
        table = self._describe()
        lost = table.get("TableStatus") in _OUT_OF_REACH or "InaccessibleEncryptionDateTime" in table.get(
            "SSEDescription", {}
        )
        return "impaired" if lost else "enabled"

    def _describe(self) -> "TableDescriptionTypeDef":
        with translated("DynamoDB"):
            return self._client.describe_table(TableName=self._table)["Table"]


def _numbers(item: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value["N"]) for name, value in item.items() if name not in _KEY and "N" in value}


def _lag(totals: Shard, swept_at: float, now: float) -> float:
    """Say by how many seconds the counters are behind.

    Each sweep notes its time in a row whose changes are in the stream, too: where that is not counted, the last count
    is old, and what it says of its lag says nothing of the present.
    """
    return now - totals.created_at if swept_at - totals.created_at > _SWEPT_SECONDS else totals.lag
