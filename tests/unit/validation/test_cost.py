"""What one file may cost is bounded: by what is looked at, since a clock would make the test flaky."""

import json
import tracemalloc

import pytest

from bench.validation import HOSTILE, MEGABYTE
from conductor_loop.errors import Cause
from conductor_loop.validation import DEFAULT_RULES, Rules, inspect
from tests.unit.validation.intents import STANDARD, an_intent, body
from tests.unit.validation.test_properties import python_steps

MOST = DEFAULT_RULES.max_inspected_characters
SHORT = 32  # characters that a shorter string counts as


def of_ten_megabytes(text: str) -> bytes:
    """An intent that breaks no rule but in its length."""
    groups = {f"g{number}": [text] * 100 for number in range(10 * MEGABYTE // (100 * (len(text.encode()) + 4)) - 1)}
    return json.dumps(an_intent(metadata=groups), ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["\u00e9" * 1000, "%25" * 330, "%" + "25" * 500, "a/b " * 250, "alarm " * 160])
def test_an_intent_with_more_than_can_be_looked_at_is_refused_with_field_rule_and_next_step(text: str) -> None:
    for rules in (Rules(), STANDARD):
        report = inspect(of_ten_megabytes(text), rules)
        (violation,) = report.violations
        assert report.cause is Cause.INVALID_FORMAT
        assert violation.path.startswith("$.metadata.g")
        assert violation.message.startswith(f"{violation.path} breaks max_inspected_characters: ")
        assert f"{MOST:,} characters" in violation.message
        assert "shorten or leave out" in violation.message


def test_plain_text_is_not_what_is_looked_at() -> None:
    assert inspect(of_ten_megabytes("a scheduled, honest wish: " * 38)).valid


def test_an_intent_may_have_as_many_characters_as_are_looked_at_and_no_more() -> None:
    strings = MOST // 1024
    assert inspect(body(metadata={"notes": ["\u00e9" * 1024] * strings})).valid
    report = inspect(body(reason="\u00e9", metadata={"notes": ["\u00e9" * 1024] * strings}))
    assert [violation.path for violation in report.violations] == [f"$.metadata.notes[{strings - 1}]"]


def test_many_short_strings_count_as_more_than_their_letters() -> None:
    def keys(number: int) -> bytes:
        return body(metadata={f"{one}\u00e9": 1 for one in range(number)})

    assert inspect(keys(MOST // SHORT)).valid
    assert [violation.rule for violation in inspect(keys(MOST // SHORT + 1)).violations] == ["max_inspected_characters"]


@pytest.mark.parametrize(("text", "refused"), [("100%", False), ("%2541", False), ("%252541", True)])
def test_percent_encoding_is_undone_twice_and_refused_beyond(text: str, refused: bool) -> None:
    report = inspect(body(reason=text))
    assert {violation.rule for violation in report.violations} == ({"path_traversal"} if refused else set())
    assert all("percent-encoded more than 2 times" in violation.message for violation in report.violations)


def test_an_intent_needs_no_more_values_than_fill_the_largest_file() -> None:
    most = DEFAULT_RULES.max_values
    assert most * DEFAULT_RULES.max_field_length > DEFAULT_RULES.max_file_bytes
    assert inspect(body(metadata={str(one): 1 for one in range(most - 10)})).valid
    assert [one.rule for one in inspect(body(metadata={str(one): 1 for one in range(most)})).violations] == [
        "max_values"
    ]


WORST = [
    "empty arrays",
    "fields, as many as are allowed",
    "plain fields, as many as are allowed",
    "fields of NaN",
    "ligatures of 18 letters",
]


@pytest.mark.parametrize("name", ["short attacks", *(pytest.param(one, marks=pytest.mark.long) for one in WORST)])
def test_the_worst_files_of_ten_megabytes_take_few_steps(name: str) -> None:
    inspect(body(reason="\u200b", replicas="3"))  # loads what is loaded once
    assert python_steps(HOSTILE[name](10 * MEGABYTE)) < 250 * DEFAULT_RULES.max_values


@pytest.mark.long  # ten megabytes, each allocation traced
@pytest.mark.parametrize("name", ["plain fields, then one emoji", "backslashes in fields", "fields of emoji"])
def test_the_worst_files_of_ten_megabytes_take_little_memory(name: str) -> None:
    content = HOSTILE[name](10 * MEGABYTE)
    tracemalloc.start()
    try:
        assert not inspect(content).valid
        assert tracemalloc.get_traced_memory()[1] < 12 * len(content)
    finally:
        tracemalloc.stop()
