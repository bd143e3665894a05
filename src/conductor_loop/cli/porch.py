"""Checking a porch of one's own."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click

from conductor_loop import porch_check as suite
from conductor_loop.cli.common import Duration, output_option
from conductor_loop.errors import NoCredentials
from conductor_loop.porch import RESERVED, read_kubeconfig


def _file(parse: Callable[[bytes], Any]) -> dict[str, Any]:
    """Give the settings of an option for a file that is parsed; its ValueError is wrong usage."""

    def callback(context: click.Context, option: click.Parameter, file: BinaryIO | None) -> Any:  # noqa: ANN401
        if file is None:
            return None
        try:
            with file:  # click leaves it open where a callback raises
                return parse(file.read())
        except (ValueError, NoCredentials) as error:
            raise click.BadParameter(str(error), context, option) from None

    return {"type": click.File("rb"), "callback": callback}


def _document(text: bytes) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict) or not {"namespace", "target", "replicas"} <= document.keys():
        raise ValueError("an object with namespace, target and replicas is wanted")
    return document


def _variables(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    given = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, given, strict=True):
        if not (name and equals) or name in RESERVED:
            wanted = f"{text!a}: NAME=VALUE is wanted, and a name that is not ours"
            raise click.BadParameter(wanted, context, option)
    return {name: value for name, _, value in given}


@click.command("porch-check")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, executable=True))
@click.option("--intent", **_file(_document), help="A valid intent that it can fulfil; ours by default.")
@click.option(
    "--env", "environment", multiple=True, callback=_variables, metavar="NAME=VALUE", help="A variable for it."
)
@click.option(
    "--kubeconfig",
    **_file(lambda text: read_kubeconfig(text, "the file")),
    help="A kubeconfig for it, given as the function does.",
)
@click.option("--timeout", "timeout_seconds", type=Duration(0.1, 900), default="30s", help="How long one run may take.")
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
            rule = finding.rule
            shown = {"rule": rule.name, "kept": finding.kept, "promise": rule.promise, "what": finding.what or None}
            shown |= {"next": rule.next_step} if finding.kept is False else {}
            click.echo(json.dumps(shown) if as_json else finding.line)
            broken += finding.kept is False
    if broken:
        click.echo(f"{broken} broken: docs/porch-contract.md states the rules", err=True)
        raise click.exceptions.Exit(1)
