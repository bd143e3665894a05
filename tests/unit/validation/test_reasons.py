"""What people write: 132 reasons in ten languages, each with the rules that it breaks in either mode."""

import json
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.validation import Rules, inspect
from conductor_loop.validation.rules import SecurityMode, ThreatLevel
from tests.unit.validation.intents import body

REASONS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data/reasons.json").read_text("utf-8"))


def test_there_are_132_of_them_in_ten_languages() -> None:
    assert len({one["reason"] for one in REASONS}) == 132
    assert len({one["language"] for one in REASONS}) == 10


@pytest.mark.parametrize("mode", SecurityMode)
@pytest.mark.parametrize("one", REASONS, ids=lambda one: f"{one['language']}-{one['reason']!a}")
def test_a_text_breaks_the_same_rules_as_a_reason_and_in_metadata(one: dict[str, Any], mode: SecurityMode) -> None:
    for fields in ({"reason": one["reason"]}, {"metadata": {"notes": [one["reason"]]}}):
        report = inspect(body(**fields), Rules(mode=mode))
        assert [violation.rule for violation in report.violations] == one[mode]


def test_what_only_strict_mode_refuses_is_no_threat() -> None:
    prose = [one["reason"] for one in REASONS if one["strict"] and not one["standard"]]
    assert len(prose) > len(REASONS) / 4
    assert {inspect(body(reason=text)).threat_level for text in prose} == {ThreatLevel.LOW}
