"""What porch prints: the package's name or the JSON document, and how far the package was delivered. No I/O."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from conductor_loop.errors import Cause
from conductor_loop.porch.package import Unusable, is_name

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
DELIVERIES: Final = (PACKAGE, CHECK, SCALE, REPOSITORY)
_CREATED = re.compile(r"^Package successfully created:(.*)$", re.MULTILINE)
_DELIVERY = re.compile(rf"^Delivery: ({'|'.join(DELIVERIES)})$", re.MULTILINE)
_UPDATED = re.compile(r"^Replicas (?:updated|wanted): (\d{1,10}) -> \d+$", re.MULTILINE)
_OBSERVED = re.compile(r"^Replicas observed: (\d{1,10})$", re.MULTILINE)
_REVISION = re.compile(r"^Package revision: ([^/\s]+)/(\S+) \((\w+)\)$", re.MULTILINE)
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


def package_name(stdout: str) -> str | None:
    """Return the name that one line of the text of direct mode gives to the package."""
    found = _CREATED.search(stdout)
    return found[1].strip() if found else None


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


def delivered_direct(stdout: str, stderr: str) -> Delivered:
    """Read how far the text of direct mode says that the package was delivered."""
    delivery, revision = _DELIVERY.search(stdout), _REVISION.search(stdout)
    return Delivered(
        delivery[1] if delivery else PACKAGE,
        _number(_UPDATED.search(stdout)),
        _number(_OBSERVED.search(stdout)),
        _revision(*revision.groups()) if revision else None,
        _notes(stderr),
    )


def delivered_structured(report: Mapping[str, Any], stderr: str) -> Delivered:
    """Read the same from a document; what is not of the contract's form is left out."""
    deployment = report.get("deployment")
    deployment = deployment if isinstance(deployment, dict) else {}
    delivery, revision = report.get("delivery"), report.get("package_revision")
    fields = revision if isinstance(revision, dict) else {}
    return Delivered(
        delivery if delivery in DELIVERIES else PACKAGE,
        _count(deployment.get("previous_replicas")),
        _count(deployment.get("observed_replicas")),
        _revision(*(fields.get(name) for name in ("namespace", "name", "lifecycle"))),
        _notes(stderr),
    )


def _number(found: re.Match[str] | None) -> int | None:
    return int(found[1]) if found else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _revision(namespace: object, name: object, lifecycle: object) -> Revision | None:
    if isinstance(namespace, str) and isinstance(name, str) and isinstance(lifecycle, str):
        return Revision(namespace[:_NAME_LENGTH], name[:_NAME_LENGTH], lifecycle[:_NAME_LENGTH])
    return None


def _notes(stderr: str) -> tuple[str, ...]:
    return tuple(note.strip()[:_NOTE_LENGTH] for note in _NOTE.findall(stderr)[:_MOST_NOTES])
