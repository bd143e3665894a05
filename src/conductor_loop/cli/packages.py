"""``conductor-loop package`` and ``diff``: what porch made of an intent."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from conductor_loop.cli import answers, console
from conductor_loop.cli.common import (
    NOT_YET,
    WrongUsage,
    bucket_option,
    file_name,
    handoff_bucket,
    output_option,
    speaks_to_aws,
    stack_option,
)  # fmt: skip
from conductor_loop.cli.completing import names

if TYPE_CHECKING:
    from conductor_loop.aws.packages import Stored

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("name", type=file_name, shell_complete=names)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Write its files into this folder, which must be new."
)
@bucket_option
@stack_option
@output_option
@speaks_to_aws
def package(name: str, folder: Path | None, bucket: str | None, stack: str, *, as_json: bool) -> None:
    """Show or download the package of the intent NAME.

    It is shown as that intent made it, whatever was published under the same name since.

    \b
    Examples:
      conductor-loop package intent-scale-up-001.json
      conductor-loop package intent-scale-up-001.json --output json
      conductor-loop package intent-scale-up-001.json --to package

    \b
    Exit codes:
      0  shown
      1  it has none: it failed, was skipped, or the package was removed
      2  wrong usage: no intent of that name, a folder that exists
      3  no answer yet
      4  AWS refuses or does not answer
    """  # noqa: D301 - click wants the control character
    from conductor_loop.aws.packages import Shelf  # noqa: PLC0415 - see common

    if folder is not None and folder.exists():
        raise WrongUsage(f"{folder} exists: name a folder that does not, or remove it")
    bucket = handoff_bucket(bucket, stack)
    found = Shelf(bucket).of(_status(name, bucket))
    if folder is not None:
        _write(found, folder)
        click.echo(f"{found.name}: {len(found.files)} files in {folder}", err=True)
    if as_json:
        files = {path: body.decode(errors="replace") for path, body in found.files.items()}
        console.print_json({"name": found.name, "prefix": found.prefix, "files": files})
    elif folder is None:
        _show(found, bucket)


@click.command()
@click.argument("name", type=file_name, shell_complete=names)
@bucket_option
@stack_option
@output_option
@speaks_to_aws
def diff(name: str, bucket: str | None, stack: str, *, as_json: bool) -> None:
    """Compare the package of the intent NAME with its target's previous one.

    \b
    Examples:
      conductor-loop diff intent-scale-up-001.json
      conductor-loop diff intent-scale-up-001.json --output json

    The exit codes are those of `conductor-loop package`; whether the two differ changes none.
    """  # noqa: D301 - click wants the control character
    from conductor_loop.aws.packages import Shelf  # noqa: PLC0415 - see common

    bucket = handoff_bucket(bucket, stack)
    status, shelf = _status(name, bucket), Shelf(bucket)
    new, old = shelf.of(status), shelf.before(status)
    changes = {path: list(_changed(path, old, new)) for path in sorted(_paths(old) | _paths(new))} if old else {}
    changes = {path: lines for path, lines in changes.items() if lines}
    if as_json:
        console.print_json({"package": new.name, "previous": old.name if old else None, "changes": changes})
        return
    if old is None:
        click.echo(f"{new.name} is the target's first package; see it with: conductor-loop package {name}", err=True)
        return
    for line in (line for lines in changes.values() for line in lines):
        console.lines_of(line, _coloured)
    click.echo(f"{old.name} -> {new.name}: {len(changes)} of {len(_paths(old) | _paths(new))} files differ", err=True)


def _status(name: str, bucket: str) -> Mapping[str, Any]:
    """Read the status of an intent that has a package; end the command where there is none."""
    from conductor_loop.aws import operator  # noqa: PLC0415 - see common

    found = operator.standing(bucket, name)
    if not answers.stage(name, found).over:
        if found.waiting is None:
            raise WrongUsage(answers.remark(name, bucket, found))
        click.echo(answers.remark(name, bucket, found), err=True)
        raise click.exceptions.Exit(NOT_YET)
    if "package" not in found.document:
        said = f"{name} has no package: it is {found.document['status']} ({found.document['message']})"
        raise click.ClickException(f"{said}; see: conductor-loop logs {name}")
    return found.document


def _show(found: "Stored", bucket: str) -> None:
    click.echo(f"s3://{bucket}/{found.prefix}", err=True)
    for path, body in found.files.items():
        click.secho(f"==> {console.printable(path)}", bold=True)
        text = _text(body)
        console.lines_of(f"({len(body)} bytes that are no text)" if text is None else text)


def _write(found: "Stored", folder: Path) -> None:
    for path in found.files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise click.ClickException(f"{path!a} leads out of the folder; nothing was written")
    for path, body in found.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)


def _paths(found: "Stored | None") -> set[str]:
    return set(found.files) if found else set()


def _changed(path: str, old: "Stored", new: "Stored") -> Iterator[str]:
    before, after = old.files.get(path, b""), new.files.get(path, b"")
    if before == after and path in old.files and path in new.files:
        return
    texts = _text(before), _text(after)
    was, now = (f"{one.name}/{path}" if path in one.files else "/dev/null" for one in (old, new))
    if texts[0] is None or texts[1] is None:
        yield f"Binary files {was} and {now} differ"
        return
    yield from difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), was, now, lineterm="")


def _coloured(line: str) -> str:
    return click.style(line, bold=True) if line[:3] in {"+++", "---"} else click.style(line, fg=_COLOURS.get(line[:1]))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
