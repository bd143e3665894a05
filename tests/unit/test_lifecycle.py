import re
from dataclasses import fields
from pathlib import Path

import pytest

from conductor_loop.catalogue import QUEUES
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.model import (
    BY_STATUS,
    TRANSITIONS,
    Conflict,
    Done,
    Duplicate,
    Outcome,
    Phase,
    Row,
    State,
    Superseded,
    Target,
    classify,
    order,
)
from conductor_loop.storage import rows

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"
NOW = 1_800_000_000.0
PUT_AT = "2026-11-23T03:00:00.000Z"
ORDER = order(PUT_AT, "0055AED6DCD90281E5")
HANDOFF = Handoff("b", "intent-a.json", "v1", event_time=PUT_AT, order=ORDER)


def test_the_drawing_in_the_docs_is_the_table_of_transitions() -> None:
    drawn = dict(re.findall(r"^(\(no row\)|[a-z_]+) +-> (.+)$", ARCHITECTURE.read_text(), re.MULTILINE))
    table = {state or "(no row)": set(map(str, follows)) for state, follows in TRANSITIONS.items()}
    assert {state: set(text.split(", ")) for state, text in drawn.items()} == table


def test_every_state_has_transitions() -> None:
    assert set(TRANSITIONS) == {None, *State}


def test_a_decided_state_is_never_left() -> None:
    assert TRANSITIONS[State.DONE] == {State.DONE}


def test_the_phases_in_the_docs_are_those_of_rows() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", ARCHITECTURE.read_text(), re.MULTILINE))
    assert set(Phase) <= said.keys()


@pytest.mark.parametrize(
    ("row", "phase"),
    [
        (Row(), Phase.ADMITTED),
        (Row(queued=True), Phase.QUEUED),
        (Row(State.RUNNING, due_at=NOW), Phase.PROCESSING),
        (Row(due_at=NOW, queued=True), Phase.RETRYING),
        *[(Row(State.DONE, due_at=NOW, outcome=Outcome({"status": one}, "")), BY_STATUS[one]) for one in BY_STATUS],
    ],
)
def test_the_phase_follows_from_the_row(row: Row, phase: Phase) -> None:
    assert row.phase is phase
    assert phase.done == (row.outcome is not None)


DECIDED = Outcome({"status": "failed"}, "failed")
DONE = Row(State.DONE, due_at=NOW + 9, outcome=DECIDED)
RUNNING = Row(State.RUNNING, due_at=NOW + 9, order=ORDER)


def test_a_decided_row_is_final_whatever_else_is_in_conflict() -> None:
    assert classify(Conflict(DONE, Target(), "v2", "intent-b.json"), ORDER) == Done(DECIDED, DONE.order)


def test_with_a_row_that_was_written_meanwhile_a_write_may_be_tried_again() -> None:
    assert classify(Conflict(RUNNING), ORDER) is None


def test_a_conflict_about_an_order_that_is_wrong_is_none() -> None:
    row = Row(order=ORDER)
    assert classify(Conflict(row, newer_version="v2"), "2026-11-23T03:00:00") is None


def test_a_newer_version_of_the_name_supersedes() -> None:
    superseded = Superseded("version v2 of the same name")
    assert classify(Conflict(newer_version="v2", correlated_file="intent-b.json"), ORDER) == superseded


def test_a_used_correlation_id_is_a_duplicate() -> None:
    assert classify(Conflict(correlated_file="intent-b.json"), ORDER) == Duplicate("intent-b.json")


def test_no_revision_of_a_target_is_used_twice() -> None:
    """Not even where its row was lost: the live tree has the revision of what was applied last."""
    first = Target().next(NOW)
    assert first.rev == NOW * 1000
    assert first.next(NOW).rev == first.rev + 1
    assert first.next(NOW - 60).rev == first.rev + 1, "a clock that is behind"


def test_a_target_that_was_written_meanwhile_is_read_again() -> None:
    assert classify(Conflict(target=Target(7)), ORDER) is None


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ((PUT_AT, "0056"), ("2026-11-23T03:00:00.001Z", "0055")),
        ((PUT_AT, "0055AED6DCD90281E5"), (PUT_AT, "0055AED6DCD90281E6")),
        ((PUT_AT, "0055AED6"), (PUT_AT, "0055AED600000001")),
        ((PUT_AT, "0055AED6"), (PUT_AT, "0056")),
    ],
)
def test_order_is_event_time_then_sequencer(older: tuple[str, str], newer: tuple[str, str]) -> None:
    assert order(*older) < order(*newer)


@pytest.mark.parametrize("sequencer", ["", "0055"])
def test_without_a_time_nothing_is_known_of_an_order(sequencer: str) -> None:
    assert order("", sequencer) == ""


def test_sequencers_that_differ_in_trailing_zeros_only_are_equal() -> None:
    assert order(PUT_AT, "0055") == order(PUT_AT, "005500")


def test_each_field_of_a_row_has_a_parser() -> None:
    assert rows._ROW.keys() == {one.name for one in fields(Row)}
    assert rows._TARGET.keys() == {one.name for one in fields(Target)}


def test_each_priority_but_critical_has_a_queue() -> None:
    assert set(Priority) - {Priority.CRITICAL} == set(QUEUES)
