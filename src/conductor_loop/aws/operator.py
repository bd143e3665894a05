"""What an operator does from the command line: look at answers, send again, move dead letters back."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop import messages
from conductor_loop.intent import Priority

AWS_ERRORS = (BotoCoreError, ClientError)
# What an endpoint answers that does not know the message-move task: emulators do not, AWS does.
_UNKNOWN_ACTION = {"InvalidAction", "UnknownOperation", "UnsupportedOperation", "UnknownOperationException", "404"}
_RECEIVE = 10  # messages at once


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an intent's file stands: its latest status, if any, and whether an input of that name still waits."""

    status: str | None
    waiting: bool


def outputs(stack: str) -> dict[str, str]:
    """Read the outputs of a deployed stack."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def standing(bucket: str, file: str) -> Standing:
    """Look at a file's status and at the root of the bucket."""
    client = boto3.client("s3")
    waiting = _exists(bucket, file)
    try:
        body = client.get_object(Bucket=bucket, Key=f"status/{file}.status")["Body"].read().decode()
    except client.exceptions.NoSuchKey:
        return Standing(None, waiting)
    return Standing(body, waiting)


def resubmit(bucket: str, file: str) -> bool:
    """Copy a failed input back to the root, where it is a new intent; whether there was one. ``failed/`` keeps it."""
    if not _exists(bucket, f"failed/{file}"):
        return False
    source = {"Bucket": bucket, "Key": f"failed/{file}"}
    boto3.client("s3").copy_object(Bucket=bucket, Key=file, CopySource=source)  # type: ignore[arg-type]  # no version
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


def _move(dead_letters: str, queues: Mapping[Priority, str]) -> int:
    """Move by hand: send first, delete then, so that a crash between doubles a message and loses none."""
    client, moved = boto3.client("sqs"), 0
    while received := client.receive_message(QueueUrl=dead_letters, MaxNumberOfMessages=_RECEIVE).get("Messages"):
        for message in received:
            client.send_message(QueueUrl=queues[_priority(message["Body"])], MessageBody=message["Body"])
            client.delete_message(QueueUrl=dead_letters, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _priority(body: str) -> Priority:
    try:
        return messages.read(body).priority
    except ValueError:  # not ours: it becomes a dead letter again, for somebody to look at
        return Priority.NORMAL


def _exists(bucket: str, key: str) -> bool:
    try:
        boto3.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True
