"""The function in this process, as Lambda calls it: its environment, its events, and its clients to hook into."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conductor_loop import handlers, metrics
from conductor_loop.intents.model import order
from conductor_loop.storage import sdk

BUCKET, TABLE, REGION = "handoff", "state", "us-east-1"
ROOT = Path(__file__).resolve().parent.parent
PORCH = ROOT / "layers/porch/bin/porch"
_QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:normal"
_MADE = (sdk.client, handlers._live, handlers._built, metrics.logger)  # noqa: SLF001 - what a warm function keeps


class Context:
    """What Lambda hands over beside the event."""

    log_stream_name = "2026/11/23/[$LATEST]bench"
    function_name = "conductor"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """Say how long the invocation may still take."""
        return 120_000


def environment(queue_url: str, **more: str) -> dict[str, str]:
    """Give the variables of the function, as the template sets them by default."""
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CONDUCTOR_STATE_TABLE": TABLE,
        "CONDUCTOR_PORCH_PATH": str(PORCH),
        "CONDUCTOR_QUEUE_HIGH": queue_url,
        "CONDUCTOR_QUEUE_NORMAL": queue_url,
        "CONDUCTOR_QUEUE_LOW": queue_url,
        "CONDUCTOR_ACCESS_CONTROL_PRIORITY_PRINCIPALS": "AWS:*",
    } | more


@contextmanager
def function(variables: dict[str, str]) -> Iterator[io.StringIO]:
    """Start the function cold, with these variables; what it prints is caught."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    forget()
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield printed
    finally:
        forget()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def forget() -> None:
    """Drop what a warm function keeps."""
    for made in _MADE:
        made.cache_clear()
    sdk.end_at(float("inf"))
    logger: Any = logging.getLogger(metrics.SERVICE)
    logger.handlers.clear()  # they hold the standard output of before
    logger.init = logger.powertools_handler = False  # it is set up anew by the next start


def clients() -> list[Any]:
    """Give the clients that the function works with."""
    return [sdk.client("s3"), sdk.client("dynamodb"), sdk.client("sqs", sdk.MESSAGES)]


def invoke(*records: dict[str, Any]) -> Any:  # noqa: ANN401 - what a handler answers
    """Call the handler with some records."""
    context: Any = Context()
    return handlers.conductor({"Records": list(records)}, context)


def put_record(key: str, version: str, size: int) -> dict[str, Any]:
    """Make S3's record of an object that was put."""
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z",  # an old one costs a read: see pipeline
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "s3": {
            "bucket": {"name": BUCKET},
            "object": {"key": key, "versionId": version, "size": size, "sequencer": "0A"},
        },
    }


def received_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """Make the record that Lambda's poller makes of a message that SQS has given it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": _QUEUE_ARN,
    }


def queue_record(body: str, number: int = 0) -> dict[str, Any]:
    """Make the record of a message that was received once."""
    attributes = {"ApproximateReceiveCount": "1", "MessageGroupId": "oran-sim"}
    return received_record(
        {"MessageId": f"message-{number}", "ReceiptHandle": f"receipt-{number}", "Body": body, "Attributes": attributes}
    )


def message_body(record: dict[str, Any], priority: str = "normal") -> str:
    """Write the message that the function sends for an event's record."""
    put = record["s3"]["object"]
    handoff = {
        "bucket": BUCKET,
        "key": put["key"],
        "version_id": put["versionId"],
        "size": put["size"],
        "event_time": record["eventTime"],
        "order": order(record["eventTime"], put["sequencer"]),
        "principal": record["userIdentity"]["principalId"],
    }
    return json.dumps({"handoff": handoff, "priority": priority, "note": ""})


def intent(**fields: object) -> bytes:
    """Write a valid intent of about a kilobyte, as senders do."""
    document: dict[str, object] = {
        "intent_type": "scaling",
        "target": "cnf-simulator",
        "namespace": "oran-sim",
        "replicas": 3,
        "reason": "Emergency response to high load. " * 14,
        "source": "automation",
        "metadata": {"alert_id": "ALT-12345", "automated_response": True, "notes": ["checked by planner"] * 12},
    }
    return json.dumps(document | fields).encode()


def say(text: str) -> None:
    """Report progress on stderr; the table comes at the end."""
    print(text, file=sys.stderr, flush=True)
