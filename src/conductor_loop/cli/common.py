"""What the commands share: options, exit codes, and what is printed for people, for a pipe and for programs."""

import functools
import json
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from rich import progress
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from conductor_loop.cli import aws
from conductor_loop.config.schema import seconds
from conductor_loop.intent import FILE_NAME
from conductor_loop.intents.model import BY_STATUS

FAILED, USAGE, NOT_YET, NO_AWS = 1, 2, 3, 4  # exit codes beside 0
DAY_SECONDS = 86_400.0
_COMPLETION_SECONDS = 2.0  # that a shell waits after Tab
_MOST_NAMES = 100  # that completion gives
STYLES: Mapping[str, str] = {
    "success": "green", "skipped": "cyan", "failed": "red", "timeout": "red", "retrying": "yellow",
    "processing": "blue",
}  # fmt: skip
_READABLE = 30  # characters of a name that say which it is
_GAP = 2  # between two columns
_WORDS = {str(state): word for word, state in BY_STATUS.items()}

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
            explained = aws.explain(error)
            if explained is None:
                raise
            used = aws.used(click.get_current_context().params.get("stack"))
        text = printable(f"{explained.text} (used: {used})" if explained.of_place else explained.text)
        if explained.usage:
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


def screen(*, stderr: bool = False) -> Console:
    """Give standard output or error as rich draws on it; rich itself reads NO_COLOR, FORCE_COLOR and TERM."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def word(state: str) -> str:
    """Give the word for a state that is shown everywhere, and that the specification has for a status."""
    return _WORDS.get(state, str(state))


def print_json(found: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document."""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, flexible: str = "", least: Collection[str] = ()
) -> None:
    """Print a table: in a terminal aligned, headed and never wider than it; in a pipe one line a row, tabs between.

    A narrow terminal goes without the columns ``least``, the first ones first, and cuts the column ``flexible``.
    """
    clean = [[printable(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in clean:
            click.echo("\t".join(row))
        return
    _print_table(columns, clean, flexible, least)


def _print_table(columns: Sequence[str], rows: list[list[str]], flexible: str, least: Collection[str]) -> None:
    terminal, dropped = screen(), set[str]()
    widths = {name: max(len(name), *(len(row[at]) for row in rows), 0) for at, name in enumerate(columns)}
    needed = sum(widths.values()) + _GAP * (len(columns) - 1) - max(widths.get(flexible, 0) - _READABLE, 0)
    for name in least:
        if needed > terminal.width:
            dropped.add(name)
            needed -= widths[name] + _GAP
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        if name == flexible:  # rich makes narrower what could be wrapped; its cells then say that they are cut
            table.add_column(name.upper(), overflow="ellipsis")
        elif name not in dropped:
            table.add_column(name.upper(), no_wrap=True, min_width=widths[name])
    for row in rows:
        cells = [Text(one, style=STYLES.get(one, ""), no_wrap=True, overflow="ellipsis") for one in row]
        table.add_row(*(cell for name, cell in zip(columns, cells, strict=True) if name not in dropped))
    terminal.print(table)


def note(word: str, text: str, colour: str) -> None:
    """Say something on standard error: one line, which a terminal shows as far as it is wide."""
    if sys.stderr.isatty():
        screen(stderr=True).print(Text.assemble((word, colour), text), no_wrap=True, overflow="ellipsis")
    else:
        click.echo(word + text, err=True)


def printable(text: str) -> str:
    """Put untrusted text into one line that moves no cursor and rings no bell."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


def print_lines(text: str, style: Callable[[str], str] = str) -> None:
    """Print untrusted text of many lines."""
    for line in text.splitlines():
        click.echo(style("\t".join(map(printable, line.split("\t")))))


@contextmanager
def bar(doing: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Draw how many of all are done, and a word about the others, on standard error; in a pipe, a line at the end."""
    others = progress.TextColumn(
        "{task.fields[others]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    shown = (progress.TextColumn("{task.description:8}"), progress.BarColumn(24), progress.MofNCompleteColumn())
    times, disable = progress.TimeElapsedColumn(), not sys.stderr.isatty()
    began, done = time.monotonic(), 0

    def show(number: int, about: str = "") -> None:
        nonlocal done
        done = number
        drawn.update(task, completed=number, others=about)

    with progress.Progress(*shown, times, others, console=screen(stderr=True), expand=True, disable=disable) as drawn:
        task = drawn.add_task(doing, total=total, others="")
        yield show
    if disable:
        click.echo(f"{doing}: {done} of {total} in {time.monotonic() - began:.1f} s", err=True)
