"""The command ``conductor-loop-validator``: the Lambda's validation, on files of this machine."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from conductor_loop import __version__
from conductor_loop.validation import BrokenSchema, Report, Rules, inspect
from conductor_loop.validation.rules import BOUNDS, MAX_VIOLATIONS, SYSTEM_NAMESPACES, SecurityMode, shown

VALID, INVALID, USAGE = 0, 1, 2
_EPILOG = """\b
Examples:
  conductor-loop validate examples/intents/intent-scale-up-001.json
  conductor-loop validate --security-mode=standard --max-replicas 200 examples/intents/intent-scale-up-001.json
  conductor-loop validate --schema=schemas/intent.schema.json --output json examples/intents/intent-cleanup.json
  echo '{"intent_type": "scaling", "target": "web", "namespace": "shop", "replicas": 3}' | conductor-loop validate -

conductor-loop-validator is this command by itself.

\b
Exit codes:
  0  every file is valid
  1  at least one file is invalid
  2  usage: an unreadable file, a broken schema, a wrong option
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True},
)
@click.argument("files", nargs=-1)
@click.option("--file", "more_files", multiple=True, metavar="FILE", help="A file to validate; may be repeated.")
@click.option(
    "--security-mode",
    type=click.Choice([mode.value for mode in SecurityMode]),
    default=SecurityMode.STRICT.value,
    help="strict: blocked characters, keywords and paths are refused in every string. "
    "standard: in names, ids and keys only, so that reason and metadata may be prose.",
)
@click.option("--schema", metavar="FILE", help="Another JSON Schema (draft-07) than the packaged intent.schema.json.")
@click.option(
    "--max-replicas",
    type=click.IntRange(*BOUNDS["max_replicas"]),
    default=Rules().max_replicas,
    help="The most replicas an intent may ask for.",
)
@click.option(
    "--max-file-size",
    type=click.IntRange(*BOUNDS["max_file_bytes"]),
    default=Rules().max_file_bytes,
    metavar="BYTES",
    help="The most bytes a file may have.",
)
@click.option(
    "--system-namespace",
    "system_namespaces",
    multiple=True,
    metavar="NAME",
    help="A further namespace that no intent may name, or a prefix such as infra-*; may be repeated.",
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text: for people. json: one JSON object per file and line.",
)
@click.version_option(__version__)
def main(**options: Any) -> None:  # noqa: ANN401 - click passes each option by its name
    """Say of each intent in FILES whether it will be accepted, and why not.

    FILES are names of files, or - for standard input, which has no name to check. The rules and the messages are those
    of the service itself, and everything that must change is named at once.
    """
    names = (*options["more_files"], *options["files"])
    if not names:
        raise click.UsageError("name at least one file, or - for standard input")
    rules = Rules(  # every limit that a deployment can set has its option
        mode=SecurityMode(options["security_mode"]),
        max_replicas=options["max_replicas"],
        max_file_bytes=options["max_file_size"],
        system_namespaces=(*SYSTEM_NAMESPACES, *options["system_namespaces"]),
        schema=_schema(options["schema"]) if options["schema"] else None,
    )
    sys.exit(max(_validate(name, rules, as_json=options["output"] == "json") for name in names))


def _schema(name: str) -> str:
    """Read another schema. Raises UsageError if it cannot be used."""
    try:
        text = Path(name).read_text("utf-8")
        inspect(b"{}", replace(Rules(), schema=text))
    except OSError as error:
        raise click.UsageError(f"--schema {shown(name)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"--schema {shown(name)} cannot be used: {error}") from None
    return text


def _validate(name: str, rules: Rules, *, as_json: bool) -> int:
    if Path(name).is_dir():
        click.echo(f"{_called(name)}: is a folder: name its files, e.g. {name.rstrip('/')}/intent-*.json", err=True)
        return USAGE
    try:
        report = inspect(read(name, rules.max_file_bytes), rules, None if name == "-" else Path(name).name)
    except OSError as error:
        click.echo(f"{_called(name)}: cannot be read: {error.strerror}; check its name and permissions", err=True)
        return USAGE
    except BrokenSchema as error:
        raise click.UsageError(f"--schema: {error}") from None
    for line in [json.dumps({"file": name, **report.as_json()})] if as_json else lines(name, report):
        click.echo(line)
    return VALID if report.valid else INVALID


def read(name: str, limit_bytes: int) -> bytes:
    """Read a file, ``-`` for standard input: one byte more than the limit at most, to see that it is too large."""
    if name == "-":
        return sys.stdin.buffer.read(limit_bytes + 1)
    with Path(name).open("rb") as file:
        return file.read(limit_bytes + 1)


def lines(name: str, report: Report) -> Iterator[str]:
    """Describe a file: whether it is valid, and every rule that it breaks."""
    if report.cause is None:
        yield f"{_called(name)}: {click.style('valid', fg='green')}"
        return
    verdict = click.style("invalid", fg="red", bold=True)
    threat, number = f"threat level {report.threat_level.name}", len(report.violations)
    many = "1 violation" if number == 1 else f"{number} violations"
    many = many if number <= MAX_VIOLATIONS else f"more than {MAX_VIOLATIONS} violations"
    yield f"{_called(name)}: {verdict}, {report.cause.code} {report.cause}, {threat}, {many}"
    yield from (f"  {violation.message}" for violation in report.violations)


def _called(name: str) -> str:
    if name == "-":
        return "standard input"
    return name if name.isprintable() else shown(name)
