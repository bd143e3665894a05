"""``conductor-loop audit``: who did what to an intent, and whether the record of it is whole."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from conductor_loop.audit.chain import Found, fields_of, read
from conductor_loop.audit.verifying import Verdict, verify
from conductor_loop.aws.auditing import Trail
from conductor_loop.cli import answers, console
from conductor_loop.cli.common import (
    DAY_SECONDS,
    FAILED,
    Duration,
    WrongUsage,
    file_name,
    output_option,
    speaks_to_aws,
    stack_option,
)
from conductor_loop.cli.completing import names
from conductor_loop.cli.lazy import Group

_SINCE = Duration(most=3653 * DAY_SECONDS)  # the longest retention of CloudWatch Logs
_FIRST = ("at", "event", "status_sha256")  # at the beginning of a line, or not shown


@click.group(cls=Group)
def audit() -> None:
    """See who dropped what, what was decided, and whether that record is whole.

    \b
    Examples:
      conductor-loop audit show intent-scale-up-001.json
      conductor-loop audit verify --since 7d
    """  # noqa: D301 - click wants the control character


@audit.command()
@click.argument("name", type=file_name, shell_complete=names)
@stack_option
@click.option("--since", type=_SINCE, default="90d", show_default=True, help="How far to look back.")
@output_option
@speaks_to_aws
def show(name: str, stack: str, since: float, *, as_json: bool) -> None:
    """Print what the audit trail tells of the intent NAME, all of its versions and calls of the API.

    With --output json, the entries are printed as they are kept, a line of JSON each. Where there is none, the exit
    code is 2.

    \b
    Examples:
      conductor-loop audit show intent-scale-up-001.json
      conductor-loop audit show intent-scale-up-001.json --since 7d --output json
    """  # noqa: D301 - click wants the control character
    lines = dict.fromkeys(Trail(stack, time.time() - since).lines(name))
    entries = [(line, found) for line in lines if (found := read(line)) is not None and _is_about(found, name)]
    for line, found in entries:
        click.echo(line if as_json else console.printable(readable(found.document, sound=found.sound)))
    if not entries:
        when = "entries appear there a few seconds after the event"
        wrong = f"no entry of {name} is in the audit trail yet; {when}"
        raise WrongUsage(console.printable(wrong + answers.suggestion(name)))


@audit.command("verify")
@stack_option
@click.option("--since", type=_SINCE, default="24h", show_default=True, help="How far to look back.")
@click.option(
    "--grace", type=Duration(), default="5m", show_default=True, help="How long an entry may be on its way to the log."
)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Verify these lines, e.g. of the export, in place of the log's.",
)
@output_option
@speaks_to_aws
def check(stack: str, since: float, grace: float, file: Path | None, *, as_json: bool) -> None:
    """Hold every entry against the one before it, the state table and the statuses.

    Each entry that was removed, altered or moved is named: the intent, its version, and the entry's position. The exit
    code is 1 if there is one, and 2 where --file has lines, and none is an entry.

    \b
    Examples:
      conductor-loop audit verify
      conductor-loop audit verify --since 7d --output json
    """  # noqa: D301 - click wants the control character
    trail = Trail(stack, time.time() - since)
    lines = file.read_text(errors="replace").splitlines() if file else trail.lines()
    chains = {found.chain for line in lines if (found := read(line))}
    if file and lines and not chains:
        raise WrongUsage(f"{file}: no line of it is an entry of an audit trail; name the lines of an export")
    verdict = verify(lines, trail.known(chains, grace))
    if as_json:
        console.print_json(asdict(verdict))
    else:
        _print(verdict)
    if verdict.wrong:
        raise click.exceptions.Exit(FAILED)


def _print(verdict: Verdict) -> None:
    for finding in verdict.findings:
        click.echo(console.printable(str(finding)))
    if verdict.illegible:
        click.echo(f"{verdict.illegible} lines are no entries: what they were is missing above, or was never one")
    wrong = verdict.wrong
    said = f"{verdict.entries} entries of {verdict.chains} chains: {wrong or 'no'} finding{'s' * (wrong != 1)}"
    click.echo(said, err=bool(wrong))


def readable(entry: Mapping[str, Any], *, sound: bool = True) -> str:
    """Put an entry into a line; one that is not ``sound`` may have been altered in any way."""
    rest = " ".join(f"{name}={_short(value)}" for name, value in fields_of(entry).items() if name not in _FIRST)
    warning = "" if sound else "ALTERED: "
    return f"{entry.get('at', '-')} {entry['seq']:>2} {console.word(str(entry.get('event', '-'))):10} {warning}{rest}"


def _is_about(found: Found, name: str) -> bool:
    return found.chain.startswith(f"intent/{name}/") or found.document.get("intent") == name


def _short(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)
