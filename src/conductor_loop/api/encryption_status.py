"""Whether the state can be read, as DynamoDB describes its table, for /healthz."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ENABLED = "enabled"
IMPAIRED = "impaired"  # the key of the site's own is out of reach: nothing can be read
UNKNOWN = "unknown"  # DynamoDB does not say
_AGE_SECONDS = 300
_OUT_OF_REACH = {"INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED"}  # the key was gone for too long


class EncryptionStatus:
    """Asks DynamoDB how the state is encrypted, now and then.

    One call stands for all: there is one key for everything, and DynamoDB reports when it is out of reach.
    S3, CloudWatch Logs and Secrets Manager store nothing in the clear, and the template encrypts the queues.

    Args:
        client: Makes the client when it is first needed. The role needs ``dynamodb:DescribeTable``.
        table: Name of the state table.
        clock: Seconds of a monotonic clock.

    """

    def __init__(self, client: "Callable[[], DynamoDBClient]", table: str, clock: Callable[[], float]) -> None:
        self._client, self._table, self._clock = client, table, clock
        self._known, self._asked_at = UNKNOWN, float("-inf")

    def status(self) -> str:
        """Return one of the above, as of five minutes ago at most; never raises."""
        if self._clock() - self._asked_at >= _AGE_SECONDS:
            self._asked_at = self._clock()
            self._known = self._ask()
        return self._known

    def _ask(self) -> str:
        try:
            table = self._client().describe_table(TableName=self._table)["Table"]
        except Exception:  # noqa: BLE001 - whatever it is, we do not know
            return UNKNOWN
        described = table.get("SSEDescription", {})
        lost = table.get("TableStatus") in _OUT_OF_REACH or "InaccessibleEncryptionDateTime" in described
        return IMPAIRED if lost else ENABLED
