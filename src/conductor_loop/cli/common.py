"""What the commands share: options, kinds of values, exit codes."""

import functools
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from conductor_loop.cli import aws, console
from conductor_loop.config.schema import seconds
from conductor_loop.intent import FILE_NAME

FAILED, USAGE, NOT_YET, NO_AWS = 1, 2, 3, 4  # exit codes beside 0
DAY_SECONDS = 86_400.0
_COMPLETION_SECONDS = 2.0  # that a shell waits after Tab
_MOST_NAMES = 100  # that completion gives

stack_option = click.option(
    "--stack",
    envvar=["CONDUCTOR_STACK", "STACK_NAME"],
    callback=aws.stack_name,
    help="Stack's name; by default CONDUCTOR_STACK, the local stack, or conductor-loop.",
)
output_option = click.option(
    "--output",
    "as_json",
    type=click.Choice(["text", "json"]),
    default="text",
    callback=lambda _, __, value: value == "json",
    help="text: for people. json: for programs.",
)


class WrongUsage(click.ClickException):
    """Something was named that cannot be, or does not exist: the same call never succeeds."""

    exit_code = USAGE


class Duration(click.ParamType[float]):
    """A duration such as 500ms, 30s or 7d, or plain seconds; in seconds, from ``least`` to ``most``."""

    name = "duration"

    def __init__(self, least: float = 0.0, most: float = 30 * DAY_SECONDS) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Parse it (click calls this)."""
        if isinstance(value, float):  # parsed before
            return value
        try:
            found = seconds(f"{value}s" if value[-1:].isdigit() else value)
        except ValueError as error:
            self.fail(f"{value!a}: {error}, or plain seconds", param, ctx)
        if not self._least <= found <= self._most:
            least, most = (
                f"{one / DAY_SECONDS:g}d" if one >= DAY_SECONDS else f"{one:g}s" for one in (self._least, self._most)
            )
            self.fail(f"{value}: from {least} to {most}", param, ctx)
        return found


def file_name(value: str) -> str:
    """Check the name of a file that was dropped: never empty, never a path. It may be one that no intent can have."""
    if not value:
        raise click.BadParameter("the name is empty: give that of the file which was dropped, e.g. intent-a.json")
    if "/" not in value:
        return value
    file = value.rpartition("/")[2].removesuffix(".status").partition("@")[0]
    meant = f"; give the file's name alone: {file}" if FILE_NAME.fullmatch(file) else ""
    where = "intents lie in the root of the bucket, and what lies in a folder is never processed"
    raise click.BadParameter(f"{value} is a path: {where}{meant}")


def suggest(command: str, *arguments: object) -> str:
    """Give a command of ours to be typed, quoted for the shell."""
    return shlex.join(["conductor-loop", *command.split(), *map(str, arguments)])


def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the names of inputs and statuses that begin so (click calls this); none where a call fails or is slow."""
    found: list[str] = []

    def look() -> None:
        with suppress(Exception):
            found.extend(_names(context.params, incomplete))

    # A daemon thread, so that the process can end before it: credentials alone may take minutes.
    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(_COMPLETION_SECONDS)
    return [CompletionItem(name) for name in found]


def _names(typed: Mapping[str, Any], incomplete: str) -> list[str]:
    stack = typed.get("stack") or aws.take_local().get("STACK_NAME", aws.DEFAULT_STACK)
    aws.take_region()
    bucket, s3 = typed.get("bucket") or aws.outputs(stack)["HandoffBucket"], aws.client("s3")
    pages = (
        s3.list_objects_v2(Bucket=bucket, Prefix=prefix + incomplete, Delimiter="/", MaxKeys=_MOST_NAMES)
        for prefix in ("", "status/")
    )
    keys = {
        one["Key"].removeprefix("status/").removesuffix(".status") for page in pages for one in page.get("Contents", [])
    }
    return sorted(key for key in keys if "@" not in key)  # behind which is a version; see Bucket.put_status


name_argument = click.argument("name", type=file_name, shell_complete=complete)


def speaks_to_aws[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Report in one line what AWS, or the way to it, refuses."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        aws.warn_of_profile()
        aws.take_region()
        try:
            aws.connect()
            return command(*args, **kwargs)
        except Exception as error:
            refusal = aws.explain(error)
            if refusal is None:
                raise
            used = aws.used(click.get_current_context().params.get("stack"))
        text = console.printable(f"{refusal.text} (used: {used})" if refusal.of_place else refusal.text)
        if refusal.usage:
            raise WrongUsage(text)
        click.echo(text, err=True)
        raise click.exceptions.Exit(NO_AWS)

    return wrapped


def stack_command[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """Give a command that calls AWS its options --stack and --output."""
    return stack_option(output_option(speaks_to_aws(command)))


def intent_command[T](command: Callable[..., T]) -> Callable[..., T]:
    """Give a command its argument NAME, and its options --bucket and --stack; it gets the bucket that they mean."""

    @name_argument
    @click.option("--bucket", envvar="HANDOFF_BUCKET", help="Handoff bucket; the stack's by default.")
    @stack_option
    @speaks_to_aws
    @functools.wraps(command)
    def wrapped(*, bucket: str | None, stack: str, **rest: Any) -> T:  # noqa: ANN401 - what the command takes
        source = click.get_current_context().get_parameter_source
        typed = {name for name in ("bucket", "stack") if source(name) is ParameterSource.COMMANDLINE}
        if typed == {"bucket", "stack"}:
            raise click.UsageError("--bucket and --stack both say where to look: give one of them")
        if bucket is None or "stack" in typed:  # an option that was typed beats the environment
            bucket = aws.outputs(stack)["HandoffBucket"]
        return command(bucket=bucket, **rest)

    return wrapped
