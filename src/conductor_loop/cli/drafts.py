"""Files that may be sent: read, and validated by the rules of the stack with the code that the function runs."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from botocore.exceptions import ClientError

from conductor_loop import validator
from conductor_loop.cli import aws, configuration, console
from conductor_loop.cli.common import WrongUsage
from conductor_loop.cli.config import in_force
from conductor_loop.config import typed
from conductor_loop.config.schema import seconds
from conductor_loop.intent import Intent
from conductor_loop.intents.attempt import SETTLE_SECONDS
from conductor_loop.validation import BOUNDS, Rules, SecurityMode, inspect

_STRICT = (
    "the security mode strict alone refuses {}: it is the specification's list, and refuses honest prose, too; the "
    "stack's operator can choose standard (template parameter SecurityMode), which allows it in reason and metadata"
)


def read(files: Sequence[Path]) -> dict[str, bytes]:
    """Read the files, by name. Raises WrongUsage, naming every one that cannot be sent."""
    bodies: dict[str, bytes] = {}
    problems = []
    for file in files:
        if str(file) == "-":
            write = "write it to a file, e.g. cat >intent-a.json, and name that"
            alone = "to check it alone: conductor-loop validate -"
            problems.append(f"standard input has no name, and an intent is called as its file is: {write}; {alone}")
            continue
        if file.is_dir():
            named = f"conductor-loop submit {shlex.quote(str(file))}/intent-*.json"
            problems.append(f"{file} is a folder: name its files, e.g. {named}")
            continue
        if file.name in bodies:
            problems.append(f"two files are called {file.name}, and the later would replace the other: rename one")
        try:
            bodies[file.name] = validator.read(str(file), BOUNDS["max_file_bytes"][1])  # more is too large anywhere
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}; check its name and permissions")
    if problems:
        raise WrongUsage("\n".join(problems))
    return bodies


def limits(stack: str) -> tuple[Rules, float]:
    """Read the rules of the stack, and the seconds that porch has at most.

    Without the permission to read them: the built-in rules, with a word about it, and no limit.
    """
    try:
        deployed = configuration.deployed(stack)
        _, known = in_force(deployed)
    except ClientError as error:
        if not aws.is_denied(error):
            raise
        click.echo(f"the stack's rules cannot be read, so the built-in ones are checked here: {error}", err=True)
        return Rules(), math.inf
    most = seconds(known.values["porch"]["execution_timeout"])
    return typed.rules(known.values), min(most, deployed.function_seconds - SETTLE_SECONDS)


def warn_of_cuts(bodies: Mapping[str, bytes], longest: float) -> None:
    """Name the intents that ask for more time than the stack gives to any."""
    for name, body in bodies.items():
        wanted = Intent(json.loads(body)).timeout_seconds or 0
        if wanted > longest:
            cut = f"timeout {wanted}s is more than this stack gives, and will be cut to {longest:.0f}s"
            console.note("note     ", f" {name}  {cut} (porch.execution_timeout, FunctionTimeout)", "yellow")


def validate(bodies: Mapping[str, bytes], rules: Rules, *, as_json: bool) -> None:
    """Validate every file; end the command, with every violation, where one breaks a rule."""
    reports = {name: inspect(body, rules, name) for name, body in bodies.items()}
    broken = {name: report for name, report in reports.items() if not report.valid}
    if not broken:
        return
    if as_json:
        console.print_json([validator.document_of(name, report) for name, report in broken.items()])
    for name, report in broken.items() if not as_json else ():
        for line in validator.lines(name, report):
            click.echo(line, err=True)
    standard = replace(rules, mode=SecurityMode.STANDARD)  # which the operator of the stack can choose
    if prose := [name for name in broken if inspect(bodies[name], standard, name).valid]:
        click.echo(_STRICT.format(", ".join(prose)), err=True)
    why = "the file breaks a rule" if len(reports) == 1 else f"{len(broken)} of {len(reports)} files break a rule"
    raise click.ClickException(f"nothing was sent: {why}; correct or leave out those above")
