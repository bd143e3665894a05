import json
from pathlib import Path

import pytest

from conductor_loop.errors import Cause, Rejected
from conductor_loop.validation import inspect, validate
from conductor_loop.validation.rules import MAX_VIOLATIONS
from tests.unit.validation.intents import an_intent, body

EXAMPLES = sorted((Path(__file__).parents[2] / "data" / "spec").glob("intent-*.json"))
FIVE_ERRORS = {
    "target": "Web_Server",
    "namespace": "kube-system",
    "replicas": "3",
    "reason": "now; go",
    "timeout": "0s",
}


def test_the_examples_of_the_specification_are_there() -> None:
    assert [path.stem for path in EXAMPLES] == ["intent-basic", "intent-emergency", "intent-scale-down"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_of_the_specification_is_valid_in_strict_mode(path: Path) -> None:
    report = inspect(path.read_bytes())
    assert report.violations == ()
    assert report.valid
    assert report.intent is not None
    assert report.intent.document == json.loads(path.read_bytes())


def test_five_errors_of_four_kinds_are_reported_in_one_run() -> None:
    with pytest.raises(Rejected) as caught:
        validate(body(**FIVE_ERRORS))
    assert {(violation.path, violation.rule) for violation in caught.value.violations} == {
        ("$.target", "pattern"),
        ("$.replicas", "type"),
        ("$.reason", "blocked_characters"),
        ("$.namespace", "system_namespaces"),
        ("$.timeout", "timeout"),
    }


def test_the_first_stage_that_found_something_names_the_cause() -> None:
    assert inspect(b"{").cause is Cause.INVALID_FORMAT
    assert inspect(body(target="Web;", namespace="kube-system")).cause is Cause.SCHEMA_VIOLATION
    assert inspect(body(reason=";", namespace="kube-system")).cause is Cause.SECURITY_VIOLATION
    assert inspect(body(namespace="kube-system")).cause is Cause.POLICY_VIOLATION


def test_a_hostile_file_cannot_make_a_huge_report() -> None:
    content = json.dumps(an_intent() | {f"{number};{'x' * 20}\x1b\u202e": 1 for number in range(2_000)}).encode()
    report = inspect(content)
    assert len(report.violations) == MAX_VIOLATIONS + 1
    assert report.violations[-1].message == (
        "$ breaks and_more: 7,900 further violations are not listed; fix these first"
    )
    assert sum(len(violation.path) + len(violation.message) for violation in report.violations) < 100_000


def test_no_value_can_put_a_control_character_into_a_message() -> None:
    text = "".join(map(chr, [*range(0xA0), 0x202E, 0x2028, 0xD800, 0xE0041]))
    report = inspect(body(target=text, metadata={text: text}, source=text))
    assert report.violations
    for violation in report.violations:
        assert (violation.path + violation.rule + violation.message).isprintable()


def test_a_report_is_written_in_the_shape_of_the_specification() -> None:
    written = inspect(body(replicas=101)).as_json()
    assert json.loads(json.dumps(written)) == {
        "valid": False,
        "error_code": "SCHEMA_VIOLATION",
        "code": "E003",
        "security_checks": dict.fromkeys(written["security_checks"], True),
        "violations": [
            {
                "path": "$.replicas",
                "rule": "maximum",
                "message": "$.replicas breaks maximum: 101 is more than 100; write 100 or less",
            }
        ],
        "threat_level": "NONE",
    }


def test_an_intent_that_passed_has_no_cause_and_a_rejected_one_no_intent() -> None:
    passed, refused = inspect(body()), inspect(body(replicas=-1))
    assert (passed.cause, refused.intent) == (None, None)
    assert passed.intent is not None
    assert passed.intent.target == "web"
