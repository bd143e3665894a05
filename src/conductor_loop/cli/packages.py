"""``conductor-loop package`` and ``diff``: what porch made of an intent."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import click

from conductor_loop.aws.packages import Shelf, Stored
from conductor_loop.cli import answers, console
from conductor_loop.cli.common import (
    WrongUsage,
    bucket_option,
    file_name,
    handoff_bucket,
    output_option,
    speaks_to_aws,
    stack_option,
)  # fmt: skip
from conductor_loop.cli.completing import names
from conductor_loop.cli.differences import changes, print_changes, text_of


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
    bucket = handoff_bucket(bucket, stack)
    status, shelf = _status(name, bucket), Shelf(bucket)
    new, old = shelf.of(status), shelf.before(status)
    if as_json:
        found = {"package": new.name, "previous": old.name if old else None}
        console.print_json(found | {"changes": changes(old, new) if old else {}})
    elif old is None:
        click.echo(f"{new.name} is the target's first package; see it with: conductor-loop package {name}", err=True)
    else:
        print_changes(old, new)


def _status(name: str, bucket: str) -> Mapping[str, Any]:
    """Read the status of an intent that has a package; end the command where there is none."""
    found = answers.final(name, bucket)
    if "package" not in found:
        said = f"{name} has no package: it is {found['status']} ({found['message']})"
        raise click.ClickException(f"{said}; see: conductor-loop logs {name}")
    return found


def _show(found: Stored, bucket: str) -> None:
    click.echo(f"s3://{bucket}/{found.prefix}", err=True)
    for path, body in found.files.items():
        click.secho(f"==> {console.printable(path)}", bold=True)
        text = text_of(body)
        console.lines_of(f"({len(body)} bytes that are no text)" if text is None else text)


def _write(found: Stored, folder: Path) -> None:
    for path in found.files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise click.ClickException(f"{path!a} leads out of the folder; nothing was written")
    for path, body in found.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
