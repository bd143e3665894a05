"""Checking a porch of one's own."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import click

from conductor_loop import porch_check as suite
from conductor_loop.cli.common import Duration, output_option
from conductor_loop.errors import NoCredentials
from conductor_loop.porch import RESERVED, Kubeconfig, read_kubeconfig
from conductor_loop.porch_check import Finding


def _document(_: click.Context, __: click.Parameter, file: BinaryIO | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        with file:  # click leaves it open where a callback raises
            document = json.load(file)
    except ValueError as error:
        raise click.BadParameter(f"not JSON ({error})", param_hint="--intent") from None
    if not isinstance(document, dict) or not {"namespace", "target", "replicas"} <= document.keys():
        raise click.BadParameter("an object with namespace, target and replicas is wanted", param_hint="--intent")
    return document


def _variables(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    return dict(map(_variable, texts))


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals) or name in RESERVED:
        raise click.BadParameter(f"{text!a}: NAME=VALUE is wanted, and a name that is not ours", param_hint="--env")
    return name, value


def _kubeconfig(_: click.Context, __: click.Parameter, file: BinaryIO | None) -> Kubeconfig | None:
    if file is None:
        return None
    try:
        with file:
            return read_kubeconfig(file.read(), "the file")
    except NoCredentials as error:
        raise click.BadParameter(str(error), param_hint="--kubeconfig") from None


def _as_json(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    found = {"rule": rule.name, "kept": finding.kept, "promise": rule.promise, "what": finding.what or None}
    return found | ({"next": rule.next_step} if finding.kept is False else {})


_FILE = click.File("rb")


@click.command("porch-check")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, executable=True))
@click.option("--intent", type=_FILE, callback=_document, help="A valid intent that it can fulfil; ours by default.")
@click.option(
    "--env", "environment", multiple=True, callback=_variables, metavar="NAME=VALUE", help="A variable for it."
)
@click.option("--kubeconfig", type=_FILE, callback=_kubeconfig, help="A kubeconfig for it, given as the function does.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Duration(0.1, 900),
    default="30s",
    show_default=True,
    help="How long one run may take.",
)
@click.option("--only", multiple=True, metavar="RULE", help="Try only this rule and those it rests on; repeatable.")
@output_option
def porch_check(
    path: str,
    only: tuple[str, ...],
    *,
    as_json: bool,
    **tried_with: Any,  # noqa: ANN401 - fields of a Subject
) -> None:
    """Check that the program PATH keeps the contract of a porch.

    docs/porch-contract.md states it. The program is run some thirty times, under the limits that the function sets, in
    directories of its own below TMPDIR. There is one line for each rule: ok, BROKEN with what was done and the next
    step, or - for a rule that could not be tried; with --output json each line is an object.

    \b
    Examples:
      conductor-loop porch-check layers/porch/bin/porch
      conductor-loop porch-check layers/porch/bin/porch --only structured --only sigterm
      conductor-loop porch-check layers/porch/bin/porch --intent examples/intents/intent-scale-up-001.json \\
        --env LOG_LEVEL=info --timeout 60

    Exit codes: 0 every rule is kept, 1 at least one is broken, 2 wrong usage.
    """  # noqa: D301 - click wants the control character
    if sys.platform != "linux":
        raise click.UsageError("porch-check needs Linux, as Lambda has it: what confines a porch reads /proc")
    unknown = sorted(set(only) - {rule.name for rule in suite.RULES})
    if unknown:
        names = ", ".join(rule.name for rule in suite.RULES)
        raise click.BadParameter(f"{unknown[0]} is no rule; there are {names}", param_hint="--only")
    with tempfile.TemporaryDirectory(prefix="porch-check-") as folder:
        given = {name: value for name, value in tried_with.items() if value is not None}
        subject = suite.Subject(path=path, work_root=Path(folder) / "work", **given)
        broken = 0
        for finding in suite.check(subject, only):
            click.echo(json.dumps(_as_json(finding)) if as_json else finding.line)
            broken += finding.kept is False
    if broken:
        click.echo(f"{broken} broken: docs/porch-contract.md states the rules", err=True)
        raise click.exceptions.Exit(1)
