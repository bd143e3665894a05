import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from conductor_loop.errors import Cause
from conductor_loop.validation import BrokenSchema, Rules, inspect, validate
from conductor_loop.validation.schema import ecma_pattern, packaged_schema
from tests.unit.validation.intents import an_intent, body, broken_rules


def test_the_published_schema_is_a_draft_07_schema() -> None:
    Draft7Validator.check_schema(packaged_schema())


@pytest.mark.parametrize(
    ("fields", "violation"),
    [
        ({"intent_type": "delete"}, ("$.intent_type", "const")),
        ({"target": ""}, ("$.target", "minLength")),
        ({"target": "a" * 254}, ("$.target", "maxLength")),
        ({"target": "Web"}, ("$.target", "pattern")),
        ({"target": "web-"}, ("$.target", "pattern")),
        ({"target": 5}, ("$.target", "type")),
        ({"namespace": "a" * 64}, ("$.namespace", "maxLength")),
        ({"namespace": "a.b"}, ("$.namespace", "pattern")),
        ({"replicas": -1}, ("$.replicas", "minimum")),
        ({"replicas": 101}, ("$.replicas", "maximum")),
        ({"replicas": 2.5}, ("$.replicas", "type")),
        ({"replicas": True}, ("$.replicas", "type")),
        ({"replicas": "3"}, ("$.replicas", "type")),
        ({"replicas": None}, ("$.replicas", "type")),
        ({"reason": "a" * 513}, ("$.reason", "maxLength")),
        ({"source": "robot"}, ("$.source", "enum")),
        ({"correlation_id": "a b"}, ("$.correlation_id", "pattern")),
        ({"correlation_id": "a" * 65}, ("$.correlation_id", "maxLength")),
        ({"priority": "urgent"}, ("$.priority", "enum")),
        ({"timeout": "30"}, ("$.timeout", "pattern")),
        ({"timeout": "٣s"}, ("$.timeout", "pattern")),
        ({"metadata": []}, ("$.metadata", "type")),
        ({"colour": "red"}, ("$.colour", "additionalProperties")),
    ],
)
def test_each_rule_of_the_schema_is_reported_with_its_path(fields: dict[str, Any], violation: tuple[str, str]) -> None:
    assert violation in broken_rules(body(**fields))


@pytest.mark.parametrize("field", ["target", "namespace", "correlation_id", "timeout"])
def test_a_trailing_line_feed_does_not_pass_a_pattern(field: str) -> None:
    value = {"timeout": "30s"}.get(field, "web")
    assert broken_rules(body(**{field: value})) == set()
    assert (f"$.{field}", "pattern") in broken_rules(body(**{field: value + "\n"}))


@pytest.mark.parametrize("field", ["intent_type", "target", "namespace", "replicas"])
def test_a_missing_field_is_named(field: str) -> None:
    intent = an_intent()
    del intent[field]
    assert broken_rules(json.dumps(intent).encode()) == {(f"$.{field}", "required")}


@pytest.mark.parametrize(("text", "replicas"), [("3.0", 3), ("1e1", 10), ("-0", 0), ("-0.0", 0), ("100", 100)])
def test_a_whole_number_is_an_integer_however_it_is_written(text: str, replicas: int) -> None:
    intent = validate(body().replace(b"3", text.encode()))
    assert intent.replicas == replicas
    assert json.dumps(intent.document["replicas"]) == str(replicas)


@pytest.mark.parametrize("document", [[], "intent", 3, None, True])
def test_a_document_that_is_no_object_breaks_the_schema_and_not_the_format(document: object) -> None:
    report = inspect(json.dumps(document).encode())
    assert report.cause is Cause.SCHEMA_VIOLATION
    assert report.cause.code == "E003"


def test_the_configured_limit_replaces_the_maximum_of_the_published_schema() -> None:
    assert broken_rules(body(replicas=1000), Rules(max_replicas=1000)) == set()
    assert broken_rules(body(replicas=6), Rules(max_replicas=5)) == {("$.replicas", "maximum")}


def test_another_schema_can_be_used() -> None:
    rules = Rules(schema='{"required": ["colour"], "properties": {"colour": {"enum": ["red"]}}}')
    assert broken_rules(b'{"colour": "red"}', rules) == set()
    assert broken_rules(b'{"colour": "blue"}', rules) == {("$.colour", "enum")}
    assert broken_rules(b"[]", rules) == {("$", "type")}


def test_with_another_schema_the_business_rules_still_hold() -> None:
    rules = Rules(schema="true")
    fields = {"replicas": 101, "target": "Web", "namespace": "a" * 64, "priority": "urgent"}
    assert broken_rules(body(**fields), rules) == {
        ("$.replicas", "max_replicas"),
        ("$.target", "dns_1123"),
        ("$.namespace", "dns_1123"),
        ("$.priority", "priority"),
    }
    assert broken_rules(body(replicas=float("nan")), rules) == {("$.replicas", "json")}


def test_a_schema_that_refuses_everything_says_so() -> None:
    assert broken_rules(body(), Rules(schema="false")) == {("$", "false")}


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "[]",
        '{"type": "integr"}',
        '{"properties": {"a": {"pattern": "("}}}',
        '{"$ref": "#/definitions/nowhere"}',
        '{"$ref": "https://example.com/schema.json"}',
        '{"$ref": "#"}',
    ],
)
def test_a_schema_that_cannot_be_used_is_no_fault_of_the_intent(schema: str) -> None:
    with pytest.raises(BrokenSchema):
        validate(body(), Rules(schema=schema))


def test_a_dollar_sign_that_is_escaped_or_in_brackets_stays_a_dollar_sign() -> None:
    assert ecma_pattern(r"^\$[$]$").fullmatch("$$")
    assert not ecma_pattern(r"^\$[$]$").search("$$\n")
