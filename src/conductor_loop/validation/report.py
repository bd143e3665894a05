"""The result of a validation, in the specification's shape, and how it adds up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_loop.errors import Cause, Violation
from conductor_loop.intent import Intent
from conductor_loop.validation.finding import Finding, ThreatLevel

MAX_VIOLATIONS = 100
"""Violations in a report: a hostile file must not make a huge status. A last one says how many more there are."""

CHECKS: Mapping[str, frozenset[str]] = {
    "require_utf8": frozenset({"require_utf8"}),
    "size_limits": frozenset(
        {
            "max_file_size",
            "max_field_length",
            "max_array_length",
            "max_nesting_depth",
            "max_values",
            "max_inspected_characters",
            "number_range",
        }
    ),
    "path_traversal": frozenset({"path_traversal", "max_depth"}),
    "command_injection": frozenset({"blocked_characters", "blocked_keywords"}),
    "block_null_bytes": frozenset({"block_null_bytes"}),
    "block_control_chars": frozenset({"block_control_chars"}),
    "normalize_unicode": frozenset({"hidden_characters", "combining_marks"}),
}
"""The specification's security checks, by its names, and the rules that each stands for."""


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
            "violations": [
                {"path": violation.path, "rule": violation.rule, "message": violation.message}
                for violation in self.violations
            ],
            "threat_level": self.threat_level.name,
        }


@dataclass(slots=True)
class Tally:
    """Adds up findings: keeps the first ones, counts the others. The first finding's stage is the cause."""

    kept: list[Finding] = field(default_factory=list)
    total: int = 0
    rules: set[str] = field(default_factory=set)
    threat_level: ThreatLevel = ThreatLevel.NONE
    cause: Cause | None = None

    def add(self, cause: Cause, findings: Iterable[Finding]) -> None:
        """Take in the findings of one stage; stages come in the specification's order."""
        for finding in findings:
            self.cause = self.cause or cause
            self.total += 1
            self.rules.add(finding.rule)
            self.threat_level = max(self.threat_level, finding.threat)
            if len(self.kept) < MAX_VIOLATIONS:
                self.kept.append(finding)

    def report(self, ran: Iterable[str] = CHECKS, intent: Intent | None = None) -> Report:
        """Sum up, after the security checks in ``ran``; ``intent`` is what a valid file holds."""
        checks = {check: check in set(ran) and not rules & self.rules for check, rules in CHECKS.items()}
        return Report(self.cause is None, checks, self._violations(), self.threat_level, self.cause, intent)

    def _violations(self) -> tuple[Violation, ...]:
        words = tuple(finding.violation() for finding in self.kept)
        if more := self.total - len(words):
            message = f"$ breaks and_more: {more:,} further violations are not listed; fix these first"
            return (*words, Violation("$", "and_more", message))
        return words
