"""The queues in SQS: one for each priority, and the dead letters of all."""

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conductor_loop.app import Message
from conductor_loop.intent import Priority
from conductor_loop.retry import LONGEST_DELAY_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger("conductor-loop")


class SQSQueues:
    """Standard queues by priority. A message's group is the intent's namespace, so that one namespace's flood does not
    starve another (SQS fair queues); groups order nothing here.
    """  # noqa: D205 - one sentence more than fits a line

    def __init__(self, client: "SQSClient", urls: Mapping[Priority, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        """Put a message on the queue of its priority, to be received after the delay."""
        if (url := self._urls.get(message.priority)) is None:
            raise LookupError(f"there is no queue: set CONDUCTOR_QUEUE_{message.priority.upper()} to its URL")
        self._client.send_message(
            QueueUrl=url,
            MessageBody=message.body,
            MessageGroupId=group,
            DelaySeconds=math.ceil(min(delay_seconds, LONGEST_DELAY_SECONDS)),
        )

    def extend_visibility(self, record: Mapping[str, Any], seconds: float) -> None:
        """Keep a received message back for a while, if that can be done: its queue delivers it again in any case."""
        name, receipt = record["eventSourceARN"].rpartition(":")[2], record["receiptHandle"]
        until = max(1, math.ceil(seconds))
        try:
            url = next(url for url in self._urls.values() if url.endswith(f"/{name}"))
            self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=until)
        except Exception:
            logger.exception("not kept back", extra={"message_id": record["messageId"], "message_body": record["body"]})
