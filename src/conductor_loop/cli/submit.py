"""``conductor-loop submit``: validate, send, follow."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from conductor_loop.cli import INTERRUPTED, aws, console, drafts, sending
from conductor_loop.cli.common import Duration, stack_command


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Follow each to its end, and say what became of it.")
@click.option("--timeout", type=Duration(), default="10m", help="With --wait: how long, at most.")
@click.option("--dry-run", is_flag=True, help="Validate, say what would be sent, and send nothing.")
@stack_command
def submit(  # noqa: PLR0913 - the options
    files: Sequence[Path], stack: str, timeout: float, *, wait: bool, dry_run: bool, as_json: bool
) -> None:
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
    bodies = drafts.read(files)
    rules, longest = drafts.limits(stack)
    drafts.validate(bodies, rules, as_json=as_json)
    drafts.warn_of_cuts(bodies, longest)
    outputs = aws.outputs(stack)
    if dry_run:
        _print_dry_run(bodies, outputs["HandoffBucket"], as_json=as_json)
        return
    sent, interrupted = sending.send(bodies, outputs["HandoffBucket"])
    if interrupted:
        sending.print_summary(sent, waited=False, as_json=as_json)
        done = sum(not one.unsent for one in sent)
        click.echo(f"interrupted; {done} of {len(bodies)} were sent, and go on", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    sending.finish(sent, outputs["StateTable"], timeout if wait else None, as_json=as_json)


def _print_dry_run(bodies: Mapping[str, bytes], bucket: str, *, as_json: bool) -> None:
    found = {name: json.loads(body) for name, body in bodies.items()}
    columns = ("file", "namespace", "target", "replicas", "priority")
    rows = [[name, *(one.get(key, "normal") for key in columns[1:])] for name, one in found.items()]
    if as_json:
        console.print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        console.print_rows(columns, [[str(value) for value in row] for row in rows], flexible="file")
    click.echo(f"{len(rows)} valid; would be sent to s3://{bucket}/; nothing was sent", err=True)
