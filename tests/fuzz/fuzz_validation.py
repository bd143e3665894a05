"""Fuzz the validation with atheris: ``make fuzz``, or ``make fuzz FUZZ_SECONDS=600``.

A crash is any exception but Rejected, an accepted intent that does not round-trip, or a report that is not safe to log.
"""

import json
import sys
from contextlib import suppress

import atheris  # type: ignore[import-untyped]  # lives in .local/fuzz

with atheris.instrument_imports():
    from conductor_loop.errors import Rejected, Violation
    from conductor_loop.validation import Rules, check_name, inspect, validate
    from conductor_loop.validation.rules import MAX_VIOLATIONS, SecurityMode

MODES = tuple(Rules(mode=mode) for mode in SecurityMode)


def fuzz_one_input(content: bytes) -> None:
    """Hold one input to what holds for every input."""
    for rules in MODES:
        report = inspect(content, rules)
        assert len(report.violations) <= MAX_VIOLATIONS + 1
        assert all(map(is_safe, report.violations))
        with suppress(Rejected):
            document = validate(content, rules).document
            assert validate(json.dumps(document).encode(), rules).document == document
    try:
        check_name(content.decode("utf-8", "surrogateescape"))
    except Rejected as error:
        assert all(map(is_safe, error.violations))  # noqa: PT017 - this is no pytest


def is_safe(violation: Violation) -> bool:
    """Whether a violation can be logged and printed."""
    return (violation.path + violation.message).isprintable() and len(violation.message) < 1_000


atheris.Setup(sys.argv, fuzz_one_input)
atheris.Fuzz()
