"""What porch says of its delivery, in both modes, and what is made of what it should not say."""

import json
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Delivered, Mode
from conductor_loop.porch.report import PackageRevision, delivered, parse_text
from tests.unit.porches import INTENT, Bench

DIRECT = """\
Package successfully created: cnf-simulator-v1.2.3
Deployment target: oran-sim/cnf-simulator
Replicas updated: 1 -> 3
Delivery: scale
Replicas observed: 3
"""
REPORT: dict[str, Any] = {
    "status": "success",
    "package_name": "cnf-simulator-v1.2.3",
    "delivery": "scale",
    "deployment": {
        "namespace": "oran-sim",
        "name": "cnf-simulator",
        "previous_replicas": 1,
        "new_replicas": 3,
        "observed_replicas": 3,
    },
}
REVISION = {"namespace": "default", "name": "edge-1.a.b", "lifecycle": "Proposed"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_both_modes_say_the_same() -> None:
    expected = Delivered("scale", 1, 3, notes=("one", "two"))
    assert delivered(parse_text(DIRECT), "Note: one\nelse\nNote: two\n") == expected
    assert delivered(REPORT, "Note: one\nelse\nNote: two\n") == expected


def test_a_package_revision_is_read_in_both_modes() -> None:
    revision = PackageRevision("default", "edge-1.a.b", "Proposed")
    said = DIRECT.replace("scale", "repository") + "Package revision: default/edge-1.a.b (Proposed)\n"
    assert delivered(parse_text(said), "").package_revision == revision
    assert delivered(REPORT | {"package_revision": REVISION}, "").package_revision == revision


@pytest.mark.parametrize("said", ["", "Package successfully created: a", "Delivery: by post\nReplicas observed: many"])
def test_a_porch_that_says_nothing_of_it_has_written_a_package(said: str) -> None:
    assert delivered(parse_text(said), "") == Delivered()


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"delivery": None, "deployment": [], "package_revision": "a"},
        {"deployment": {"previous_replicas": True, "observed_replicas": -1}, "package_revision": {"name": "a"}},
        {"deployment": {"previous_replicas": "1", "observed_replicas": 1.5}, "package_revision": {"name": 1}},
        {"deployment": {"previous_replicas": 10**10, "observed_replicas": 10**4000}},
        {"package_revision": REVISION | {"name": "\ud800"}},  # which no status could hold
        {"package_revision": REVISION | {"name": "edge\x1b[2J"}},
    ],
)
def test_what_is_not_of_the_contracts_form_is_left_out(report: dict[str, Any]) -> None:
    assert delivered(report, "") == Delivered()


def test_notes_are_bounded() -> None:
    found = delivered(parse_text(""), f"Note: {'x' * 5000}\n" * 50).notes
    assert (len(found), max(map(len, found))) == (5, 300)


def test_a_delivery_that_there_is_not_is_no_document_of_the_contract(bench: Bench) -> None:
    bench.mode = Mode.STRUCTURED
    program = bench.program(f"echo x > $4/Kptfile; echo '{json.dumps(REPORT | {'delivery': 'by post'})}'")
    failed = bench.failure(program)
    assert failed.cause is Cause.PORCH_OUTPUT_INVALID
    assert 'has a "delivery" that is none of package, check, scale, repository' in str(failed)


def test_a_document_that_is_nested_too_deep_is_a_failure(bench: Bench) -> None:
    bench.mode = Mode.STRUCTURED
    said = json.dumps(REPORT | {"more": 0}).replace('"more": 0', f'"more": {"[" * 3000}{"]" * 3000}')
    failed = bench.failure(bench.program(f"echo x > $4/Kptfile; echo '{said}'"))
    assert failed.cause is Cause.PORCH_OUTPUT_INVALID


@pytest.mark.parametrize("mode", list(Mode))
def test_a_success_brings_what_was_delivered(bench: Bench, mode: Mode) -> None:
    bench.mode, bench.document = mode, INTENT
    said = DIRECT if mode is Mode.DIRECT else json.dumps(REPORT)
    result = bench.run(bench.program(f"echo x > $4/Kptfile; echo '{said}'; echo 'Note: once' >&2"))
    assert result.delivered == Delivered("scale", 1, 3, notes=("once",))


@pytest.mark.parametrize("mode", list(Mode))
def test_a_failure_brings_how_far_it_got(bench: Bench, mode: Mode) -> None:
    bench.mode = mode
    said = DIRECT if mode is Mode.DIRECT else json.dumps(REPORT | {"status": "failed"})
    failed = bench.failure(bench.program(f"echo '{said}'; echo 'Error: no room' >&2; exit 5"))
    assert (failed.cause, failed.delivered) == (Cause.QUOTA_EXCEEDED, Delivered("scale", 1, 3))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("said", ["", "half of {", "[]", "null", "{}", "nothing of that"])
def test_a_failure_that_reports_nothing_brings_nothing(bench: Bench, mode: Mode, said: str) -> None:
    bench.mode = mode
    assert bench.failure(bench.program(f"echo '{said}'; exit 4")).delivered is None
