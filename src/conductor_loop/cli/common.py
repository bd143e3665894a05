"""What the commands share."""

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from conductor_loop.aws import operator, refusals
from conductor_loop.cli import console, place
from conductor_loop.config.schema import seconds
from conductor_loop.intent import FILE_NAME

FAILED, USAGE, NOT_YET, NO_AWS = 1, 2, 3, 4  # exit codes beside 0
DAY_SECONDS = 86_400.0
_UNITS = (("d", DAY_SECONDS), ("h", 3600.0), ("m", 60.0))

stack_option = click.option(
    "--stack",
    envvar=["CONDUCTOR_STACK", "STACK_NAME"],
    callback=place.stack_name,
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


class Duration(click.ParamType[float]):
    """A duration such as 500ms, 30s or 7d, or plain seconds; in seconds.

    Args:
        least: In seconds.
        most: In seconds.

    """

    name = "duration"

    def __init__(self, least: float = 0.0, most: float = 30 * DAY_SECONDS) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it (click asks)."""
        if isinstance(value, float):  # read before
            return value
        try:
            found = seconds(f"{value}s" if value[-1:].isdigit() else value)
        except ValueError as error:
            self.fail(f"{value!a}: {error}, or plain seconds", param, ctx)
        if not self._least <= found <= self._most:
            self.fail(f"{value}: from {_written(self._least)} to {_written(self._most)}", param, ctx)
        return found


def _written(seconds: float) -> str:
    unit, length = next((one for one in _UNITS if seconds >= one[1]), ("s", 1.0))
    return f"{seconds / length:g}{unit}"


def speaks_to_aws[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Say in one line what AWS, or the way to it, refuses."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        place.warn_of_profile()
        place.take_region()
        try:
            refusals.connect()
            return command(*args, **kwargs)
        except Exception as error:
            refusal = refusals.understood(error, place.endpoints())
            if refusal is None:
                raise
        text = console.printable(f"{refusal.text} (used: {_used()})" if refusal.of_place else refusal.text)
        if refusal.usage:
            raise WrongUsage(text)
        click.echo(text, err=True)
        raise click.exceptions.Exit(NO_AWS)

    return wrapped


def _used() -> str:
    stack = click.get_current_context().params.get("stack")
    return place.used(refusals.region()) + (f", stack {stack}" if stack else "")


def handoff_bucket(bucket: str | None, stack: str) -> str:
    """Give the bucket that a command is about: an option that was typed beats the environment."""
    source = click.get_current_context().get_parameter_source
    typed = {name for name in ("bucket", "stack") if source(name) is ParameterSource.COMMANDLINE}
    if typed == {"bucket", "stack"}:
        raise click.UsageError("--bucket and --stack both say where to look: give one of them")
    if bucket is not None and "stack" not in typed:
        return bucket
    return operator.outputs(stack)["HandoffBucket"]
