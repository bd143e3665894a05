"""What porch did with its package besides writing it, as it says itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
DELIVERIES: Final = (PACKAGE, CHECK, SCALE, REPOSITORY)
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
    """How far a package got. A porch that says nothing of it has written a package."""

    delivery: str = PACKAGE
    previous_replicas: int | None = None  # before this intent; None: unknown
    observed_replicas: int | None = None  # pods that there were at the end; None: nobody looked
    revision: Revision | None = None
    notes: tuple[str, ...] = ()  # worth knowing, no failure

    def is_scaled_to(self, replicas: int) -> bool:
        """Whether the cluster was seen to have that many."""
        return self.delivery == SCALE and self.observed_replicas == replicas


def delivered_direct(stdout: str, stderr: str) -> Delivered:
    """Read what porch printed for people."""
    delivery, revision = _DELIVERY.search(stdout), _REVISION.search(stdout)
    return Delivered(
        delivery[1] if delivery else PACKAGE,
        _number(_UPDATED.search(stdout)),
        _number(_OBSERVED.search(stdout)),
        _revision(*revision.groups()) if revision else None,
        _notes(stderr),
    )


def delivered_structured(report: Mapping[str, Any], stderr: str) -> Delivered:
    """Read the document that porch printed; what is not of the contract's form is left out."""
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
