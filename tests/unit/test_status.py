import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_loop.app import Delivery, Message
from conductor_loop.errors import Cause, Rejected, Violation
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents import outcome as status
from conductor_loop.intents.attempt import done
from conductor_loop.intents.model import Outcome, Row
from conductor_loop.porch import DELIVERIES, Delivered, Limits, Mode, Package, PorchFailed, Run
from conductor_loop.porch.report import Mask, PackageRevision, delivered, explain, parse_text, sanitize
from conductor_loop.porch.workspace import Unusable
from conductor_loop.storage.rows import attributes
from conductor_loop.validation import validate
from conductor_loop.validation.rules import DEFAULT_RULES, MAX_VIOLATIONS
from tests.factories import INTENT, World
from tests.memory import MemoryBucket
from tests.statuses import read_status, said
from tests.writes import HANDOFF

CONFIG = replace(World().config, mode=Mode.DIRECT, porch_path="/p")
AUTHOR = status.Author(
    replace(World().app, config=CONFIG, clock=lambda: 1002.5),
    Delivery(Message(Handoff("b", "intent-a.json", "v1")), started=1000.0, deadline=2000.0, intent=Intent(INTENT)),
    Row(),
)
TEXTS = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ud800", "edge\x1b[2J"])
COUNTS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
REPORTS = st.fixed_dictionaries(  # as porch may print them in structured mode
    {},
    optional={
        "delivery": st.sampled_from(DELIVERIES) | TEXTS,
        "deployment": TEXTS | st.fixed_dictionaries({"previous_replicas": COUNTS, "observed_replicas": COUNTS}),
        "package_revision": TEXTS | st.fixed_dictionaries(dict.fromkeys(("namespace", "name", "lifecycle"), TEXTS)),
    },
)
LINES = st.one_of(  # in direct mode
    TEXTS,
    st.builds("Delivery: {}".format, st.sampled_from(DELIVERIES) | TEXTS),
    st.builds("Replicas updated: {} -> 3".format, st.integers() | TEXTS),
    st.builds("Replicas observed: {}".format, st.integers() | TEXTS),
    st.builds("Package revision: {}/{} ({})".format, TEXTS, TEXTS, TEXTS),
    st.builds("Note: {}".format, TEXTS),
)
PACKAGE, PREFIX = Package("cnf-simulator-v1.0.0", {"Kptfile": b""}), "packages/x/"


CREATED = "Created package cnf-simulator-v1.0.0 to scale cnf-simulator to 3 replicas"
REVISION = PackageRevision("default", "edge-1.a.b", "Proposed")
NO_ROOM = PorchFailed(Cause.QUOTA_EXCEEDED, Run(5, "out", "err", 1.0), "no room.", Delivered("scale", 1, 2))
LATE = PorchFailed(Cause.PROCESSING_TIMEOUT, Run(None, "", "", 0.0), "late.")
NOWHERE = PorchFailed(Cause.NETWORK_ERROR, Run(4, "", "", 1.0), "nowhere.")


def test_a_success_is_reported_as_in_the_specification() -> None:
    document = status.succeeded(AUTHOR, PACKAGE, PREFIX, Delivered("scale", 1, 3)).status
    assert document["message"] == "Successfully scaled cnf-simulator to 3 replicas"
    assert (document["timestamp"], document["processing_duration"]) == ("1970-01-01T00:16:42Z", "2.50s")


@pytest.mark.parametrize(
    ("delivered", "says"),
    [
        (Delivered(), CREATED),
        (Delivered("check", 1), CREATED),
        (Delivered("package", 1, 3), CREATED),
        (
            Delivered("scale", 1, 2, notes=("2 of 3 pods are there",)),
            "Set cnf-simulator to 3 replicas; 2 of 3 pods are there",
        ),
        (Delivered("scale", 1), "Set cnf-simulator to 3 replicas"),
        (
            Delivered("scale", 1, 3, notes=("an autoscaler may change them",)),
            "Successfully scaled cnf-simulator to 3 replicas; an autoscaler may change them",
        ),
        (
            Delivered("repository", 1, package_revision=REVISION),
            f"{CREATED}, as package revision default/edge-1.a.b (Proposed)",
        ),
    ],
)
def test_a_success_says_what_was_really_done(delivered: Delivered, says: str) -> None:
    assert status.succeeded(AUTHOR, PACKAGE, PREFIX, delivered).status["message"] == says


def test_what_was_delivered_is_in_fields_of_its_own() -> None:
    document = status.succeeded(AUTHOR, PACKAGE, PREFIX, Delivered("scale", 0, 3)).status
    assert (document["delivery"], document["previous_replicas"], document["observed_replicas"]) == ("scale", 0, 3)
    document = status.succeeded(AUTHOR, PACKAGE, PREFIX, Delivered("repository", package_revision=REVISION)).status
    assert document["package_revision"] == {"namespace": "default", "name": "edge-1.a.b", "lifecycle": "Proposed"}
    assert not {"previous_replicas", "observed_replicas"} & document.keys()


def test_a_failure_says_how_far_it_got() -> None:
    document = status.failed(AUTHOR, status.describe(AUTHOR.row, NO_ROOM), 1010.0).status
    assert (document["delivery"], document["previous_replicas"], document["observed_replicas"]) == ("scale", 1, 2)
    assert "delivery" not in status.failed(AUTHOR, status.describe(AUTHOR.row, NOWHERE), None).status


def test_a_failure_adds_to_how_far_an_earlier_attempt_got() -> None:
    kept = status.describe(Row(attempt=1), NO_ROOM)
    less = PorchFailed(Cause.NETWORK_ERROR, Run(4, "", "", 1.0), "nowhere.", Delivered("scale", None, 0))
    assert status.describe(Row(attempt=2, failure=kept), less).delivered == {
        "delivery": "scale",
        "previous_replicas": 1,
        "observed_replicas": 0,
    }


def test_a_failure_that_is_reported_again_says_the_same() -> None:
    first = status.failed(replace(AUTHOR, row=Row(attempt=2)), status.describe(Row(attempt=2), NO_ROOM), None)
    later = status.exhausted(replace(AUTHOR, row=Row(attempt=2, failure=status.describe(Row(attempt=2), NO_ROOM))))
    assert later == first


def test_each_status_is_as_its_schema_says() -> None:
    rejection = Rejected(Cause.INVALID_FORMAT, (Violation("$", "readable", "is not JSON"),))
    outcomes = (
        status.succeeded(AUTHOR, PACKAGE, PREFIX, Delivered("repository", 1, 3, package_revision=REVISION)),
        status.failed(AUTHOR, status.describe(AUTHOR.row, NO_ROOM), 1010.0),
        status.failed(AUTHOR, status.describe(AUTHOR.row, LATE), None),
        status.exhausted(AUTHOR),
        status.rejected(AUTHOR, rejection),
        status.superseded(AUTHOR, "intent-b.json"),
        status.withdrawn(AUTHOR),
    )
    for outcome in outcomes:
        assert read_status(outcome.document) == outcome.status


@given(report=REPORTS, lines=st.lists(LINES))
def test_whatever_porch_prints_a_status_is_as_its_schema_says(report: dict[str, Any], lines: list[str]) -> None:
    printed = sanitize("\n".join(lines).encode(errors="surrogatepass"), 1000, Mask())
    for found in (delivered(report, printed), delivered(parse_text(printed), printed)):
        problem = explain(Unusable(Cause.PORCH_FAILED, "porch failed"), printed)
        failed = status.describe(
            AUTHOR.row, PorchFailed(Cause.PORCH_FAILED, Run(9, printed, printed, 1.0), problem, found)
        )
        for outcome in (status.succeeded(AUTHOR, PACKAGE, PREFIX, found), status.failed(AUTHOR, failed, 1010.0)):
            read_status(outcome.document)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "well"},
        {"attempt": -1},
        {"timestamp": "not a time"},
        {"next_retry": "2026-11-23T03:00:00"},  # where?
        {"error_details": {"porch_exit_code": "1"}},
        {"error_details": {"later": 1}},
        {"later": 1},
    ],
)
def test_the_bucket_in_memory_takes_no_status_that_breaks_its_schema(wrong: dict[str, Any]) -> None:
    document = json.loads(said("done"))
    for put in (document | wrong, {name: value for name, value in document.items() if name != "processed_by"}):
        with pytest.raises(AssertionError):
            MemoryBucket().put_status(HANDOFF, HANDOFF.file, json.dumps(put).encode(), final=True)


@pytest.mark.parametrize(
    ("attempt", "next_retry", "ends"),
    [
        (1, 1010.0, "; it is retried"),
        (3, None, "; no attempt is left, of 3: conductor-loop retry intent-a.json, once that is fixed"),
        (1, None, "; no attempt is left, of 1: conductor-loop retry intent-a.json, once that is fixed"),
    ],
)
def test_a_failure_says_whether_it_goes_on(attempt: int, next_retry: float | None, ends: str) -> None:
    author = replace(AUTHOR, row=Row(attempt=attempt))
    outcome = status.failed(author, status.describe(author.row, NOWHERE), next_retry)
    assert outcome.status["message"] == f"Failed to process intent: nowhere{ends}"


def test_the_longest_rejection_fits_into_a_row() -> None:
    body = {f"{number}{'😀' * 300}": "\ue000" * 100 for number in range(MAX_VIOLATIONS)}
    with pytest.raises(Rejected) as caught:
        validate(json.dumps({"😀" * 300: {"😀" * 301: body}}).encode(), DEFAULT_RULES, "intent-a.json")
    assert len(caught.value.violations) == MAX_VIOLATIONS + 1
    assert _fits(status.rejected(AUTHOR, caught.value))


def test_the_longest_package_fits_into_a_row() -> None:
    limits = Limits()
    files = {f"{number:04}{'😀' * 99}": b"" for number in range(limits.package_files)}  # 400 bytes each
    package = Package("cnf-simulator-v1.0.0", files)
    assert _fits(status.succeeded(AUTHOR, package, PREFIX, Delivered(notes=("😀" * 300,) * 5)))


@pytest.mark.parametrize("printed", [b"\xff", b"\n", b'"', "😀".encode()])
def test_the_longest_failure_fits_into_a_row(printed: bytes) -> None:
    output = sanitize(printed * 1_000_000, Limits().kept_output_bytes, Mask(()))
    said = explain(Unusable(Cause.PORCH_FAILED, "porch failed"), output)
    failure = PorchFailed(Cause.PORCH_FAILED, Run(1, output, output, 1.0), said)
    assert _fits(status.failed(AUTHOR, status.describe(AUTHOR.row, failure), None))


def _fits(outcome: Outcome) -> bool:
    """Say whether a row with an outcome has at most half of the 400 KB that DynamoDB takes."""
    row = attributes(done(AUTHOR.row, outcome, (), now=0.0))
    return sum(len(str(value).encode()) for one in row.values() for value in one.values()) < 200_000


def test_an_outcome_gives_the_same_bytes_once_it_is_read_from_its_row() -> None:
    outcome = status.succeeded(AUTHOR, PACKAGE, PREFIX, Delivered())
    assert replace(outcome, status=json.loads(json.dumps(outcome.status))).document == outcome.document
