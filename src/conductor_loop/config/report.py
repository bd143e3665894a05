"""What `--validate-config` prints (specification, "Configuration Validation")."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conductor_loop.config.schema import InvalidConfig, get, leaves, parse
from conductor_loop.config.sources import Effective, effective

type Probe = Callable[[], str]
"""Looks at one thing of a stack; what it found, in a few words. Raises OSError, saying what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What can be looked at where a stack is given."""

    bucket: Probe
    porch: Probe
    workers: Probe
    state: Probe  # how everything but log lines is encrypted
    logs: Probe


@dataclass(frozen=True, slots=True)
class Report:
    """Whether a configuration is good, and a line for each thing that was looked at."""

    passed: bool
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as the specification does."""
        return "\n".join((f"Configuration validation: {'PASSED' if self.passed else 'FAILED'}", *self.lines))


def inspect(text: str, environment: Mapping[str, str], probes: Probes | None) -> Report:
    """Look at a document: by itself, and with ``probes`` at the stack that it is meant for."""
    try:
        document = parse(text)
        found = effective(document, environment)
    except InvalidConfig as error:
        return Report(passed=False, lines=tuple(f"- {problem}" for problem in error.problems))
    checks = [_checked(label, found, key, probe) for label, key, probe in _checks(probes)]
    lines = [line for _, line in checks]
    return Report(all(good for good, _ in checks), (*lines, *_without_effect(document)))


def _checks(probes: Probes | None) -> Iterator[tuple[str, str, Probe]]:
    unchecked = _said("not checked: name a stack with --stack")
    yield "Handoff directory", "handoff_dir", probes.bucket if probes else unchecked
    yield "Porch path", "porch_path", probes.porch if probes else unchecked
    yield "Output directory", "out_dir", probes.bucket if probes else unchecked
    yield "Log level", "log_level", _said("valid")
    yield "Workers", "max_workers", probes.workers if probes else _said("within limits")
    if probes:
        yield "State encryption", "security.encryption.state_encryption", probes.state
        yield "Log encryption", "security.encryption.log_encryption", probes.logs


def _said(text: str) -> Probe:
    return lambda: text


def _checked(label: str, found: Effective, key: str, probe: Probe) -> tuple[bool, str]:
    value = get(found.values, tuple(key.split(".")))
    shown = value if isinstance(value, str) else json.dumps(value)
    try:
        return True, f"- {label}: {shown} ({probe()})"
    except OSError as error:
        if value is False:  # it was not asked for
            return True, f"- {label}: {shown} ({error})"
        return False, f"- {label}: {shown} (FAILED: {error})"


def _without_effect(document: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Name every key of the document that something else governs here."""
    named = [leaf for leaf in leaves() if leaf.governed_by and get(document, leaf.path) is not None]
    if named:
        yield "Without effect on Lambda, and what governs it there:"
    yield from (f"- {leaf.dotted}: {leaf.governed_by}" for leaf in named)
