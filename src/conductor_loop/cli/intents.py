"""``conductor-loop status`` and ``retry``: what became of an intent, and sending it again."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import click
from botocore.exceptions import ClientError

from conductor_loop.cli import answers, aws, console
from conductor_loop.cli import bucket as reading
from conductor_loop.cli.answers import Stage
from conductor_loop.cli.bucket import Standing
from conductor_loop.cli.common import (
    DAY_SECONDS,
    FAILED,
    NOT_YET,
    Duration,
    WrongUsage,
    bucket_command,
    name_argument,
    output_option,
    suggest,
)
from conductor_loop.errors import ConditionFailed
from conductor_loop.intent import FILE_NAME
from conductor_loop.storage import inbox

_POLL_SECONDS = 0.5
_ILLEGIBLE = {"InvalidRequest", "InvalidObjectState"}  # encrypted with its sender's own key; archived


@click.command()
@name_argument
@click.option("--wait", type=Duration(most=DAY_SECONDS), default="0s", help="How long to wait for the answer.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    help="text: a few lines for people, by default in a terminal. json: the document as it lies in the bucket.",
)
@bucket_command
def status(name: str, bucket: str, wait: float, output: str | None) -> None:
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
    found, said = _await(name, bucket, wait)
    stage = answers.stage(name, found)
    if stage is Stage.ABSENT and not FILE_NAME.fullmatch(name):
        rule = "intents are called intent-<letters, digits, - or _>.json, in the root"
        wrong = f"{name} is no intent's name, and nothing of that name was answered: {rule}"
        raise WrongUsage(console.printable(wrong + answers.correction(name)))
    if found.status is not None and not (stage is Stage.REPLACED and wait):
        if output == "text" or (output is None and sys.stdout.isatty()):
            _print(found.document)
        else:
            click.echo(found.status, nl=False)
    if (remark := answers.remark(name, bucket, found)) not in {"", said}:
        click.echo(console.printable(remark), err=True)
    if not stage.over:
        raise click.exceptions.Exit(NOT_YET)
    raise click.exceptions.Exit(0 if found.document["status"] in answers.GOOD else FAILED)


def _await(name: str, bucket: str, seconds: float) -> tuple[Standing, str]:
    """Wait until nothing more comes, or for so long; where the name stands then, and the last remark meanwhile."""
    deadline, said = time.monotonic() + seconds, ""
    while True:
        found = reading.standing(bucket, name)
        stage = answers.stage(name, found)
        hopeless = stage is Stage.ABSENT and not FILE_NAME.fullmatch(name)
        if stage.over or hopeless or not time.monotonic() < deadline:  # not a number, either
            return found, said
        if stage is Stage.RETRYING and (remark := answers.remark(name, bucket, found)) != said:
            click.echo(console.printable(remark), err=True)
            said = remark
        time.sleep(_POLL_SECONDS)


def _print(document: Mapping[str, Any]) -> None:
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
    rows = [(key, text) for key, text in fields.items() if text]
    rows += [("", violation.get("message")) for violation in details.get("validation_errors", [])]
    for key, text in rows:
        click.echo(f"  {key:11}  {console.printable(str(text))}")


@click.command()
@name_argument
@bucket_command
@output_option
def retry(name: str, bucket: str, *, as_json: bool) -> None:
    """Send the failed intent NAME again, as it is.

    Its input is put into the root again, as failed/ keeps it. Only where its newest answer is failed or timeout, and
    nothing of that name waits: an old failure must not undo what came after it.

    \b
    Example:
      conductor-loop retry intent-no-such-deployment.json

    Exit codes: 0 sent again, 1 it is not to be, 2 nothing of that name, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    kept = reading.kept(bucket, name)
    if not FILE_NAME.fullmatch(name):
        raise WrongUsage(answers.misnamed(name, bucket, kept))
    found = reading.standing(bucket, name)
    if refusal := answers.refusal(name, bucket, found, kept):
        nothing = answers.stage(name, found) is Stage.ABSENT
        raise WrongUsage(refusal) if nothing else click.ClickException(refusal)
    _resubmit(bucket, name)
    if warning := answers.warning(found):
        click.echo(warning, err=True)
    if as_json:
        console.print_json({"file": name, "sent": True, "warning": warning or None})
    click.echo(f"{name} is sent again; follow it with: {suggest('status', name, '--wait', 30)}", err=True)


def _resubmit(bucket: str, name: str) -> None:
    """Put a failed input into the root again, where it is a new intent; end the command where that cannot be."""
    s3 = aws.client("s3")
    try:
        body = s3.get_object(Bucket=bucket, Key=f"failed/{name}")["Body"].read()
        inbox.put(s3, bucket, name, body, replace=False)
    except s3.exceptions.NoSuchKey:
        raise click.ClickException(
            f"failed/{name} is gone, as it is kept for a time only: copy the file again"
        ) from None
    except ConditionFailed:
        follow = f"follow it with: {suggest('status', name, '--wait', 30)}"
        raise click.ClickException(f"{name} was sent again just now, and is left as it is; {follow}") from None
    except ClientError as error:
        if error.response["Error"]["Code"] not in _ILLEGIBLE:
            raise
        reason = error.response["Error"]["Message"]
        raise click.ClickException(
            f"failed/{name} cannot be read ({reason}): its sender has to send it again"
        ) from None
