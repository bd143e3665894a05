"""``conductor-loop redrive``: look at the dead letters, or move them back."""

from functools import partial
from itertools import batched
from typing import Any

import click

from conductor_loop.app import Message
from conductor_loop.cli import aws, console
from conductor_loop.cli.common import stack_command

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
    sqs, moved = aws.client("sqs"), 0
    while received := sqs.receive_message(QueueUrl=dead, **_RECEIVE).get("Messages"):
        for letter in received:  # sent first, then deleted, so that a crash between doubles and loses none
            sqs.send_message(QueueUrl=outputs[_queue(letter["Body"])], MessageBody=letter["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
            moved += 1
    if as_json:
        console.print_json({"moved": moved})
    click.echo(f"{moved} moved back", err=True)


def _queue(body: str) -> str:
    """Return the output that names a message's queue."""
    try:
        return f"{Message.parse(body).priority.title()}Queue"
    except ValueError:  # not ours: it becomes a dead letter again, for the operator
        return "NormalQueue"


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
    """Read what each of the dead letters is about, and leave them; and how many the queue has, for all it knows."""
    sqs, seen = aws.client("sqs"), dict[str, Any]()  # by id: one that comes up twice is the same
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])["Attributes"]
    receive = partial(sqs.receive_message, QueueUrl=queue, VisibilityTimeout=_LOOK_SECONDS, **_RECEIVE)
    try:
        while received := receive().get("Messages"):
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
