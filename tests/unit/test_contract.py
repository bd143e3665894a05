import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from conductor_loop.config import schema as configured
from conductor_loop.contract import keeps
from conductor_loop.intents import outcome as status
from tests.factories import intent

SCHEMAS = Path(__file__).parents[2] / "schemas"
SPECIFIED = Path(__file__).parents[1] / "data/spec"
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab1.\n", max_size=3)
VALUES = st.recursive(SCALARS, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from("abc"), some))
RULES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null", ["string", "null"]]),
    "const": SCALARS,
    "enum": st.lists(VALUES, max_size=3),
    "minimum": st.integers(-3, 3),
    "maximum": st.floats(-3, 3),
    "minLength": st.integers(0, 3),
    "maxLength": st.integers(0, 3),
    "pattern": st.sampled_from(["^a", "b$", "[0-9]"]),
    "minItems": st.integers(0, 3),
    "maxItems": st.integers(0, 3),
    "uniqueItems": st.booleans(),
    "maxProperties": st.integers(0, 3),
    "required": st.lists(st.sampled_from("abc"), unique=True),
    "description": st.text(),
    "multipleOf": st.just(2),
    "patternProperties": st.just({"^a$": False}),
}
LEAVES = st.booleans() | st.fixed_dictionaries({}, optional=RULES)
NESTED = st.fixed_dictionaries(
    {},
    optional=RULES
    | {
        "properties": st.dictionaries(st.sampled_from("abc"), LEAVES),
        "additionalProperties": LEAVES,
        "items": LEAVES | st.lists(LEAVES, max_size=2),
        "propertyNames": LEAVES,
    },
)


@given(NESTED, VALUES)
def test_a_yes_is_never_wrong(schema: Any, value: Any) -> None:
    if keeps(schema)(value):
        assert Draft7Validator(schema).is_valid(value)


@pytest.mark.parametrize("name", sorted(path.name for path in SPECIFIED.glob("intent-*.json")))
def test_the_intents_of_the_specification_need_no_second_look(name: str) -> None:
    schema = json.loads((SCHEMAS / "intent.schema.json").read_text())
    assert keeps(schema)(json.loads((SPECIFIED / name).read_text()))


def test_statuses_and_configurations_that_are_right_need_no_second_look() -> None:
    document = json.loads((SPECIFIED / "status-failed.json").read_text())
    assert status._kept()(document)
    assert configured._kept()(configured.defaults())


@given(st.sampled_from(configured.leaves()), VALUES | st.sampled_from(["1s", "2h", "1.5h", "0", "10MB", "1KB", 10**6]))
def test_the_quick_check_changes_no_word_about_a_configuration(leaf: configured.Leaf, value: Any) -> None:
    document = configured.defaults()
    configured.put(document, leaf.path, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configured, "_kept", lambda: lambda _: False)
        slowly = configured.mistakes(document)
    assert configured.mistakes(document) == slowly


def test_a_time_without_a_zone_gets_a_second_look() -> None:
    document = json.loads((SPECIFIED / "status-success.json").read_text())
    assert not status._kept()(document | {"timestamp": "2026-11-23T03:00:00"})


def test_what_is_right_never_loads_jsonschema() -> None:
    program = f"""
import sys
from conductor_loop import handlers, status
from conductor_loop.api import handler
from conductor_loop.config import load
from conductor_loop.validation import validate
load({{}}, {{"CONDUCTOR_STATE_TABLE": "t", "CONDUCTOR_QUEUE_NORMAL": "q"}})
validate({intent()!r})
status._schema(), status._kept()
assert not {{"jsonschema", "referencing", "attrs", "boto3"}} & sys.modules.keys(), "loaded after all"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
