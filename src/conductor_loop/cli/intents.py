"""What became of intents, and sending them again."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from conductor_loop.aws import operator
from conductor_loop.aws.operator import Standing
from conductor_loop.cli import answers, console
from conductor_loop.cli.answers import Stage
from conductor_loop.cli.common import (
    DAY_SECONDS,
    Duration,
    WrongUsage,
    bucket_option,
    file_name,
    handoff_bucket,
    output_option,
    speaks_to_aws,
    stack_option,
)
from conductor_loop.cli.completing import names
from conductor_loop.errors import ConditionFailed, Illegible
from conductor_loop.intent import FILE_NAME, Priority

_POLL_SECONDS = 0.5


@click.command()
@click.argument("name", type=file_name, shell_complete=names)
@bucket_option
@stack_option
@click.option(
    "--wait", type=Duration(most=DAY_SECONDS), default="0s", show_default=True, help="How long to wait for the answer."
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    help="text: a few lines for people, by default in a terminal. json: the document as it lies in the bucket.",
)
@speaks_to_aws
def status(name: str, bucket: str | None, stack: str, wait: float, output: str | None) -> None:
    """Print the status of the intent NAME.

    With --wait, that of the file which is in the bucket now, even if the name was used before.

    \b
    Examples:
      conductor-loop status intent-scale-up-001.json
      conductor-loop status intent-scale-up-001.json --wait 30 --output text

    \b
    Exit codes:
      0  success or skipped
      1  failed or timeout
      2  wrong usage: a name that no intent can have, nothing to reach AWS with
      3  no answer yet, or nothing of that name yet
      4  AWS refuses or does not answer
    """  # noqa: D301 - click wants the control character
    bucket = handoff_bucket(bucket, stack)
    found, said = _awaited(name, bucket, wait)
    reached = answers.stage(name, found)
    if reached is Stage.ABSENT and not FILE_NAME.fullmatch(name):
        rule = "intents are called intent-<letters, digits, - or _>.json, in the root"
        wrong = f"{name} is no intent's name, and nothing of that name was answered: {rule}"
        raise WrongUsage(console.printable(wrong + answers.suggestion(name)))
    if found.status is not None and not (reached is Stage.REPLACED and wait):
        if output == "text" or (output is None and sys.stdout.isatty()):
            _tell(found.document)
        else:
            click.echo(found.status, nl=False)
    if (remark := answers.remark(name, bucket, found)) not in {"", said}:
        click.echo(console.printable(remark), err=True)
    raise click.exceptions.Exit(answers.exit_code(name, found))


@click.command()
@click.argument("name", type=file_name, shell_complete=names)
@bucket_option
@stack_option
@output_option
@speaks_to_aws
def retry(name: str, bucket: str | None, stack: str, *, as_json: bool) -> None:
    """Send the failed intent NAME again, as it is.

    Its input is put into the root again, as failed/ keeps it. Only where its newest answer is failed or timeout, and
    nothing of that name waits: an old failure must not undo what came after it.

    \b
    Example:
      conductor-loop retry intent-no-such-deployment.json

    Exit codes: 0 sent again, 1 it is not to be, 2 nothing of that name, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    bucket = handoff_bucket(bucket, stack)
    kept = operator.kept(bucket, name)
    if not FILE_NAME.fullmatch(name):
        raise WrongUsage(answers.misnamed(name, bucket, kept))
    found = operator.standing(bucket, name)
    if refusal := answers.refusal(name, bucket, found, kept):
        nothing = answers.stage(name, found) is Stage.ABSENT
        raise WrongUsage(refusal) if nothing else click.ClickException(refusal)
    try:
        if not operator.resubmit(bucket, name):
            raise click.ClickException(f"failed/{name} is gone, as it is kept for a time only: copy the file again")
    except Illegible as error:
        raise click.ClickException(f"failed/{name} cannot be read ({error}): its sender has to send it again") from None
    except ConditionFailed:
        follow = f"follow it with: conductor-loop status {name} --wait 30"
        raise click.ClickException(f"{name} was sent again just now, and is left as it is; {follow}") from None
    if warning := answers.warning(found):
        click.echo(warning, err=True)
    if as_json:
        console.print_json({"file": name, "sent": True, "warning": warning or None})
    click.echo(f"{name} is sent again; follow it with: conductor-loop status {name} --wait 30", err=True)


@click.command()
@stack_option
@click.option("--dry-run", is_flag=True, help="Print what each is about (name, priority, version); move nothing.")
@output_option
@speaks_to_aws
def redrive(stack: str, *, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters back to their queues, once their cause is fixed.

    \b
    Examples:
      conductor-loop redrive --dry-run
      conductor-loop redrive
    """  # noqa: D301 - click wants the control character
    found = operator.outputs(stack)
    if dry_run:
        _show_dead_letters(*operator.dead_letters(found["DeadLetterQueue"]), as_json=as_json)
        return
    queues: dict[Priority, str] = {
        one: found[f"{one.title()}Queue"] for one in Priority if one is not Priority.CRITICAL
    }
    moved = operator.redrive(found["DeadLetterQueue"], queues)
    if as_json:
        console.print_json({"moved": moved})
    click.echo("SQS is moving the dead letters back" if moved is None else f"{moved} moved back", err=True)


def _show_dead_letters(letters: list[str], there: int, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"dead_letters": letters, "in_queue": there})
    for letter in [] if as_json else letters:
        click.echo(console.printable(letter))
    if len(letters) < there:
        hidden = "others are looking at the rest, or have just looked; try again in a minute"
        click.echo(f"{len(letters)} of about {there} dead letters: {hidden}", err=True)
    elif not letters:
        click.echo("no dead letters", err=True)


def _tell(document: Mapping[str, Any]) -> None:
    """Print what a reader of a status looks for first."""
    details, package = document.get("error_details", {}), document.get("package", {})
    colour = "green" if document["status"] in answers.GOOD else "red"
    name, status = (console.printable(str(document.get(key, "-"))) for key in ("intent_file", "status"))
    click.echo(f"{name}  {click.style(status, fg=colour, bold=True)}")
    fields = {
        "message": document.get("message"),
        "error": f"{details.get('code')} {details.get('error_code')}" if details else None,
        "next retry": document.get("next_retry"),
        "package": package.get("prefix"),
        "answered": ", ".join(str(document[key]) for key in ("timestamp", "processing_duration") if key in document),
        "attempt": document.get("attempt"),
        "correlation": document.get("correlation_id"),
    }
    for key, text in fields.items():
        if text:
            click.echo(f"  {key:11}  {console.printable(str(text))}")
    for violation in details.get("validation_errors", []):
        click.echo(f"  {'':11}  {console.printable(str(violation.get('message')))}")


def _awaited(name: str, bucket: str, seconds: float) -> tuple[Standing, str]:
    """Wait until nothing more comes, or for so long; where the name stands then, and what was said meanwhile."""
    deadline, said = time.monotonic() + seconds, ""
    while True:
        found = operator.standing(bucket, name)
        reached = answers.stage(name, found)
        hopeless = reached is Stage.ABSENT and not FILE_NAME.fullmatch(name)
        if reached.over or hopeless or not time.monotonic() < deadline:  # not a number, either
            return found, said
        if reached is Stage.RETRYING and (remark := answers.remark(name, bucket, found)) != said:
            click.echo(console.printable(remark), err=True)
            said = remark
        time.sleep(_POLL_SECONDS)
