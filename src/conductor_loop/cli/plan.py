"""``conductor-loop plan``: what an intent would change, before it is sent."""

import json
import shlex
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from conductor_loop.cli import aws, bucket, console, drafts
from conductor_loop.cli.common import FAILED, NO_AWS, WrongUsage, stack_command
from conductor_loop.cli.packages import Packages, Stored, changes, print_changes

_MOST_BYTES = 4 * 1024**2  # of an intent: what Lambda takes has 6 MB, and it grows by a third on its way
_READ_SECONDS = 900  # a dry run may take as long as an invocation
_VERDICTS = {
    "applied": ("would be applied", "green"),
    "refused": ("would be refused", "red"),
    "failed": ("would fail", "red"),
    "untried": ("is valid; what porch would make of it is unknown", "yellow"),
}


@dataclass(slots=True)
class _Plan:
    """What the function says of an intent, and what else is known of its name and its target."""

    name: str
    found: Mapping[str, Any]  # as ``planning.plan`` gives it
    remarks: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # files for the same target
    old: Stored | None = None  # the target's newest package
    new: Stored | None = None

    @property
    def verdict(self) -> str:
        """One of ``_VERDICTS``."""
        return next((one for one in ("refused", "failed", "untried") if one in self.found), "applied")

    @property
    def previous(self) -> int | None:
        """The replicas before: the cluster's, where it was asked, else those of the last applied intent."""
        applied, known = self.found.get("applied") or {}, self.found.get("delivered", {}).get("previous_replicas")
        return applied.get("replicas") if known is None else known


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@stack_command
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

    \b
    Exit codes:
      0  it would be applied, whether or not that changes anything
      1  it would be refused, or fail
      2  wrong usage: a file that cannot be read, no such stack
      4  AWS refuses or does not answer
    """  # noqa: D301 - click wants the control character
    name, body = next(iter(drafts.read([file]).items()))
    if len(body) > _MOST_BYTES:
        raise WrongUsage(f"{file} is too large for a plan: it has more than {_MOST_BYTES} bytes")
    outputs = aws.outputs(stack)
    made = _Plan(name, _invoke(outputs["ConductorFunction"], name, body))
    if made.verdict != "refused":
        _compare(made, outputs["HandoffBucket"])
    if as_json:
        console.print_json(_document(made))
    else:
        _print(made, file)
    raise click.exceptions.Exit(FAILED if made.verdict in {"refused", "failed"} else 0)


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
    click.echo(console.printable(why if "FunctionError" in response else older), err=True)
    raise click.exceptions.Exit(NO_AWS)


def _compare(made: _Plan, place: str) -> None:
    """Look for what else is about the target and the name, and for the target's newest package."""
    target, name, package = made.found["target"], made.name, made.found.get("package")
    if made.found.get("busy"):
        made.remarks.append("an intent for the same target is processed right now: what is there will change")
    made.waiting, whole = bucket.waiting(place, target)
    if others := [one for one in made.waiting if one != name]:
        made.remarks.append(f"{', '.join(others)}: for the same target, and not answered yet")
    if not whole:
        made.remarks.append("very many intents wait, and not all of them were looked at")
    standing = bucket.standing(place, name)
    if standing.waiting is not None:
        there = f"{name} lies in the bucket already (version {standing.waiting})"
        made.remarks.append(f"{there}, and this one would take its place")
    elif standing.document:
        made.remarks.append(f"the name was used before ({standing.document['status']}): the newer file counts")
    if package and package["files"] is not None:
        files = {path: b64decode(body) for path, body in package["files"].items()}
        made.new, made.old = Stored(package["name"], "", files), Packages(place).newest(target)


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
        "changes": changes(made.old, made.new) if made.old and made.new else {},
    }


def _print(made: _Plan, file: Path) -> None:
    words, colour = _VERDICTS[made.verdict]
    click.echo(f"{console.printable(made.name)}  {click.style(words, fg=colour, bold=True)}")
    for key, text in _facts(made):
        click.echo(f"  {key:11}  {console.printable(text)}")
    for remark in made.remarks:
        console.note("note     ", f" {console.printable(remark)}", "yellow")
    if made.new is None:
        return
    if made.old is None:
        click.echo(f"{made.new.name} would be the target's first package", err=True)
    else:
        print_changes(made.old, made.new)
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
    yield "replicas", _change(made.previous, found["replicas"], found["applied"])
    yield "priority", priority["granted"] + (f" ({priority['note']})" if priority["note"] else "")
    yield "delivery", (delivered or found)["delivery"]
    if package := found.get("package"):
        yield "package", package["name"] + ("" if package["files"] is not None else " (too large to compare)")
    yield from (("note", note) for note in delivered.get("notes", []))
    if "untried" in found:
        yield "porch", found["untried"]


def _change(previous: int | None, wanted: int, applied: Mapping[str, Any] | None) -> str:
    text = f"{'unknown' if previous is None else previous} -> {wanted}"
    text += " (as they are)" if previous == wanted else ""
    if applied and applied["replicas"] != previous:
        text += f" (the cluster's; {applied['file']}, applied last, wanted {applied['replicas']})"
    return text
