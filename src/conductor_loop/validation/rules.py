"""The rules of validation with their limits, and what breaks them, in words that are safe to log and to print."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any

from conductor_loop.errors import Cause, Violation
from conductor_loop.intent import Intent

type Path = tuple[str | int, ...]

MAX_VIOLATIONS = 100
"""Violations in a report: a hostile file must not make a huge status. A last one says how many more there are."""

CHECKS: Mapping[str, frozenset[str]] = {
    "require_utf8": frozenset({"require_utf8"}),
    "size_limits": frozenset(
        {"max_file_size", "max_field_length", "max_array_length", "max_nesting_depth"}
        | {"max_values", "max_inspected_characters", "number_range"}
    ),
    "path_traversal": frozenset({"path_traversal", "max_depth"}),
    "command_injection": frozenset({"blocked_characters", "blocked_keywords"}),
    "block_null_bytes": frozenset({"block_null_bytes"}),
    "block_control_chars": frozenset({"block_control_chars"}),
    "normalize_unicode": frozenset({"hidden_characters", "combining_marks"}),
}
"""The specification's security checks, by its names, and the rules that each stands for."""

_SHOWN = 48  # characters of an offending value in a message: enough to recognise it
_SHOWN_PATH, _SHOWN_MESSAGE = 160, 800  # likewise
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")


class SecurityMode(StrEnum):
    """How far the list of blocked characters, keywords and paths reaches."""

    STRICT = "strict"  # every string of the intent, prose included: the specification as written
    STANDARD = "standard"  # what may reach a path or an argument list: names, ids and keys; prose may use the list


SYSTEM_NAMESPACES = (
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "argocd",
    "cert-manager",
    "config-management-system",
    "flux-system",
    "gatekeeper-system",
    "istio-system",
    "nephio-system",
    "openshift-*",
    "porch-fn-system",
    "porch-system",
)
"""Namespaces whose workloads run the cluster or deliver to it; scaling them is a way around every other permission.

``kube-*`` is refused whatever a configuration says; an entry that ends in ``*`` is a prefix.
"""


def _limit(default: int, least: int, most: int) -> Any:  # noqa: ANN401 - a field
    return field(default=default, metadata={"bounds": (least, most)})


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one validation (specification, "Security Validation" and "Business Logic Validation").

    Raises ValueError, with every problem in one message, for a limit outside ``BOUNDS``.
    """

    max_file_bytes: int = _limit(10 * 1024 * 1024, 1, 64 * 1024 * 1024)  # "10MB", in the larger of its two readings
    max_field_length: int = _limit(1024, 1, 65_536)  # code points in one string, key or value
    max_array_length: int = _limit(100, 1, 100_000)  # elements in one array
    max_nesting_depth: int = _limit(10, 1, 100)  # levels of objects and arrays, the document itself being the first
    # Ours: what an intent can need, and what ten of the worst files of 10 MB may cost an invocation.
    max_values: int = _limit(12_000, 1, 1_000_000)  # in the whole document: as many of the longest strings fill a file
    max_inspected_characters: int = _limit(65_536, 1_024, 10_000_000)  # of all strings that are more than plain text
    max_path_depth: int = _limit(3, 1, 100)  # names in one path, such as a/b/c
    max_replicas: int = _limit(100, 0, 1_000)  # 1000 is the specification's "strict limit"
    max_timeout_seconds: int = _limit(86_400, 1, 604_800)  # a day; the runtime clamps it to what it can give
    mode: SecurityMode = SecurityMode.STRICT
    system_namespaces: tuple[str, ...] = SYSTEM_NAMESPACES
    schema: str | None = None  # text of a JSON Schema (draft-07) to use instead of the packaged intent.schema.json

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}, but must be from {low} to {high}"
            for name, (low, high) in BOUNDS.items()
            if not low <= getattr(self, name) <= high
        ]
        if problems:
            raise ValueError("; ".join(problems))


BOUNDS = {one.name: one.metadata["bounds"] for one in fields(Rules) if "bounds" in one.metadata}
"""The smallest and the largest value of each numeric limit."""
DEFAULT_RULES = Rules()


class ThreatLevel(IntEnum):
    """How much a violation looks like an attack; a report carries the highest of its violations."""

    NONE = 0  # a mistake: grammar, schema, a business limit
    LOW = 1  # what honest prose or data may hold: a listed character in a reason, a field that is a little too long
    MEDIUM = 2  # what a careless sender may do and an attacker would: exhaust memory, reach for a system namespace
    HIGH = 3  # what has no honest use here: path traversal, control or hidden characters, commands in a name


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: where, which, what is wrong and what to do; put into words only when it is reported."""

    path: Path
    rule: str
    problem: str
    remedy: str
    threat: ThreatLevel = ThreatLevel.NONE

    def violation(self) -> Violation:
        """Word the finding for a report, in printable characters only and within a bounded length."""
        path = shown_path(self.path)
        message = f"{path} breaks {self.rule}: {self.problem}; {self.remedy}"
        return Violation(path, self.rule, _shortened(message, _SHOWN_MESSAGE))


@dataclass(frozen=True, slots=True)
class Report:
    """The specification's ``ValidationResult``: everything that a file breaks, at once.

    ``security_checks`` says of each check of ``CHECKS`` whether it ran and found nothing. ``cause`` and ``intent`` are
    the two ways it can end: exactly one of them is None.
    """

    valid: bool
    security_checks: Mapping[str, bool]
    violations: tuple[Violation, ...]
    threat_level: ThreatLevel
    cause: Cause | None = None
    intent: Intent | None = None

    def as_json(self) -> dict[str, Any]:
        """Write the report as a JSON object; ``error_code`` and ``code`` are those of a status (``error_details``)."""
        return {
            "valid": self.valid,
            "error_code": self.cause,
            "code": self.cause.code if self.cause else None,
            "security_checks": dict(self.security_checks),
            "violations": [{"path": one.path, "rule": one.rule, "message": one.message} for one in self.violations],
            "threat_level": self.threat_level.name,
        }


def summarize(
    stages: Iterable[tuple[Cause, Iterable[Finding]]], ran: Collection[str] = CHECKS, intent: Intent | None = None
) -> Report:
    """Add up what each stage found, in the specification's order; ``ran`` are the checks of ``CHECKS`` that were made.

    The first finding's stage is the cause; if there is none, the file holds ``intent``.
    """
    found = [(cause, finding) for cause, findings in stages for finding in findings]
    broken = {finding.rule for _, finding in found}
    violations = tuple(finding.violation() for _, finding in found[:MAX_VIOLATIONS])
    if more := len(found) - len(violations):
        message = f"$ breaks and_more: {more:,} further violations are not listed; fix these first"
        violations = (*violations, Violation("$", "and_more", message))
    return Report(
        valid=not found,
        security_checks={check: check in ran and not rules & broken for check, rules in CHECKS.items()},
        violations=violations,
        threat_level=max((finding.threat for _, finding in found), default=ThreatLevel.NONE),
        cause=found[0][0] if found else None,
        intent=None if found else intent,
    )


def shown(value: Any) -> str:  # noqa: ANN401 - a value of a JSON document may be anything
    """Word an offending value: shortened, quoted, and every character that does not print as an escape."""
    match value:
        case str():  # as JSON, but an umlaut stays readable
            few, dots = value[:_SHOWN], "..." if len(value) > _SHOWN else ""
            chars = (char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1] for char in few)
            return f'"{"".join(chars)}{dots}"'
        case dict():
            return f"an object of {len(value)}"
        case list():
            return f"an array of {len(value)}"
    return _shortened(json.dumps(value), _SHOWN)


def shown_path(path: Path) -> str:
    """Word a JSON path such as ``$.metadata.alert_id`` or ``$.metadata["two words"][0]``."""
    plain = {step for step in path if isinstance(step, str) and _PLAIN_KEY.fullmatch(step)}
    text = "$" + "".join(f".{step}" if step in plain else f"[{shown(step)}]" for step in path)
    return text if len(text) <= _SHOWN_PATH else f"{text[: _SHOWN_PATH // 2]}...{text[-_SHOWN_PATH // 2 :]}"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "..."
