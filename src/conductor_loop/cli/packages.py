"""``conductor-loop package`` and ``diff``: what porch made of an intent, and of the one before it."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import click

from conductor_loop.cli import answers, aws, console
from conductor_loop.cli.common import WrongUsage, bucket_command, name_argument, output_option, suggest

_DIGITS = re.compile(r"([0-9]+)")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@name_argument
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Write its files into this folder, which must be new."
)
@bucket_command
@output_option
def package(name: str, folder: Path | None, bucket: str, *, as_json: bool) -> None:
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
    found = Packages(bucket).of(_status(name, bucket))
    if folder is not None:
        _write(found, folder)
        click.echo(f"{found.name}: {len(found.files)} files in {folder}", err=True)
    if as_json:
        files = {path: body.decode(errors="replace") for path, body in found.files.items()}
        console.print_json({"name": found.name, "prefix": found.prefix, "files": files})
    elif folder is None:
        _show(found, bucket)


@click.command()
@name_argument
@bucket_command
@output_option
def diff(name: str, bucket: str, *, as_json: bool) -> None:
    """Compare the package of the intent NAME with its target's previous one.

    \b
    Examples:
      conductor-loop diff intent-scale-up-001.json
      conductor-loop diff intent-scale-up-001.json --output json

    The exit codes are those of `conductor-loop package`; whether the two differ changes none.
    """  # noqa: D301 - click wants the control character
    status, packages = _status(name, bucket), Packages(bucket)
    new, old = packages.of(status), packages.before(status)
    if as_json:
        found = {"package": new.name, "previous": old.name if old else None}
        console.print_json(found | {"changes": changes(old, new) if old else {}})
    elif old is None:
        click.echo(f"{new.name} is the target's first package; see it with: {suggest('package', name)}", err=True)
    else:
        print_changes(old, new)


def _status(name: str, bucket: str) -> Mapping[str, Any]:
    """Read the status of an intent that has a package; end the command where there is none."""
    found = answers.final(name, bucket)
    if "package" not in found:
        said = f"{name} has no package: it is {found['status']} ({found['message']})"
        raise click.ClickException(f"{said}; see: {suggest('logs', name)}")
    return found


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


# -- packages as they lie in the bucket


@dataclass(frozen=True, slots=True)
class Stored:
    """A package: where it lies, and its files, path to content."""

    name: str
    prefix: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    body: bytes
    at: datetime
    handoff: str  # version id of the intent that it was made for


class Packages:
    """The packages of a bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket, self._s3 = bucket, aws.client("s3")

    def of(self, status: Mapping[str, Any]) -> Stored:
        """Read the package that a status names. Raises NotFound."""
        return _stored(status["package"]["prefix"], self._named(status))

    def before(self, status: Mapping[str, Any]) -> Stored | None:
        """Read the target's package before the one that a status names; ``None`` where that is the first.

        It is the newest one that was complete by then, and that no other attempt at the same intent has left. Raises
        NotFound.
        """
        prefix: str = status["package"]["prefix"]
        mine = (min(file.at for file in self._named(status)), _natural(prefix))
        for package in reversed(self._sorted(prefix.rstrip("/").rpartition("/")[0] + "/")):
            if package[:2] < mine:
                files = self._files(package[-1])
                if all(file.handoff != status["version_id"] for file in files):
                    return _stored(package[-1], files)
        return None

    def newest(self, target: str) -> Stored | None:
        """Read the newest package of a target ``namespace/name``; ``None`` where it has none."""
        found = self._sorted(f"packages/{target}/")
        return _stored(found[-1][-1], self._files(found[-1][-1])) if found else None

    def _named(self, status: Mapping[str, Any]) -> list[_File]:
        files = [self._file(status["package"]["prefix"] + path) for path in status["package"]["files"]]
        for file in files:
            if file.handoff != status["version_id"]:
                raise aws.NotFound(f"s3://{self._bucket}/{file.key} was replaced by another program")
        return files

    def _files(self, prefix: str) -> list[_File]:
        return [self._file(key) for key, _ in self._keys(prefix)]

    def _sorted(self, target: str) -> list[tuple[datetime, list[tuple[int, str]], str]]:
        """Give a target's packages, the newest last: since when each is complete, its name, its prefix."""
        done: dict[str, datetime] = {}
        for key, at in self._keys(target):
            package = target + key.removeprefix(target).partition("/")[0] + "/"
            done[package] = max(at, done.get(package, at))
        return sorted((at, _natural(package), package) for package, at in done.items())

    def _keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from ((found["Key"], found["LastModified"]) for found in page.get("Contents", []))

    def _file(self, key: str) -> _File:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            raise aws.NotFound(f"s3://{self._bucket}/{key} is gone") from None
        return _File(key, found["Body"].read(), found["LastModified"], found["Metadata"].get("handoff", ""))


def _stored(prefix: str, files: Iterable[_File]) -> Stored:
    contents = {file.key.removeprefix(prefix): file.body for file in files}
    return Stored(prefix.rstrip("/").rpartition("/")[2], prefix, contents)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort v1.0.10 behind v1.0.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text)]


# -- how two packages differ, as ``diff -u`` has it


def changes(old: Stored, new: Stored) -> Mapping[str, list[str]]:
    """Give the lines of each file that differs, by its path."""
    found = {path: list(_difference(path, old, new)) for path in sorted(old.files.keys() | new.files.keys())}
    return {path: lines for path, lines in found.items() if lines}


def print_changes(old: Stored, new: Stored) -> None:
    """Print the differences, and how many files have any."""
    found = changes(old, new)
    for line in (line for lines in found.values() for line in lines):
        console.lines_of(line, _coloured)
    every = len(old.files.keys() | new.files.keys())
    click.echo(f"{old.name} -> {new.name}: {len(found)} of {every} files differ", err=True)


def _difference(path: str, old: Stored, new: Stored) -> Iterator[str]:
    if old.files.get(path) == new.files.get(path):
        return
    before, after = (_text(one.files.get(path, b"")) for one in (old, new))
    was, now = (f"{one.name}/{path}" if path in one.files else "/dev/null" for one in (old, new))
    if before is None or after is None:
        yield f"Binary files {was} and {now} differ"
        return
    yield from difflib.unified_diff(before.splitlines(), after.splitlines(), was, now, lineterm="")


def _coloured(line: str) -> str:
    return click.style(line, bold=True) if line[:3] in {"+++", "---"} else click.style(line, fg=_COLOURS.get(line[:1]))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
