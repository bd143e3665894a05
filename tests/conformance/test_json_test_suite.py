"""The public JSON parsing corpus nst/JSONTestSuite, which is not part of this repository.

JSON_TEST_SUITE=path/to/JSONTestSuite .venv/bin/pytest -rP tests/conformance/test_json_test_suite.py
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.validation import Report, inspect

# RFC 8259 says that keys SHOULD be unique (section 4); here they must be, so these two are refused: by that rule alone.
REPEATED_KEYS = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def corpus(kind: str) -> list[Path]:
    root = os.environ.get("JSON_TEST_SUITE")
    if not root:
        pytest.skip("JSON_TEST_SUITE does not name a checkout of github.com/nst/JSONTestSuite")
    paths = sorted((Path(root) / "test_parsing").glob(f"{kind}_*.json"))
    assert paths, f"no {kind}_*.json in {root}/test_parsing"
    return paths


def reports(kind: str) -> dict[str, Report]:
    found = {path.name: inspect(path.read_bytes()) for path in corpus(kind)}
    causes = Counter(report.cause.code if report.cause else "valid" for report in found.values())
    print(f"{kind}_: {len(found)} files, {dict(causes)}")
    return found


def format_rules(report: Report) -> set[str]:
    return {violation.rule for violation in report.violations} if report.cause is Cause.INVALID_FORMAT else set()


def test_no_document_that_must_be_accepted_is_refused_as_json() -> None:
    refused = {name: format_rules(report) for name, report in reports("y").items() if format_rules(report)}
    assert set(refused) == REPEATED_KEYS
    assert all("unique_keys" in rules and "json" not in rules for rules in refused.values())


def test_every_document_that_must_be_rejected_is_e001() -> None:
    accepted = [name for name, report in reports("n").items() if report.cause is not Cause.INVALID_FORMAT]
    assert accepted == []


def test_no_document_that_may_be_either_is_accepted_as_an_intent_or_crashes() -> None:
    assert not any(report.valid for report in reports("i").values())
