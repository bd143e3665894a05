"""``conductor-loop redrive``: look at the dead letters, or move them back."""

from collections.abc import Mapping
from itertools import batched
from typing import Any

import click
from botocore.exceptions import ClientError

from conductor_loop.app import Message
from conductor_loop.cli import aws, console
from conductor_loop.cli.common import stack_command
from conductor_loop.intent import Priority

# What an endpoint returns that does not know the message-move task: emulators do not, AWS does.
_UNKNOWN_ACTION = {"InvalidAction", "UnknownOperation", "UnsupportedOperation", "UnknownOperationException", "404"}
# Ten at once. Without waiting SQS asks some of its servers only, and may find none of the messages that are there.
_RECEIVE = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_LOOK_SECONDS = 60  # that messages are hidden while all of them are read


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what each is about (name, priority, version); move nothing.")
@stack_command
def redrive(stack: str, *, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters back to their queues, once their cause is fixed.

    \b
    Examples:
      conductor-loop redrive --dry-run
      conductor-loop redrive
    """  # noqa: D301 - click wants the control character
    outputs = aws.outputs(stack)
    dead = outputs["DeadLetterQueue"]
    if dry_run:
        _show(*_read(dead), as_json=as_json)
        return
    queues: dict[Priority, str] = {
        one: outputs[f"{one.title()}Queue"] for one in Priority if one is not Priority.CRITICAL
    }
    moved = _redrive(dead, queues)
    if as_json:
        console.print_json({"moved": moved})
    click.echo("SQS is moving the dead letters back" if moved is None else f"{moved} moved back", err=True)


def _show(letters: list[str], there: int, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"dead_letters": letters, "in_queue": there})
    for letter in [] if as_json else letters:
        click.echo(console.printable(letter))
    if len(letters) < there:
        hidden = "others are looking at the rest, or have just looked; try again in a minute"
        click.echo(f"{len(letters)} of about {there} dead letters: {hidden}", err=True)
    elif not letters:
        click.echo("no dead letters", err=True)


def _read(queue: str) -> tuple[list[str], int]:
    """Read the dead letters, and leave them.

    Returns:
        What each is about, or its text where it is none of ours; and how many the queue has, for all that it knows.

    """
    sqs, seen = aws.client("sqs"), dict[str, Any]()  # by id: one that comes up twice is the same
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])["Attributes"]
    try:
        while received := sqs.receive_message(QueueUrl=queue, VisibilityTimeout=_LOOK_SECONDS, **_RECEIVE).get(
            "Messages"
        ):
            known = len(seen)
            seen |= {message["MessageId"]: message for message in received}
            if len(seen) == known:  # of so many that the first ones are visible again
                break
    finally:  # visible again at once. One that cannot be is so already, and a batch refuses no others for it
        for some in batched(seen.values(), _RECEIVE["MaxNumberOfMessages"], strict=False):
            receipts = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(some)]
            entries = [receipt | {"VisibilityTimeout": 0} for receipt in receipts]
            sqs.change_message_visibility_batch(QueueUrl=queue, Entries=entries)
    there = sum(int(counts.get(name, 0)) for name in _COUNTS)
    return [_about(message["Body"]) for message in seen.values()], max(there, len(seen))


def _about(body: str) -> str:
    try:
        message = Message.parse(body)
    except ValueError:
        return f"not a message of ours: {body[:200]!r}"
    return f"{message.handoff.file} {message.priority} {message.handoff.version_id}"


def _redrive(dead: str, queues: Mapping[Priority, str]) -> int | None:
    """Move the dead letters back; how many, ``None`` where SQS has begun to move them and will say so itself."""
    sqs = aws.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    try:
        sqs.start_message_move_task(SourceArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _UNKNOWN_ACTION:
            raise
        return move(sqs, dead, queues)
    return None


def move(sqs: Any, dead: str, queues: Mapping[Priority, str]) -> int:  # noqa: ANN401 - a client
    """Move the dead letters one by one: sent first, then deleted, so that a crash between doubles and loses none."""
    moved = 0
    while received := sqs.receive_message(QueueUrl=dead, **_RECEIVE).get("Messages"):
        for message in received:
            sqs.send_message(QueueUrl=queues[_priority(message["Body"])], MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _priority(body: str) -> Priority:
    try:
        return Message.parse(body).priority
    except ValueError:  # not ours: it becomes a dead letter again, for the operator
        return Priority.NORMAL
