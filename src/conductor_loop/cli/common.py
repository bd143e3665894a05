"""What the commands share."""

import functools
from collections.abc import Callable

import click
from click.core import ParameterSource

from conductor_loop.cli.place import stack_name
from conductor_loop.errors import NotAnswering
from conductor_loop.intent import FILE_NAME

FAILED, USAGE, NOT_YET, NO_AWS = 1, 2, 3, 4  # exit codes beside 0
_DAY_SECONDS = 86_400.0
_LONGEST_SECONDS = 30 * 86_400.0  # that anybody looks back
_LONGEST_RETENTION_SECONDS = 3653 * 86_400.0  # of CloudWatch Logs

stack_option = click.option(
    "--stack",
    envvar=["CONDUCTOR_STACK", "STACK_NAME"],
    callback=stack_name,
    help="Stack's name; by default CONDUCTOR_STACK, the local stack, or conductor-loop.",
)
output_option = click.option(
    "--output",
    "as_json",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    callback=lambda _, __, value: value == "json",
    help="text: for people. json: for programs.",
)
bucket_option = click.option("--bucket", envvar="HANDOFF_BUCKET", help="Handoff bucket; the stack's by default.")


class WrongUsage(click.ClickException):
    """Something was named that cannot be, or does not exist: the same call never succeeds."""

    exit_code = USAGE


def file_name(value: str) -> str:
    """Take the name of a file that was dropped: never empty, never a path. Whether it is an intent's is not asked."""
    if not value:
        raise click.BadParameter("the name is empty: give that of the file which was dropped, e.g. intent-a.json")
    if "/" not in value:
        return value
    file = value.rpartition("/")[2].removesuffix(".status").partition("@")[0]
    meant = f"; give the file's name alone: {file}" if FILE_NAME.fullmatch(file) else ""
    where = "intents lie in the root of the bucket, and what lies in a folder is never processed"
    raise click.BadParameter(f"{value} is a path: {where}{meant}")


def duration(value: str, longest: float = _LONGEST_SECONDS) -> float:
    """Take a duration such as 10m, as a configuration's durations are written; in seconds."""
    from conductor_loop.config import values  # noqa: PLC0415 - see speaks_to_aws

    try:
        found = values.seconds(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!a}: {error}") from None
    if found > longest:
        raise click.BadParameter(f"{value}: at most {longest / 86_400:.0f}d")
    return found


def long_duration(value: str) -> float:
    """Take a duration that may be as long as the longest retention of an audit trail; in seconds."""
    return duration(value, _LONGEST_RETENTION_SECONDS)


def seconds(value: str) -> float:
    """Take seconds, of a day at most, as a number or as a duration such as 30s."""
    try:
        found = float(value)
    except ValueError:
        return duration(value, _DAY_SECONDS)
    if not 0 <= found <= _DAY_SECONDS:
        raise click.BadParameter(f"{value}: from 0 to {_DAY_SECONDS:.0f} seconds")
    return found


def speaks_to_aws[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Say in one line what AWS, or the way to it, refuses."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        from conductor_loop.aws import operator  # noqa: PLC0415 - most of the time that `--help` would take

        try:
            return command(*args, **kwargs)
        except operator.AWS_ERRORS as error:
            refusal = operator.explained(error)
        except NotAnswering as error:
            refusal = operator.explained(error.__cause__ or error)
        except operator.NotThere as error:
            raise WrongUsage(str(error)) from None
        if refusal.misnamed:
            raise WrongUsage(refusal.text)
        click.echo(refusal.text, err=True)
        click.echo("Check the profile, region and endpoint; on a local stack: make up, then . .local/env", err=True)
        raise click.exceptions.Exit(NO_AWS)

    return wrapped


def handoff_bucket(bucket: str | None, stack: str) -> str:
    """Give the bucket that a command is about: an option that was typed beats the environment."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see speaks_to_aws

    source = click.get_current_context().get_parameter_source
    typed = {name for name in ("bucket", "stack") if source(name) is ParameterSource.COMMANDLINE}
    if typed == {"bucket", "stack"}:
        raise click.UsageError("--bucket and --stack both say where to look: give one of them")
    if bucket is not None and "stack" not in typed:
        return bucket
    return operator.outputs(stack)["HandoffBucket"]
