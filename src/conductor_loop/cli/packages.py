"""``conductor-loop package``, ``diff`` and ``plan``: what porch made of an intent, of the one before, or would make."""

import difflib
import json
import re
import shlex
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import click

from conductor_loop.cli import aws, common, intents, submit

_DIGITS = re.compile(r"([0-9]+)")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_MOST_BYTES = 4 * 1024**2  # of an intent: what Lambda takes has 6 MB, and it grows by a third on its way
_READ_SECONDS = 900  # a dry run may take as long as an invocation
_VERDICTS = {
    "applied": ("would be applied", "green"),
    "refused": ("would be refused", "red"),
    "failed": ("would fail", "red"),
    "untried": ("is valid; what porch would make of it is unknown", "yellow"),
}


@click.command()
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Write its files into this folder, which must be new."
)
@common.intent_command
@common.output_option
def package(name: str, folder: Path | None, bucket: str, *, as_json: bool) -> None:
    """Show or download the package of the intent NAME.

    \b
    Examples:
      conductor-loop package intent-scale-up-001.json
      conductor-loop package intent-scale-up-001.json --output json
      conductor-loop package intent-scale-up-001.json --to package

    Exit codes: 0 shown, 1 it has none, as it failed or was skipped, 2 no intent of that name, a folder that exists, or
    a package that was removed, 3 no answer yet, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    if folder is not None and folder.exists():
        raise common.WrongUsage(f"{folder} exists: name a folder that does not, or remove it")
    _, found = _made(name, bucket)
    if folder is not None:
        _write(found, folder)
        click.echo(f"{found.name}: {len(found.files)} files in {folder}", err=True)
    if as_json:
        files = {path: body.decode(errors="replace") for path, body in found.files.items()}
        common.print_json({"name": found.name, "prefix": found.prefix, "files": files})
    elif folder is None:
        click.echo(f"s3://{bucket}/{found.prefix}", err=True)
        for path, body in found.files.items():
            click.secho(f"==> {common.printable(path)}", bold=True)
            text = _text(body)
            common.print_lines(f"({len(body)} bytes that are no text)" if text is None else text)


@click.command()
@common.intent_command
@common.output_option
def diff(name: str, bucket: str, *, as_json: bool) -> None:
    """Compare the package of the intent NAME with its target's previous one.

    \b
    Examples:
      conductor-loop diff intent-scale-up-001.json
      conductor-loop diff intent-scale-up-001.json --output json

    The exit codes are those of `conductor-loop package`; whether the two differ changes none.
    """  # noqa: D301 - click wants the control character
    status, new = _made(name, bucket)
    old = _before(bucket, status["version_id"], new)
    if as_json:
        found = {"package": new.name, "previous": old.name if old else None}
        common.print_json(found | {"changes": _changes(old, new) if old else {}})
    elif old is None:
        click.echo(
            f"{new.name} is the target's first package; see it with: {common.suggest('package', name)}", err=True
        )
    else:
        _print_changes(old, new)


def _write(found: "StoredPackage", folder: Path) -> None:
    for path in found.files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise click.ClickException(f"{path!a} leads out of the folder; nothing was written")
    for path, body in found.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package: where it lies, and its files, path to content."""

    prefix: str
    files: Mapping[str, bytes]
    begun: datetime | None = None  # when its first file was put
    handoffs: frozenset[str] = frozenset()  # version ids of the intents that it was made for

    @property
    def name(self) -> str:
        """The last part of its prefix."""
        return self.prefix.rstrip("/").rpartition("/")[2]


def _made(name: str, bucket: str) -> tuple[Mapping[str, Any], StoredPackage]:
    """Read the final status of an intent, and its package; end the command where there is none. Raises NotFound."""
    status = intents.final(name, bucket)
    if "package" not in status:
        said = f"{name} has no package: it is {status['status']} ({status['message']})"
        raise click.ClickException(f"{said}; see: {common.suggest('logs', name)}")
    prefix, files = status["package"]["prefix"], status["package"]["files"]
    return status, _read(bucket, prefix, [prefix + path for path in files], status["version_id"])


def _before(bucket: str, handoff: str, new: StoredPackage) -> StoredPackage | None:
    """Read the newest package of the target that was complete before ``new``; ``None`` where that is the first.

    One that another attempt at the same intent has left is passed over.
    """
    mine = (new.begun, _natural(new.prefix))
    for at, natural, prefix, keys in _sorted(bucket, new.prefix.removesuffix(f"{new.name}/")):
        if (at, natural) < mine:
            found = _read(bucket, prefix, keys)
            if handoff not in found.handoffs:
                return found
    return None


def _sorted(bucket: str, target: str) -> list[tuple[datetime, list[tuple[int, str]], str, list[str]]]:
    """List the packages below a prefix, newest first: since when each is complete, its name, prefix and keys."""
    found: dict[str, dict[str, datetime]] = {}
    for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=target):
        for one in page.get("Contents", []):
            package = target + one["Key"].removeprefix(target).partition("/")[0] + "/"
            found.setdefault(package, {})[one["Key"]] = one["LastModified"]
    complete = ((max(keys.values()), _natural(package), package, [*keys]) for package, keys in found.items())
    return sorted(complete, reverse=True)


def _read(bucket: str, prefix: str, keys: Iterable[str], handoff: str | None = None) -> StoredPackage:
    """Read a package; with ``handoff``, if all of its files are of that version. Raises NotFound."""
    s3, files, begun, handoffs = aws.client("s3"), dict[str, bytes](), list[datetime](), set[str]()
    for key in keys:
        try:
            found = s3.get_object(Bucket=bucket, Key=key)
        except s3.exceptions.NoSuchKey:
            raise aws.NotFound(f"s3://{bucket}/{key} is gone") from None
        if handoff not in {None, found["Metadata"].get("handoff", "")}:
            raise aws.NotFound(f"s3://{bucket}/{key} was replaced by another program")
        files[key.removeprefix(prefix)] = found["Body"].read()
        begun.append(found["LastModified"])
        handoffs.add(found["Metadata"].get("handoff", ""))
    return StoredPackage(prefix, files, min(begun, default=None), frozenset(handoffs))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort v1.0.10 behind v1.0.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text)]


def _changes(old: StoredPackage, new: StoredPackage) -> Mapping[str, list[str]]:
    found = {}
    for path in sorted(old.files.keys() | new.files.keys()):
        before, after = (_text(one.files.get(path, b"")) for one in (old, new))
        was, now = (f"{one.name}/{path}" if path in one.files else "/dev/null" for one in (old, new))
        if old.files.get(path) == new.files.get(path):
            continue
        if before is None or after is None:
            found[path] = [f"Binary files {was} and {now} differ"]
        elif lines := [*difflib.unified_diff(before.splitlines(), after.splitlines(), was, now, lineterm="")]:
            found[path] = lines
    return found


def _print_changes(old: StoredPackage, new: StoredPackage) -> None:
    found = _changes(old, new)
    for line in (line for lines in found.values() for line in lines):
        bold = line[:3] in {"+++", "---"}
        common.print_lines(line, partial(click.style, bold=bold, fg=None if bold else _COLOURS.get(line[:1])))
    every = len(old.files.keys() | new.files.keys())
    click.echo(f"{old.name} -> {new.name}: {len(found)} of {every} files differ", err=True)


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


@dataclass(slots=True)
class _Plan:
    """What the function says of an intent, and what else is known of its name and its target."""

    name: str
    found: Mapping[str, Any]  # as ``planning.plan`` gives it
    remarks: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # files for the same target
    old: StoredPackage | None = None  # the target's newest package
    new: StoredPackage | None = None

    @property
    def verdict(self) -> str:
        return next((one for one in ("refused", "failed", "untried") if one in self.found), "applied")

    @property
    def previous(self) -> int | None:
        """The replicas before: the cluster's, where it was asked, else those of the last applied intent."""
        applied, known = self.found.get("applied") or {}, self.found.get("delivered", {}).get("previous_replicas")
        return applied.get("replicas") if known is None else known


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@common.stack_command
def plan(file: Path, stack: str, *, as_json: bool) -> None:
    """Say what the intent in FILE would change, and change nothing.

    The function looks at it: the rules, the priority that you would get (no token of a rate limit is taken), the
    replicas before and after, and porch in a dry run, which asks the cluster where there is one. The package is
    compared with the target's newest one. Intents that wait for the same target are named, and so is an earlier use of
    the name.

    \b
    Examples:
      conductor-loop plan examples/intents/intent-scale-up-001.json
      conductor-loop plan examples/intents/intent-scale-up-001.json --output json

    Exit codes: 0 it would be applied, whether or not that changes anything, 1 it would be refused, or fail, 2 wrong
    usage, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    name, body = next(iter(submit.read([file]).items()))
    if len(body) > _MOST_BYTES:
        raise common.WrongUsage(f"{file} is too large for a plan: it has more than {_MOST_BYTES} bytes")
    outputs = aws.outputs(stack)
    made = _Plan(name, _invoke(outputs["ConductorFunction"], name, body))
    if made.verdict != "refused":
        _compare(made, outputs["HandoffBucket"])
    if as_json:
        common.print_json(_document(made))
    else:
        _print(made, file)
    raise click.exceptions.Exit(common.FAILED if made.verdict in {"refused", "failed"} else 0)


def _invoke(function: str, file: str, body: bytes) -> Mapping[str, Any]:
    """Have the function look at an intent; end the command where it has no plan to give."""
    principal = f"AWS:{aws.client('sts').get_caller_identity()['UserId']}"  # the caller, as S3's events name it
    asked = {"plan": {"file": file, "body": b64encode(body).decode(), "principal": principal}}
    # In one attempt: made again by the SDK, a dry run would run beside the first.
    client = aws.client("lambda", read_timeout=_READ_SECONDS, retries={"total_max_attempts": 1})
    response = client.invoke(FunctionName=function, Payload=json.dumps(asked).encode())
    document: dict[str, Any] = json.loads(response["Payload"].read())
    if document and "FunctionError" not in response:
        return document
    error = f"{document.get('errorType', 'error')}: {document.get('errorMessage', '')}"
    why = f"the function has failed ({error}); see: conductor-loop logs"
    older = "the stack's function makes no plans: deploy this version to it first"
    click.echo(common.printable(why if "FunctionError" in response else older), err=True)
    raise click.exceptions.Exit(common.NO_AWS)


def _compare(made: _Plan, place: str) -> None:
    """Look for what else is about the target and the name, and for the target's newest package."""
    target, name, package = made.found["target"], made.name, made.found.get("package")
    if made.found.get("busy"):
        made.remarks.append("an intent for the same target is processed right now: what is there will change")
    made.waiting, whole = intents.waiting(place, target)
    if others := [one for one in made.waiting if one != name]:
        made.remarks.append(f"{', '.join(others)}: for the same target, and not answered yet")
    if not whole:
        made.remarks.append("very many intents wait, and not all of them were looked at")
    standing = intents.standing(place, name)
    if standing.waiting is not None:
        there = f"{name} lies in the bucket already (version {standing.waiting})"
        made.remarks.append(f"{there}, and this one would take its place")
    elif standing.status:
        made.remarks.append(f"the name was used before ({standing.status['status']}): the newer file counts")
    if package and package["files"] is not None:
        files = {path: b64decode(body) for path, body in package["files"].items()}
        newest = _sorted(place, f"packages/{target}/")[:1]
        made.new = StoredPackage(package["name"], files)
        made.old = _read(place, *newest[0][2:]) if newest else None


def _document(made: _Plan) -> dict[str, Any]:
    found = made.found
    keys = ("target", "replicas", "applied", "busy", "priority", "delivery")
    return {
        "file": made.name,
        "verdict": made.verdict,
        **{key: found[key] for key in keys if key in found},
        "previous_replicas": made.previous,
        "notes": [*found.get("delivered", {}).get("notes", []), *made.remarks],
        "waiting": made.waiting,
        "error": found.get("refused") or found.get("failed"),
        "untried": found.get("untried"),
        "package": (found.get("package") or {}).get("name"),
        "previous_package": made.old.name if made.old else None,
        "changes": _changes(made.old, made.new) if made.old and made.new else {},
    }


def _print(made: _Plan, file: Path) -> None:
    words, colour = _VERDICTS[made.verdict]
    click.echo(f"{common.printable(made.name)}  {click.style(words, fg=colour, bold=True)}")
    for key, text in _facts(made):
        click.echo(f"  {key:11}  {common.printable(text)}")
    for remark in made.remarks:
        common.note("note     ", f" {common.printable(remark)}", "yellow")
    if made.new is None:
        return
    if made.old is None:
        click.echo(f"{made.new.name} would be the target's first package", err=True)
    else:
        _print_changes(made.old, made.new)
    click.echo(f"nothing was changed; send it with: conductor-loop submit {shlex.quote(str(file))} --wait", err=True)


def _facts(made: _Plan) -> Iterator[tuple[str, str]]:
    found, delivered = made.found, made.found.get("delivered", {})
    if error := found.get("refused") or found.get("failed"):
        yield "error", f"{error['code']} {error['error_code']}"
        again = "; it would be tried again" if error.get("retried") else ""
        yield from (("", one["message"]) for one in error.get("violations") or [{"message": error["message"] + again}])
    if made.verdict == "refused":
        return
    priority = found["priority"]
    yield "target", found["target"]
    before, wanted, applied = made.previous, found["replicas"], found["applied"] or {}
    other = f" (the cluster's; {applied['file']}, applied last, wanted {applied['replicas']})" if applied else ""
    as_they_are = " (as they are)" if before == wanted else ""
    differs = other if applied.get("replicas") != before else ""
    yield "replicas", f"{'unknown' if before is None else before} -> {wanted}{as_they_are}{differs}"
    yield "priority", priority["granted"] + (f" ({priority['note']})" if priority["note"] else "")
    yield "delivery", (delivered or found)["delivery"]
    if package := found.get("package"):
        yield "package", package["name"] + ("" if package["files"] is not None else " (too large to compare)")
    yield from (("note", note) for note in delivered.get("notes", []))
    if "untried" in found:
        yield "porch", found["untried"]
