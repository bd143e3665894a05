"""What became of intents, and sending them again."""

import json
import time

import click

from conductor_loop.cli.common import NOT_YET, bucket_option, speaks_to_aws, stack_option
from conductor_loop.intent import FILE_NAME, Priority

_POLL_SECONDS = 0.5


@click.command()
@click.argument("name")
@bucket_option
@stack_option
@click.option("--wait", type=float, default=0, show_default=True, help="Seconds to wait for the answer.")
@speaks_to_aws
def status(name: str, bucket: str | None, stack: str, wait: float) -> None:
    """Print the status of the intent NAME, e.g. intent-a.json.

    With --wait, that of the file which is in the bucket now, even if the name was used before.
    """
    from conductor_loop.aws import operator  # noqa: PLC0415 - see common

    bucket = bucket or operator.outputs(stack)["HandoffBucket"]
    deadline = time.monotonic() + wait
    while (found := operator.standing(bucket, name)).waiting or found.status is None:
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    if found.status is not None and not (found.waiting and wait):
        if found.waiting:
            click.echo(f"{name} was sent again and waits; this is about the one before, or a first attempt", err=True)
        click.echo(found.status, nl=False)
        raise click.exceptions.Exit(0 if json.loads(found.status)["status"] in {"success", "skipped"} else 1)
    click.echo(_why_not(name, bucket, found.waiting), err=True)
    raise click.exceptions.Exit(NOT_YET)


@click.command()
@click.argument("name")
@bucket_option
@stack_option
@speaks_to_aws
def retry(name: str, bucket: str | None, stack: str) -> None:
    """Send the failed intent NAME again, as it is: its input is copied from failed/ back to the root."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see common

    if not operator.resubmit(bucket or operator.outputs(stack)["HandoffBucket"], name):
        raise click.ClickException(f"there is no failed/{name}: only failed intents can be sent again")
    click.echo(f"{name} is sent again; follow it with: conductor-loop status {name} --wait 30", err=True)


@click.command()
@stack_option
@speaks_to_aws
def redrive(stack: str) -> None:
    """Move the dead letters back to the queues that they came from, once their cause is mended."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see common

    found = operator.outputs(stack)
    queues: dict[Priority, str] = {
        one: found[f"{one.title()}Queue"] for one in Priority if one is not Priority.CRITICAL
    }
    moved = operator.redrive(found["DeadLetterQueue"], queues)
    click.echo("SQS is moving the dead letters back" if moved is None else f"{moved} moved back", err=True)


def _why_not(name: str, bucket: str, waiting: bool) -> str:  # noqa: FBT001 - one of three facts
    if waiting:
        return f"{name} waits in {bucket} and has no answer yet: wait longer with --wait, or read the logs"
    if not FILE_NAME.fullmatch(name):
        return f"{name} is no intent's name: intents are called intent-<letters, digits, - or _>.json, in the root"
    return f"{name} is not in {bucket}, and nothing of that name was answered: copy it there first"
