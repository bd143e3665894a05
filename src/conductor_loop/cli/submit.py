"""``conductor-loop submit``: validate, send, follow."""

import json
import math
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from conductor_loop.cli import console
from conductor_loop.cli.common import (
    FAILED,
    NO_AWS,
    NOT_YET,
    Duration,
    WrongUsage,
    output_option,
    speaks_to_aws,
    stack_option,
)  # fmt: skip
from conductor_loop.cli.lazy import INTERRUPTED
from conductor_loop.cli.progress import Progress
from conductor_loop.cli.summary import Sent, print_summary

if TYPE_CHECKING:
    from conductor_loop.intent import Handoff
    from conductor_loop.validation import Rules

_POLL_SECONDS = 0.5
_STRICT = (
    "the security mode strict alone refuses {}: it is the specification's list, and refuses honest prose, too; the "
    "stack's operator can choose standard (template parameter SecurityMode), which allows it in reason and metadata"
)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Follow each to its end, and say what became of it.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="With --wait: how long, at most.")
@click.option("--dry-run", is_flag=True, help="Validate, say what would be sent, and send nothing.")
@stack_option
@output_option
@speaks_to_aws
def submit(files: Sequence[Path], stack: str, **how: Any) -> None:  # noqa: ANN401 - the options, by name
    """Validate the intents in FILES, send them, and follow them to the end.

    They are held to the rules of the stack, by the code that the function runs. Where one breaks a rule, nothing is
    sent; --output json then lists what `conductor-loop validate` tells of each such file. A name that was used before
    is sent again, and the newer file counts.

    \b
    Examples:
      conductor-loop submit examples/intents/intent-scale-up-001.json --dry-run
      conductor-loop submit examples/intents/intent-scale-up-001.json --wait
      conductor-loop submit examples/intents/intent-*up*.json --wait --timeout 2m --output json

    \b
    Exit codes:
      0  sent; with --wait: each is success or skipped
      1  a file breaks a rule, and nothing was sent; with --wait: an intent failed
      2  wrong usage: a file that cannot be read, two of one name, no such stack
      3  with --wait: no failure, and no answer to all of them in time
      4  AWS refuses or does not answer; what was sent before goes on
      130  interrupted; what was sent before goes on
    """  # noqa: D301 - click wants the control character
    call = _Call(**how)
    bodies = _read(files)
    rules, longest = _limits(stack)
    _validated(bodies, rules, as_json=call.as_json)
    _warn_of_cuts(bodies, longest)
    from conductor_loop.aws import operator  # noqa: PLC0415 - see common

    outputs = operator.outputs(stack)
    if call.dry_run:
        _would_send(bodies, outputs["HandoffBucket"], as_json=call.as_json)
        return
    sent, whole = _send(bodies, outputs["HandoffBucket"])
    if not whole:
        _tell_of_interruption(sent, bodies, as_json=call.as_json)
    code = _follow(sent, outputs["StateTable"], call.timeout) if call.wait else 0
    print_summary(sent.values(), waited=call.wait, as_json=call.as_json)
    raise click.exceptions.Exit(code or _exit_code(sent.values(), waited=call.wait))


@dataclass(frozen=True, slots=True)
class _Call:
    """How it was called."""

    wait: bool
    timeout: float  # seconds
    dry_run: bool
    as_json: bool


def _read(files: Sequence[Path]) -> dict[str, bytes]:
    """Read the files, by name. Raises WrongUsage, naming every one that cannot be sent."""
    from conductor_loop.validation import BOUNDS  # noqa: PLC0415 - see common
    from conductor_loop.validator import Source  # noqa: PLC0415 - see common

    bodies: dict[str, bytes] = {}
    problems = []
    for file in files:
        if (wrong := _no_file(file)) is not None:
            problems.append(wrong)
            continue
        if file.name in bodies:
            problems.append(f"two files are called {file.name}, and the later would replace the other: rename one")
        try:
            bodies[file.name] = Source(str(file)).read(BOUNDS["max_file_bytes"][1])  # more is too large anywhere
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}; check its name and permissions")
    if problems:
        raise WrongUsage("\n".join(problems))
    return bodies


def _no_file(file: Path) -> str | None:
    """Say what to type in place of a folder or of standard input; ``None`` for anything else."""
    if str(file) == "-":
        write = (
            "write it to a file, e.g. cat >intent-a.json, and name that; to check it alone: conductor-loop validate -"
        )
        return f"standard input has no name, and an intent is called as its file is: {write}"
    if file.is_dir():
        return f"{file} is a folder: name its files, e.g. conductor-loop submit {shlex.quote(str(file))}/intent-*.json"
    return None


def _limits(stack: str) -> "tuple[Rules, float]":
    """Take the rules of the stack, and the seconds that porch has at most.

    Where the caller may not see them: the built-in rules, with a word about it, and no limit.
    """
    from conductor_loop.aws import configuring, following, refusals  # noqa: PLC0415 - see common
    from conductor_loop.claiming import SETTLE_SECONDS  # noqa: PLC0415 - see common
    from conductor_loop.cli.config import in_force  # noqa: PLC0415 - see common
    from conductor_loop.config import typed  # noqa: PLC0415 - see common
    from conductor_loop.config.values import seconds  # noqa: PLC0415 - see common
    from conductor_loop.validation import Rules  # noqa: PLC0415 - see common

    try:
        deployed = configuring.deployed(stack)
        _, known = in_force(deployed)
        most = seconds(known.values["porch"]["execution_timeout"])
        return typed.rules(known.values), min(most, deployed.function_seconds - SETTLE_SECONDS)
    except refusals.AWS_ERRORS as error:
        if not following.denied(error):
            raise
        click.echo(f"the stack's rules cannot be read, so the built-in ones are checked here: {error}", err=True)
    return Rules(), math.inf


def _warn_of_cuts(bodies: Mapping[str, bytes], longest: float) -> None:
    """Name the intents that ask for more time than the stack gives to any."""
    from conductor_loop.intent import Intent  # noqa: PLC0415 - see common

    for name, body in bodies.items():
        wanted = Intent(json.loads(body)).timeout_seconds or 0
        if wanted > longest:
            cut = f"timeout {wanted}s is more than this stack gives, and will be cut to {longest:.0f}s"
            console.note("note     ", f" {name}  {cut} (porch.execution_timeout, FunctionTimeout)", "yellow")


def _validated(bodies: Mapping[str, bytes], rules: "Rules", *, as_json: bool) -> None:
    """Hold every file to the rules; end the command, with every violation, where one breaks any."""
    from conductor_loop.validation import inspect  # noqa: PLC0415 - see common
    from conductor_loop.validator import Source, lines, told  # noqa: PLC0415 - see common

    reports = {name: inspect(body, rules, name) for name, body in bodies.items()}
    broken = {name: report for name, report in reports.items() if not report.valid}
    if broken and as_json:
        console.print_json([told(Source(name), report) for name, report in broken.items()])
    for name, report in broken.items() if not as_json else ():
        for line in lines(Source(name), report):
            click.echo(line, err=True)
    _note_strict({name: bodies[name] for name in broken}, rules)
    if broken:
        why = _of(len(broken), len(reports))
        raise click.ClickException(f"nothing was sent: {why}; correct or leave out those above")


def _note_strict(broken: Mapping[str, bytes], rules: "Rules") -> None:
    """Name the files that would be valid in the other security mode, which the operator of the stack can choose."""
    from conductor_loop.validation import SecurityMode, inspect  # noqa: PLC0415 - see common

    standard = replace(rules, mode=SecurityMode.STANDARD)
    if prose := [name for name, body in broken.items() if inspect(body, standard, name).valid]:
        click.echo(_STRICT.format(", ".join(prose)), err=True)


def _of(broken: int, every: int) -> str:
    return "the file breaks a rule" if every == 1 else f"{broken} of {every} files break a rule"


def _would_send(bodies: Mapping[str, bytes], bucket: str, *, as_json: bool) -> None:
    found = {name: json.loads(body) for name, body in bodies.items()}
    columns = ("file", "namespace", "target", "replicas", "priority")
    rows = [[name, *(one.get(key, "normal") for key in columns[1:])] for name, one in found.items()]
    if as_json:
        console.print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        console.print_rows(columns, [[str(value) for value in row] for row in rows], flexible="file")
    click.echo(f"{len(rows)} valid; would be sent to s3://{bucket}/; nothing was sent", err=True)


def _send(bodies: Mapping[str, bytes], bucket: str) -> tuple[dict[str, Sent], bool]:
    """Send the files.

    Returns:
        What became of each, after an interruption only of those that were begun; and whether there was none.

    """
    from conductor_loop.aws import following, refusals  # noqa: PLC0415 - see common

    sent: dict[str, Sent] = {}
    whole = False
    with Progress("sending", len(bodies)) as bar, suppress(KeyboardInterrupt):

        def note(name: str, answer: "Handoff | Exception") -> None:
            if isinstance(answer, Exception):
                sent[name] = Sent(name, unsent=refusals.explained(answer).text)
            else:
                sent[name] = Sent(name, answer, since=time.monotonic())
            bar.show(len(sent), "")

        following.put(bucket, bodies, note)
        whole = True
    return {name: sent[name] for name in bodies if name in sent}, whole


def _tell_of_interruption(sent: Mapping[str, Sent], bodies: Mapping[str, bytes], *, as_json: bool) -> NoReturn:
    """Say what was sent before the interruption, and end the command."""
    left = [Sent(name, unsent="interrupted before it was sent") for name in bodies if name not in sent]
    print_summary([*sent.values(), *left], waited=False, as_json=as_json)
    done = sum(not one.unsent for one in sent.values())
    click.echo(f"interrupted; {done} of {len(bodies)} were sent, and go on", err=True)
    raise click.exceptions.Exit(INTERRUPTED)


def _follow(sent: Mapping[str, Sent], table: str, timeout: float) -> int:
    """Wait for the answers; the exit code, if the waiting itself did not end well."""
    from conductor_loop.aws import refusals  # noqa: PLC0415 - see common

    pending = {one.handoff: one for one in sent.values() if one.handoff}
    deadline = time.monotonic() + timeout
    try:
        with Progress("answered", len(pending)) as bar:
            for left in _answers(pending, table):
                bar.show(len(pending) - len(left), _standing(left, pending.values()))
                if not left or time.monotonic() >= deadline:
                    break
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("interrupted; what was sent goes on", err=True)
        return INTERRUPTED
    except refusals.AWS_ERRORS as error:
        click.echo(f"{refusals.explained(error).text}; what was sent goes on", err=True)
        return NO_AWS
    return 0


def _answers(sent: "Mapping[Handoff, Sent]", table: str) -> Iterator[list[Sent]]:
    """Look again and again; give those that have no answer yet."""
    from conductor_loop.aws import following  # noqa: PLC0415 - see common

    follower, pending = following.Follower(table), dict(sent)
    while True:
        rows = follower.rows(pending.keys()) if pending else {}
        for handoff, row in rows.items():
            pending[handoff].row = row
        for handoff in follower.settled([handoff for handoff, row in rows.items() if row.outcome]):
            pending.pop(handoff).settled_after = time.monotonic() - sent[handoff].since
        yield list(pending.values())


def _standing(left: Sequence[Sent], every: Collection[Sent]) -> str:
    failed = sum(one.failed for one in every)
    words = [f"{number} {state}" for state, number in sorted(Counter(one.state for one in left).items())]
    return ", ".join([*([f"{failed} failed"] if failed else []), *words])


def _exit_code(sent: Collection[Sent], *, waited: bool) -> int:
    if any(one.failed for one in sent):
        return FAILED
    if any(one.unsent for one in sent):
        return NO_AWS
    return NOT_YET if waited and any(one.settled_after is None for one in sent) else 0
