"""The command ``conductor-loop-validator``: the Lambda's validation, on files of this machine.

Exit codes: 0 every file is valid, 1 at least one is not, 2 usage (an unreadable file, a broken schema, a wrong option).
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from conductor_loop import __version__
from conductor_loop.validation import (
    BOUNDS,
    MAX_VIOLATIONS,
    SYSTEM_NAMESPACES,
    BrokenSchema,
    Report,
    Rules,
    SecurityMode,
    inspect,
)
from conductor_loop.validation.report import shown

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


@dataclass(frozen=True, slots=True)
class Source:
    """A file to validate; ``-`` is standard input."""

    name: str

    def read(self, limit_bytes: int) -> bytes:
        """Read one byte more than the limit at most: enough to see that the file is too large. Raises OSError."""
        if self.name == "-":
            return sys.stdin.buffer.read(limit_bytes + 1)
        with Path(self.name).open("rb") as file:
            return file.read(limit_bytes + 1)

    @property
    def called(self) -> str:
        """The file's name for people; what does not print is escaped."""
        if self.name == "-":
            return "standard input"
        return self.name if self.name.isprintable() else shown(self.name)

    @property
    def file(self) -> str | None:
        """The name that the service would see; standard input has none."""
        return None if self.name == "-" else Path(self.name).name


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.argument("files", nargs=-1)
@click.option("--file", "more_files", multiple=True, metavar="FILE", help="A file to validate; may be repeated.")
@click.option(
    "--security-mode",
    type=click.Choice([mode.value for mode in SecurityMode]),
    default=SecurityMode.STRICT.value,
    show_default=True,
    help="strict: blocked characters, keywords and paths are refused in every string. "
    "standard: in names, ids and keys only, so that reason and metadata may be prose.",
)
@click.option("--schema", metavar="FILE", help="Another JSON Schema (draft-07) than the packaged intent.schema.json.")
@click.option(
    "--max-replicas",
    type=click.IntRange(*BOUNDS["max_replicas"]),
    default=Rules().max_replicas,
    show_default=True,
    help="The most replicas an intent may ask for.",
)
@click.option(
    "--max-file-size",
    type=click.IntRange(*BOUNDS["max_file_bytes"]),
    default=Rules().max_file_bytes,
    show_default=True,
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
    show_default=True,
    help="text: for people. json: one JSON object per file and line.",
)
@click.version_option(__version__)
def main(**options: Any) -> None:  # noqa: ANN401 - click passes each option by its name
    """Say of each intent in FILES whether it will be accepted, and why not.

    FILES are names of files, or - for standard input, which has no name to check. The rules and the messages are those
    of the service itself, and everything that must change is named at once.
    """
    sources = [Source(name) for name in (*options["more_files"], *options["files"])]
    if not sources:
        raise click.UsageError("name at least one file, or - for standard input")
    rules = Rules(  # every limit that a deployment can set has its option
        mode=SecurityMode(options["security_mode"]),
        max_replicas=options["max_replicas"],
        max_file_bytes=options["max_file_size"],
        system_namespaces=(*SYSTEM_NAMESPACES, *options["system_namespaces"]),
        schema=_schema(options["schema"]) if options["schema"] else None,
    )
    sys.exit(_run(sources, rules, as_json=options["output"] == "json"))


def _run(sources: Iterable[Source], rules: Rules, *, as_json: bool) -> int:
    code = VALID
    for source in sources:
        try:
            report = inspect(source.read(rules.max_file_bytes), rules, source.file)
        except OSError as error:
            click.echo(f"{source.called}: cannot be read: {error.strerror}; check its name and permissions", err=True)
            code = USAGE
            continue
        except BrokenSchema as error:
            raise click.UsageError(f"--schema: {error}") from None
        code = max(code, VALID if report.valid else INVALID)
        _print(source, report, as_json=as_json)
    return code


def _print(source: Source, report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document_of(source, report)))
        return
    for line in lines(source, report):
        click.echo(line)


def document_of(source: Source, report: Report) -> dict[str, Any]:
    """Tell a program of a file: its name, whether it is valid, and every rule that it breaks."""
    return {"file": source.name, **report.as_json()}


def lines(source: Source, report: Report) -> Iterator[str]:
    """Say of a file whether it is valid, and every rule that it breaks."""
    if report.cause is None:
        yield f"{source.called}: {click.style('valid', fg='green')}"
        return
    verdict = click.style("invalid", fg="red", bold=True)
    threat = f"threat level {report.threat_level.name}"
    yield f"{source.called}: {verdict}, {report.cause.code} {report.cause}, {threat}, {_number(report)}"
    yield from (f"  {violation.message}" for violation in report.violations)


def _number(report: Report) -> str:
    number = len(report.violations)
    if number > MAX_VIOLATIONS:
        return f"more than {MAX_VIOLATIONS} violations"
    return "1 violation" if number == 1 else f"{number} violations"


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
