"""The command line: ``conductor-loop``."""

import functools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click

from conductor_loop import __version__
from conductor_loop.intent import FILE_NAME, Priority
from conductor_loop.porch import RESERVED

_POLL_SECONDS = 0.5
_NOT_YET, _NO_AWS = 3, 4  # exit codes

stack_option = click.option(
    "--stack",
    envvar=["CONDUCTOR_STACK", "STACK_NAME"],
    default="conductor-loop",
    show_default=True,
    help="Stack's name.",
)


def _speaks_to_aws[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Say in one line what AWS, or the way to it, refuses."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        from conductor_loop.aws import operator  # noqa: PLC0415 - most of the time that `--help` would take

        try:
            return command(*args, **kwargs)
        except operator.AWS_ERRORS as error:
            click.echo(f"AWS does not answer as it should: {error}", err=True)
            click.echo("Check the profile, region and endpoint; on a local stack: make up, then . .local/env", err=True)
            raise click.exceptions.Exit(_NO_AWS) from None

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="conductor-loop")
def main() -> None:
    """See what became of intents, send them again, and check a porch of your own.

    \b
    Example, after `make up`:
      . .local/env
      aws s3 cp intent-a.json s3://$HANDOFF_BUCKET/
      conductor-loop status intent-a.json --wait 30

    Exit codes: 0 good, 1 the intent failed or a rule is broken, 2 wrong usage, 3 no answer yet, 4 AWS does not answer.
    """  # noqa: D301 - click wants the control character


@main.command()
@click.argument("name")
@click.option("--bucket", envvar="HANDOFF_BUCKET", help="Handoff bucket; the stack's by default.")
@stack_option
@click.option("--wait", type=float, default=0, show_default=True, help="Seconds to wait for the answer.")
@_speaks_to_aws
def status(name: str, bucket: str | None, stack: str, wait: float) -> None:
    """Print the status of the intent NAME, e.g. intent-a.json.

    With --wait, that of the file which is in the bucket now, even if the name was used before.
    """
    from conductor_loop.aws import operator  # noqa: PLC0415 - see above

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
    raise click.exceptions.Exit(_NOT_YET)


@main.command()
@click.argument("name")
@click.option("--bucket", envvar="HANDOFF_BUCKET", help="Handoff bucket; the stack's by default.")
@stack_option
@_speaks_to_aws
def retry(name: str, bucket: str | None, stack: str) -> None:
    """Send the failed intent NAME again, as it is: its input is copied from failed/ back to the root."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see above

    if not operator.resubmit(bucket or operator.outputs(stack)["HandoffBucket"], name):
        raise click.ClickException(f"there is no failed/{name}: only failed intents can be sent again")
    click.echo(f"{name} is sent again; follow it with: conductor-loop status {name} --wait 30", err=True)


@main.command()
@stack_option
@_speaks_to_aws
def redrive(stack: str) -> None:
    """Move the dead letters back to the queues that they came from, once their cause is mended."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see above

    found = operator.outputs(stack)
    queues: dict[Priority, str] = {
        one: found[f"{one.title()}Queue"] for one in Priority if one is not Priority.CRITICAL
    }
    moved = operator.redrive(found["DeadLetterQueue"], queues)
    click.echo("SQS is moving the dead letters back" if moved is None else f"{moved} moved back", err=True)


@main.command("porch-check")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, executable=True))
@click.option("--intent", type=click.File("rb"), help="A valid intent that the program can fulfil; ours by default.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable for the program; repeatable.")
@click.option("--timeout", type=click.FloatRange(0.1, 900), default=30, show_default=True, help="Seconds for one run.")
@click.option("--only", multiple=True, metavar="RULE", help="Try only this rule and those it rests on; repeatable.")
def porch_check(
    path: str, intent: BinaryIO | None, variables: tuple[str, ...], timeout: float, only: tuple[str, ...]
) -> None:
    """Check that the program PATH keeps the contract of a porch, docs/porch-contract.md.

    It is run some thirty times, under the limits that the function sets, in directories of its own below TMPDIR. There
    is one line for each rule: ok, BROKEN with what was done and the next step, or - for a rule that could not be tried.

    \b
    Examples:
      conductor-loop porch-check layers/porch/bin/porch
      conductor-loop porch-check layers/porch/bin/porch --only structured --only sigterm
      conductor-loop porch-check layers/porch/bin/porch --intent examples/intents/intent-scale-up-001.json \\
        --env LOG_LEVEL=info --timeout 60

    Exit codes: 0 every rule is kept, 1 at least one is broken, 2 wrong usage.
    """  # noqa: D301 - see above
    from conductor_loop import porch_check as suite  # noqa: PLC0415 - see above

    unknown = sorted(set(only) - {rule.name for rule in suite.RULES})
    if unknown:
        names = ", ".join(rule.name for rule in suite.RULES)
        raise click.BadParameter(f"{unknown[0]} is no rule; there are {names}", param_hint="--only")
    with tempfile.TemporaryDirectory(prefix="porch-check-") as folder:
        subject = suite.Subject(
            path=path,
            work_root=Path(folder) / "work",
            intent=_document(intent) if intent else suite.INTENT,
            environment=dict(map(_variable, variables)),
            timeout_seconds=timeout,
        )
        broken = 0
        for finding in suite.check(subject, only):
            click.echo(finding.line)
            broken += finding.kept is False
    if broken:
        click.echo(f"{broken} broken: docs/porch-contract.md states the rules", err=True)
        raise click.exceptions.Exit(1)


def _document(file: BinaryIO) -> dict[str, Any]:
    try:
        document = json.load(file)
    except ValueError as error:
        raise click.BadParameter(f"not JSON ({error})", param_hint="--intent") from None
    if not isinstance(document, dict) or not {"namespace", "target", "replicas"} <= document.keys():
        raise click.BadParameter("an object with namespace, target and replicas is wanted", param_hint="--intent")
    return document


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals) or name in RESERVED:
        raise click.BadParameter(f"{text!a}: NAME=VALUE is wanted, and a name that is not ours", param_hint="--env")
    return name, value


def _why_not(name: str, bucket: str, waiting: bool) -> str:  # noqa: FBT001 - one of three facts
    if waiting:
        return f"{name} waits in {bucket} and has no answer yet: wait longer with --wait, or read the logs"
    if not FILE_NAME.fullmatch(name):
        return f"{name} is no intent's name: intents are called intent-<letters, digits, - or _>.json, in the root"
    return f"{name} is not in {bucket}, and nothing of that name was answered: copy it there first"
