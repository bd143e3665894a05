"""What holds for every input, honest or hostile."""

import json
import sys
import unicodedata
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from conductor_loop.errors import Rejected
from conductor_loop.validation import Rules, inspect, validate
from conductor_loop.validation.rules import MAX_VIOLATIONS, SecurityMode
from conductor_loop.validation.schema import packaged_schema
from tests.unit.validation.intents import an_intent

SCHEMA = Draft7Validator(packaged_schema())
MODES = st.sampled_from([Rules(mode=mode) for mode in SecurityMode])
TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("aAé\u0301 /.%25e;\n\u202e", max_size=40)
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none()
VALUES = st.recursive(
    NUMBERS | TEXT,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXT, parts, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(["web", "a-1", "shop", "low", "critical", "user", "30s", "1h", "scaling", "3"])
FIELDS = st.sampled_from(sorted(packaged_schema()["properties"]))
INTENTS = st.builds(
    lambda changed, reason, metadata: an_intent(reason=reason, metadata=metadata) | changed,
    st.dictionaries(FIELDS, VALUES | WORDS | st.integers(0, 120).map(float), max_size=2),
    TEXT,
    st.dictionaries(TEXT, VALUES, max_size=3),
)
WISHES = st.text(st.sampled_from("ab Zé\u0301ß扩\u0323\u212b👍.,:-_'\"\\\\/%<>=+*#@!?0"), max_size=30)
HONEST = st.builds(
    lambda replicas, reason, metadata: an_intent(replicas=replicas, reason=reason, metadata=metadata),
    st.integers(0, 100) | st.integers(0, 100).map(float),
    WISHES,
    st.dictionaries(WISHES, WISHES | st.lists(NUMBERS | WISHES, max_size=3), max_size=3),
)


def nfc(value: Any) -> Any:
    """Normalise every string of a document, as an independent reading of the rule."""
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case dict():
            return {nfc(key): nfc(part) for key, part in value.items()}
        case list():
            return [nfc(part) for part in value]
    return value


@given(st.binary(max_size=400), MODES)
def test_arbitrary_bytes_raise_nothing_but_rejected(content: bytes, rules: Rules) -> None:
    with suppress(Rejected):
        assert validate(content, rules).document


@given(VALUES | INTENTS, MODES, st.booleans())
def test_arbitrary_json_raises_nothing_but_rejected(document: object, rules: Rules, ascii_only: bool) -> None:
    content = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    with suppress(Rejected):
        assert validate(content, rules).document


@settings(max_examples=100)
@given(HONEST | INTENTS, MODES)
def test_what_is_accepted_round_trips_unchanged_and_satisfies_the_schema(document: object, rules: Rules) -> None:
    content = json.dumps(document).encode()
    try:
        intent = validate(content, rules)
    except Rejected:
        return
    assert intent.document == nfc(json.loads(content))
    assert type(intent.document["replicas"]) is int
    assert SCHEMA.is_valid(intent.document)
    assert validate(json.dumps(intent.document).encode(), rules).document == intent.document


@given(VALUES | INTENTS, MODES)
def test_every_message_is_printable_and_short(document: object, rules: Rules) -> None:
    report = inspect(json.dumps(document).encode(), rules)
    assert len(report.violations) <= MAX_VIOLATIONS + 1
    for violation in report.violations:
        assert (violation.path + violation.message).isprintable()
        assert len(violation.message) < 1_000


@given(VALUES | INTENTS)
def test_standard_mode_accepts_whatever_strict_mode_accepts(document: object) -> None:
    content = json.dumps(document).encode()
    if inspect(content).valid:
        assert inspect(content, Rules(mode=SecurityMode.STANDARD)).valid


HOSTILE = [
    *("[", "]", "{", '{"a":', "[],", '"', '"a",', '"a":1,', '{"a":1,"a":1},', "1", "1,", "-", "1e9,", " ", "a"),
    *("\\", '\\"', "\\\\", '"\\u0301"', '"\\ud800",', "\0", "\xff", "\u0301", "\u202e", "\U0001f600"),
    *("%25", "../", "a/", ";", "rm "),
]
FRAMES = ["{}", "[{}1]", '{{"reason":"{}"}}', '{{"metadata":{{"{}":1}}}}']


def python_steps(content: bytes) -> int:
    """How many functions, Python's and C's, one validation enters: a count, since a clock would make the test flaky."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        inspect(content)
    finally:
        sys.setprofile(before)
    return steps


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("unit", HOSTILE)
def test_twice_the_input_never_takes_more_than_about_twice_the_steps(unit: str, frame: str) -> None:
    inspect(b"{}")  # builds the schema's validator
    small, large = (python_steps(frame.format(unit * size).encode()) for size in (2_000, 4_000))
    assert large <= 2.2 * small + 200


@settings(max_examples=50)
@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4), st.sampled_from(FRAMES))
def test_no_mixture_of_hostile_pieces_takes_quadratic_steps(units: list[str], frame: str) -> None:
    inspect(b"{}")
    small, large = (python_steps(frame.format("".join(units) * size).encode()) for size in (300, 600))
    assert large <= 2.2 * small + 200
