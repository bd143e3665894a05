"""What an operator does from the command line: look at answers, send again, move dead letters back."""

import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from conductor_loop import messages
from conductor_loop.aws import heads
from conductor_loop.aws.inbox import put
from conductor_loop.aws.refusals import NotThere, WrongPlace
from conductor_loop.errors import Illegible
from conductor_loop.intent import Priority

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

# What an endpoint answers that does not know the message-move task: emulators do not, AWS does.
_UNKNOWN_ACTION = {"InvalidAction", "UnknownOperation", "UnsupportedOperation", "UnknownOperationException", "404"}
_ILLEGIBLE = {"InvalidRequest", "InvalidObjectState"}  # encrypted with its sender's own key; archived
# Ten at once. Without waiting SQS asks some of its servers only, and may find none of the messages that are there.
_RECEIVE: Mapping[str, int] = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
_COUNTS: "tuple[QueueAttributeNameType, ...]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_MOST_NAMES = 100
_LOOK_SECONDS = 60  # that messages are hidden while all of them are looked at


class Outputs(dict[str, str]):
    """Outputs of a stack, by name."""

    def __missing__(self, name: str) -> str:
        raise NotThere(f"the stack has no output {name}: it is none of ours, or of another version")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a name stands: the newest version that lies in the root, if any, and the newest status, if any."""

    waiting: str | None = None  # version id
    status: str | None = None  # the object, as it is
    document: Mapping[str, Any] = field(default_factory=dict)  # the status; empty where there is none
    older: bool = False  # whether what lies in the root was put before the version that the status is about


@dataclass(frozen=True, slots=True)
class Listed:
    """An input in the root of the bucket, and since when it lies there."""

    since: datetime
    name: str
    version_id: str


def outputs(stack: str) -> Outputs:
    """Read the outputs of a deployed stack. Raises NotThere."""
    client = boto3.client("cloudformation")
    if not stack:  # which CloudFormation takes for all of them
        raise NotThere("the stack's name is empty: name one with --stack")
    try:
        found = client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        wrong = f"there is no stack {stack} in {client.meta.region_name}"
        raise WrongPlace(f"{wrong}: name another with --stack, or another region with AWS_REGION") from None
    return Outputs({output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])})


def standing(bucket: str, file: str) -> Standing:
    """Look at the root of the bucket, then at the status: an input is removed after its last status was written.

    What lies there as a status and is none counts for nothing.
    """
    client = boto3.client("s3")
    root = heads.head(client, bucket, file)
    waiting = root.version_id if root else None
    try:
        answer = client.get_object(Bucket=bucket, Key=f"status/{file}.status")
    except client.exceptions.NoSuchKey:
        return Standing(waiting)
    text = answer["Body"].read().decode(errors="replace")
    document = _status(text)
    if not document:
        return Standing(waiting)
    put = answer["Metadata"].get("order", "")[:19]  # the version that it is about; see intents.model.order
    older = root is not None and f"{root.modified.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" < put
    return Standing(waiting, text, document, older=older)


def _status(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("status"), str) else {}


def kept(bucket: str, file: str) -> str | None:
    """Find the key under which the newest input of a name that failed, or else succeeded, is kept."""
    client = boto3.client("s3")
    return next((key for key in (f"failed/{file}", f"processed/{file}") if heads.head(client, bucket, key)), None)


def waiting(bucket: str, since: datetime, limit: int) -> list[Listed]:
    """List the newest inputs of the root, newest first, at most ``limit``. S3 sorts by name: all are looked at."""
    return heapq.nlargest(limit, (one for one in _root(bucket) if one.since >= since), lambda one: one.since)


def _root(bucket: str) -> Iterator[Listed]:
    pages = boto3.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket, Delimiter="/"):
        for found in page.get("Versions", []):
            if found["IsLatest"]:
                yield Listed(found["LastModified"], found["Key"], found["VersionId"])


def names(bucket: str, beginning: str) -> list[str]:
    """Give the first names of inputs that lie in the root, and of statuses, which begin so; sorted."""
    client, status = boto3.client("s3"), "status/"
    waiting: Any = {"Bucket": bucket, "Prefix": beginning, "Delimiter": "/", "MaxKeys": _MOST_NAMES}
    keys = [one["Key"] for one in client.list_objects_v2(**waiting).get("Contents", [])]
    answered = client.list_objects_v2(Bucket=bucket, Prefix=status + beginning, MaxKeys=_MOST_NAMES)
    keys += [one["Key"].removeprefix(status).removesuffix(".status") for one in answered.get("Contents", [])]
    return sorted({key for key in keys if "@" not in key})  # behind which is a version; see s3.put_status


def resubmit(bucket: str, file: str) -> bool:
    """Put a failed input into the root again, where it is a new intent; whether there was one. ``failed/`` keeps it.

    Raises:
        ConditionFailed: an input of that name lies there by now.
        Illegible: it is kept, and S3 gives it to its sender alone.

    """
    client = boto3.client("s3")
    try:
        body = client.get_object(Bucket=bucket, Key=f"failed/{file}")["Body"].read()
    except client.exceptions.NoSuchKey:
        return False
    except ClientError as error:
        if error.response["Error"]["Code"] not in _ILLEGIBLE:
            raise
        raise Illegible(error.response["Error"]["Message"]) from error
    put(client, bucket, file, body, replace=False)
    return True


def redrive(dead_letters: str, queues: Mapping[Priority, str]) -> int | None:
    """Move the dead letters back to the queues they came from.

    Returns:
        How many were moved; ``None`` when SQS has begun to, and will say so itself.

    """
    client = boto3.client("sqs")
    arn = client.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    try:
        client.start_message_move_task(SourceArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _UNKNOWN_ACTION:
            raise
        return _move(dead_letters, queues)
    return None


def dead_letters(queue: str) -> tuple[list[str], int]:
    """Look at the dead letters, and leave them.

    Returns:
        What each is about, or its text where it is none of ours; and how many the queue has, for all that it knows.

    """
    client, seen = boto3.client("sqs"), dict[str, Any]()  # by id: one that comes up twice is the same
    there = _depth(client, queue)
    looking: Any = {"QueueUrl": queue, "VisibilityTimeout": _LOOK_SECONDS, **_RECEIVE}
    try:
        while received := client.receive_message(**looking).get("Messages"):
            known = len(seen)
            seen |= {message["MessageId"]: message for message in received}
            if len(seen) == known:  # of so many that the first ones are visible again
                break
    finally:
        _show(client, queue, [message["ReceiptHandle"] for message in seen.values()])
    return [_about(message["Body"]) for message in seen.values()], max(there, len(seen))


def _show(client: "SQSClient", queue: str, receipts: list[str]) -> None:
    """Have messages visible again at once. One that cannot be is so already, and a batch refuses no others for it."""
    for some in batched(receipts, _RECEIVE["MaxNumberOfMessages"], strict=False):
        entries: Any = [{"Id": str(at), "ReceiptHandle": one, "VisibilityTimeout": 0} for at, one in enumerate(some)]
        client.change_message_visibility_batch(QueueUrl=queue, Entries=entries)


def _depth(client: "SQSClient", queue: str) -> int:
    found = client.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])["Attributes"]
    return sum(int(found.get(name, 0)) for name in _COUNTS)


def _about(body: str) -> str:
    try:
        message = messages.read(body)
    except ValueError:
        return f"not a message of ours: {body[:200]!r}"
    return f"{message.handoff.file} {message.priority} {message.handoff.version_id}"


def _move(dead_letters: str, queues: Mapping[Priority, str]) -> int:
    """Move by hand: send first, delete then, so that a crash between doubles a message and loses none."""
    client, moved = boto3.client("sqs"), 0
    receiving: Any = {"QueueUrl": dead_letters, **_RECEIVE}
    while received := client.receive_message(**receiving).get("Messages"):
        for message in received:
            client.send_message(QueueUrl=queues[_priority(message["Body"])], MessageBody=message["Body"])
            client.delete_message(QueueUrl=dead_letters, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _priority(body: str) -> Priority:
    try:
        return messages.read(body).priority
    except ValueError:  # not ours: it becomes a dead letter again, for the operator
        return Priority.NORMAL
