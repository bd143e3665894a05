"""What porch prints: the package's name or the JSON document, and how far the package was delivered. No I/O."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from conductor_loop.errors import Cause
from conductor_loop.porch.package import Unusable, is_name

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
DELIVERIES: Final = (PACKAGE, CHECK, SCALE, REPOSITORY)
_LINES = {  # of direct mode, by what they are in the document of structured mode
    "package_name": re.compile(r"^Package successfully created:(.*)$", re.MULTILINE),
    "delivery": re.compile(rf"^Delivery: ({'|'.join(DELIVERIES)})$", re.MULTILINE),
    "previous_replicas": re.compile(r"^Replicas (?:updated|wanted): (\d{1,10}) -> \d+$", re.MULTILINE),
    "observed_replicas": re.compile(r"^Replicas observed: (\d{1,10})$", re.MULTILINE),
}
_REVISION = re.compile(r"^Package revision: (?P<namespace>[^/\s]+)/(?P<name>\S+) \((?P<lifecycle>\w+)\)$", re.MULTILINE)
_NOTE = re.compile(r"^Note: (.+)$", re.MULTILINE)
_MOST_NOTES, _NOTE_LENGTH = 5, 300
_NAME_LENGTH = 253


@dataclass(frozen=True, slots=True)
class Revision:
    """A PackageRevision of Porch."""

    namespace: str
    name: str
    lifecycle: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a package was delivered. Where porch reports nothing of that, it has written a package."""

    delivery: str = PACKAGE
    previous_replicas: int | None = None  # before this intent; None: unknown
    observed_replicas: int | None = None  # pods that there were at the end; None: not counted
    revision: Revision | None = None
    notes: tuple[str, ...] = ()  # worth knowing, no failure

    def is_scaled_to(self, replicas: int) -> bool:
        """Whether the cluster had that many."""
        return self.delivery == SCALE and self.observed_replicas == replicas


def parse_text(stdout: str) -> dict[str, Any]:
    """Return what the text of direct mode says as the document of structured mode has it."""
    found = {name: line[1].strip() for name, pattern in _LINES.items() if (line := pattern.search(stdout))}
    replicas = {name: int(found[name]) for name in ("previous_replicas", "observed_replicas") if name in found}
    revision = _REVISION.search(stdout)
    return {
        "package_name": None,
        **found,
        "deployment": replicas,
        "package_revision": revision and revision.groupdict(),
    }


def parse_document(stdout: bytes, intent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document that a successful porch prints in structured mode.

    Raises `Unusable` (PORCH_OUTPUT_INVALID) unless it is the specification's document about this intent.
    """
    try:
        report = json.loads(stdout.decode())
    except (ValueError, RecursionError) as error:
        raise _invalid("is not JSON") from error
    if not isinstance(report, dict) or report.get("status") != "success":
        raise _invalid('is not an object whose "status" is "success"')
    if not is_name(report.get("package_name")):
        raise _invalid('has no usable "package_name"')
    deployment = report.get("deployment")
    wanted = {"namespace": intent["namespace"], "name": intent["target"], "new_replicas": intent["replicas"]}
    given = {key: deployment.get(key) for key in wanted} if isinstance(deployment, dict) else {}
    if given != wanted or isinstance(given["new_replicas"], bool):  # True equals 1 in Python, but not in JSON
        raise _invalid('has a "deployment" that is not the one of the intent')
    if report.get("delivery", PACKAGE) not in DELIVERIES:
        raise _invalid(f'has a "delivery" that is none of {", ".join(DELIVERIES)}')
    return report


def _invalid(what: str) -> Unusable:
    return Unusable(Cause.PORCH_OUTPUT_INVALID, f"porch ended well, but its structured output {what}")


def delivered(report: Mapping[str, Any], stderr: str) -> Delivered:
    """Read how far a document says that the package was delivered; what is not of the contract's form is left out."""
    delivery, deployment, revision = (report.get(name) for name in ("delivery", "deployment", "package_revision"))
    replicas = deployment if isinstance(deployment, dict) else {}
    names = [revision.get(key) for key in ("namespace", "name", "lifecycle")] if isinstance(revision, dict) else []
    texts = [name[:_NAME_LENGTH] for name in names if isinstance(name, str)]
    return Delivered(
        delivery if delivery in DELIVERIES else PACKAGE,
        _count(replicas.get("previous_replicas")),
        _count(replicas.get("observed_replicas")),
        Revision(*texts) if len(texts) == len(fields(Revision)) else None,
        tuple(note.strip()[:_NOTE_LENGTH] for note in _NOTE.findall(stderr)[:_MOST_NOTES]),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
