"""What the command line asks before an intent is sent: the function for its plan, and who else is about the target."""

import json
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from conductor_loop.errors import Unreadable
from conductor_loop.intents.model import Phase, Row, Target
from conductor_loop.storage.rows import Key, read_row, text
from conductor_loop.storage.state import StateTable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_AT_ONCE = 8  # calls
_MOST_WAITING = 200  # intents in the root that are read
_MOST_BYTES = 1024**2  # of one that is read
# A dry run may take as long as an invocation. Made again by the SDK, it would run beside the first.
_PATIENT = Config(read_timeout=900, retries={"total_max_attempts": 1})


class Unanswered(Exception):  # noqa: N818 - reads as what happened
    """The function has no plan to give; the message says why, and the next step."""


def plan(function: str, file: str, body: bytes) -> Mapping[str, Any]:
    """Have the function look at an intent, as ``planning.plan`` gives it. Raises Unanswered."""
    asked = {"plan": {"file": file, "body": b64encode(body).decode(), "principal": principal()}}
    client = boto3.client("lambda", config=_PATIENT)
    answer: Any = client.invoke(FunctionName=function, Payload=json.dumps(asked).encode())
    document = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        said = f"{document.get('errorType', 'error')}: {document.get('errorMessage', '')}"
        raise Unanswered(f"the function has failed ({said}); see: conductor-loop logs")
    if not document:
        raise Unanswered("the stack's function makes no plans: deploy this version to it first")
    found: Mapping[str, Any] = document
    return found


def principal() -> str:
    """Name the caller as S3's events do."""
    return f"AWS:{boto3.client('sts').get_caller_identity()['UserId']}"


def target(table: str, name: str) -> Target:
    """Read what the state table knows of the target ``namespace/name``. Raises Unreadable."""
    return StateTable(boto3.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0).target(name)


def applied(table: str, file: str) -> Mapping[str, Any] | None:
    """Read the status of the newest version of a name that was applied, whatever newer ones came to."""
    query: Any = {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": text(Key("intent", file).pk)},
        "ConsistentRead": True,
    }
    pages = boto3.client("dynamodb").get_paginator("query").paginate(**query)
    rows = [row for page in pages for item in page["Items"] if (row := _row(item)) and row.phase is Phase.SUCCEEDED]
    outcome = max(rows, key=lambda row: row.order).outcome if rows else None
    return outcome.status if outcome else None


def _row(item: Mapping[str, Any]) -> Row | None:
    try:
        return read_row(item)
    except Unreadable:
        return None


def waiting(bucket: str, name: str) -> tuple[list[str], bool]:
    """Find the intents in the root that are about the target ``namespace/name``.

    Returns:
        Their files, sorted; and whether all that lie there were looked at, or some of them only.

    """
    client = boto3.client("s3", config=Config(max_pool_connections=_AT_ONCE))
    page = client.list_objects_v2(Bucket=bucket, Prefix="intent-", Delimiter="/")
    found = sorted(page.get("Contents", []), key=lambda one: one["LastModified"], reverse=True)
    keys = [one["Key"] for one in found[:_MOST_WAITING] if one["Size"] <= _MOST_BYTES]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        targets = list(pool.map(lambda key: _target_of(client, bucket, key), keys))
    same = sorted(key for key, one in zip(keys, targets, strict=True) if one == name)
    return same, len(keys) == len(found) and not page["IsTruncated"]


def _target_of(client: "S3Client", bucket: str, key: str) -> str:
    """Read which target an input is about; nothing of one that is gone by now, or none that can be read."""
    try:
        document = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        return f"{document['namespace']}/{document['target']}"
    except (ClientError, ValueError, KeyError, TypeError, RecursionError):
        return ""
