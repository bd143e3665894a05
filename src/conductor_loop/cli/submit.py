"""``conductor-loop submit``: validate, send, follow."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from conductor_loop.aws import following, operator, refusals
from conductor_loop.cli import console, drafts
from conductor_loop.cli.common import Duration, output_option, speaks_to_aws, stack_option
from conductor_loop.cli.follow import exit_code, follow
from conductor_loop.cli.lazy import INTERRUPTED
from conductor_loop.cli.progress import Progress
from conductor_loop.cli.summary import Sent, print_summary
from conductor_loop.intent import Handoff


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
    bodies = drafts.read(files)
    rules, longest = drafts.limits(stack)
    drafts.validated(bodies, rules, as_json=call.as_json)
    drafts.warn_of_cuts(bodies, longest)
    outputs = operator.outputs(stack)
    if call.dry_run:
        _would_send(bodies, outputs["HandoffBucket"], as_json=call.as_json)
        return
    sent, whole = _send(bodies, outputs["HandoffBucket"])
    if not whole:
        _tell_of_interruption(sent, bodies, as_json=call.as_json)
    code = follow(sent, outputs["StateTable"], call.timeout) if call.wait else 0
    print_summary(sent.values(), waited=call.wait, as_json=call.as_json)
    raise click.exceptions.Exit(code or exit_code(sent.values(), waited=call.wait))


@dataclass(frozen=True, slots=True)
class _Call:
    """How it was called."""

    wait: bool
    timeout: float  # seconds
    dry_run: bool
    as_json: bool


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
    sent: dict[str, Sent] = {}
    whole = False
    with Progress("sending", len(bodies)) as bar, suppress(KeyboardInterrupt):

        def note(name: str, answer: Handoff | Exception) -> None:
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
