"""``conductor-loop plan``: what an intent would change, before it is sent."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from conductor_loop.aws import asking, operator, packages
from conductor_loop.cli import console, drafts
from conductor_loop.cli.common import FAILED, NO_AWS, WrongUsage, output_option, speaks_to_aws, stack_option
from conductor_loop.cli.differences import changes, print_changes

_MOST_BYTES = 4 * 1024**2  # of an intent: what Lambda takes has 6 MB, and it grows by a third on its way
_WORDS = {
    "applied": ("would be applied", "green"),
    "refused": ("would be refused", "red"),
    "failed": ("would fail", "red"),
    "untried": ("is valid; what porch would make of it is unknown", "yellow"),
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@stack_option
@output_option
@speaks_to_aws
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
    found = _Found(name, stack, body)
    if as_json:
        console.print_json(found.document)
    else:
        _print(found, file)
    raise click.exceptions.Exit(0 if found.verdict in {"applied", "untried"} else FAILED)


class _Found:
    """A plan, and what else is to be known of its name and its target."""

    def __init__(self, name: str, stack: str, body: bytes) -> None:
        outputs = operator.outputs(stack)
        try:
            self.plan = asking.plan(outputs["ConductorFunction"], name, body)
        except asking.Unanswered as error:
            click.echo(console.printable(str(error)), err=True)
            raise click.exceptions.Exit(NO_AWS) from None
        self.name, self.remarks = name, [*_of_target(self.plan)]
        self.verdict = next((one for one in ("refused", "failed", "untried") if one in self.plan), "applied")
        self.old: packages.Stored | None = None
        self.new: packages.Stored | None = None
        self.waiting: list[str] = []
        if self.verdict != "refused":
            self._look(outputs["HandoffBucket"])

    def _look(self, bucket: str) -> None:
        self.waiting, whole = asking.waiting(bucket, self.plan["target"])
        if others := [one for one in self.waiting if one != self.name]:
            self.remarks.append(f"{', '.join(others)}: for the same target, and not answered yet")
        if not whole:
            self.remarks.append("very many intents wait, and not all of them were looked at")
        self.remarks += _of_name(self.name, operator.standing(bucket, self.name))
        package = self.plan.get("package")
        if package and package["files"] is not None:
            files = {path: b64decode(body) for path, body in package["files"].items()}
            self.new = packages.Stored(package["name"], "", files)
            self.old = packages.Shelf(bucket).newest(self.plan["target"])

    @property
    def previous(self) -> int | None:
        """The replicas before: the cluster's, where it was asked, else those of the last applied intent."""
        known = self.plan.get("delivered", {}).get("previous_replicas")
        applied = self.plan.get("applied") or {}
        return applied.get("replicas") if known is None else known

    @property
    def document(self) -> dict[str, Any]:
        """Tell a program."""
        plan, package = self.plan, self.plan.get("package") or {}
        error = plan.get("refused") or plan.get("failed")
        kept = {
            key: plan[key] for key in ("target", "replicas", "applied", "busy", "priority", "delivery") if key in plan
        }
        return {
            "file": self.name,
            "verdict": self.verdict,
            **kept,
            "previous_replicas": self.previous,
            "notes": [*plan.get("delivered", {}).get("notes", []), *self.remarks],
            "waiting": self.waiting,
            "error": error,
            "untried": plan.get("untried"),
            "package": package.get("name"),
            "previous_package": self.old.name if self.old else None,
            "changes": changes(self.old, self.new) if self.old and self.new else {},
        }


def _of_target(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan.get("busy"):
        yield "an intent for the same target is processed right now: what is there will change"


def _of_name(name: str, found: Any) -> Iterator[str]:  # noqa: ANN401 - a Standing
    if found.waiting is not None:
        yield f"{name} lies in the bucket already (version {found.waiting}), and this one would take its place"
    elif found.document:
        yield f"the name was used before ({found.document['status']}): the newer file counts"


def _print(found: _Found, file: Path) -> None:
    words, colour = _WORDS[found.verdict]
    click.echo(f"{console.printable(found.name)}  {click.style(words, fg=colour, bold=True)}")
    for key, text in _lines(found):
        click.echo(f"  {key:11}  {console.printable(text)}")
    for remark in found.remarks:
        console.note("note     ", f" {console.printable(remark)}", "yellow")
    if found.new is None:
        return
    if found.old is None:
        click.echo(f"{found.new.name} would be the target's first package", err=True)
    else:
        print_changes(found.old, found.new)
    click.echo(f"nothing was changed; send it with: conductor-loop submit {file} --wait", err=True)


def _lines(found: _Found) -> Iterator[tuple[str, str]]:
    plan = found.plan
    if error := plan.get("refused") or plan.get("failed"):
        again = "; it would be tried again" if error.get("retried") else ""
        yield "error", f"{error['code']} {error['error_code']}"
        yield from (("", text) for text in _said(error, again))
    if found.verdict == "refused":
        return
    yield "target", plan["target"]
    yield "replicas", _change(found)
    priority = plan["priority"]
    yield "priority", priority["granted"] + (f" ({priority['note']})" if priority["note"] else "")
    yield "delivery", plan.get("delivered", plan)["delivery"]
    if package := plan.get("package"):
        yield "package", package["name"] + ("" if package["files"] is not None else " (too large to compare)")
    yield from (("note", note) for note in plan.get("delivered", {}).get("notes", []))
    if "untried" in plan:
        yield "porch", plan["untried"]


def _said(error: Mapping[str, Any], again: str) -> list[str]:
    return [one["message"] for one in error.get("violations", [])] or [error["message"] + again]


def _change(found: _Found) -> str:
    wanted, applied = found.plan["replicas"], found.plan["applied"]
    text = f"{'unknown' if found.previous is None else found.previous} -> {wanted}"
    text += " (as they are)" if found.previous == wanted else ""
    if applied and applied["replicas"] != found.previous:
        text += f" (the cluster's; {applied['file']}, applied last, wanted {applied['replicas']})"
    return text
