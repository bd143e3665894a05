"""No regular expression of the validation can take quadratic time.

Counting calls, as test_properties does, sees nothing of what happens inside one call of ``re``, and a clock would make
a flaky test. So the patterns themselves are held to a form in which backtracking stays linear.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]  # the only reader of patterns that there is
from typing import Any

import pytest

from conductor_loop import validation
from conductor_loop.validation.schema import packaged_schema

MANY = 100  # repetitions; what is bounded below that cannot cost much
BACKTRACKING = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


def calls(module: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attr)) if attr != "escape":
                yield node


def literal(argument: ast.expr) -> Any:
    """The pattern as it is written; its one number, if it has one, is large."""
    match argument:
        case ast.Constant(value=pattern):
            return pattern
        case ast.BinOp(left=ast.Constant(value=str() | bytes() as pattern), op=ast.Mod()):
            return pattern % 10_000
    return None  # a schema's own pattern, which is below


SOURCES = sorted(Path(validation.__file__).parent.glob("*.py"))
WRITTEN = [pattern for module in SOURCES for call in calls(module) if (pattern := literal(call.args[0]))]
PATTERNS = [*WRITTEN, *(one["pattern"] for one in packaged_schema()["properties"].values() if "pattern" in one)]


def loops(parsed: Any) -> int:
    """How many repetitions, one after the other or one inside the other, can give back what they took."""
    number = 0
    for operator, argument in parsed:
        if operator is _constants.BRANCH:
            number += max(map(loops, argument[1]))
        elif operator in BACKTRACKING:
            least, most, repeated = argument
            number += loops(repeated) * (1 if most == 1 else 2) + (most > MANY and most != least)
        elif operator is _constants.SUBPATTERN:
            number += loops(argument[-1])
        elif operator in (_constants.ASSERT, _constants.ASSERT_NOT):
            number += loops(argument[1])
    return number


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_has_one_loop_that_backtracks_at_most(pattern: str | bytes) -> None:
    assert loops(_parser.parse(pattern)) <= 1


def starts_with_a_loop_that_can_fail(pattern: str | bytes) -> bool:
    """Whether a search tries a loop anew at every character, and may walk to the end each time."""
    parsed = list(_parser.parse(pattern))
    return len(parsed) > 1 and loops(parsed[:1]) > 0


def test_the_one_pattern_that_starts_with_a_loop_is_matched_at_one_place_only() -> None:
    assert list(filter(starts_with_a_loop_that_can_fail, PATTERNS)) == [r"([0-9]+)([smh])"]
    uses = [line for module in SOURCES for line in module.read_text().splitlines() if "_TIMEOUT" in line]
    assert all("re.compile" in line or ".fullmatch(" in line for line in uses)


@pytest.mark.parametrize("pattern", [r"0*([0-9]+)([smh])", r"(a+)+b", r"a*?a*b", r"(?:a*|b)*"])
def test_a_quadratic_pattern_is_noticed(pattern: str) -> None:
    assert loops(_parser.parse(pattern)) > 1


def test_every_pattern_is_looked_at() -> None:
    assert len(WRITTEN) >= 10
    assert all(re.compile(pattern) for pattern in PATTERNS)
