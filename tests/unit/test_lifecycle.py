import re
from dataclasses import replace
from pathlib import Path

import pytest

from conductor_loop.intent import Handoff
from conductor_loop.intents.model import (
    TRANSITIONS,
    Decided,
    Duplicate,
    Free,
    Held,
    Outcome,
    Refusal,
    Row,
    State,
    Superseded,
    Target,
    judge,
    order,
)

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"
NOW = 1_800_000_000.0
HANDOFF = Handoff("b", "intent-a.json", "v1", event_time="2026-11-23T03:00:00.000Z", sequencer="0055AED6DCD90281E5")
ORDER = order(HANDOFF)


def test_the_drawing_in_the_docs_is_the_table_of_transitions() -> None:
    drawn = dict(re.findall(r"^(\(no row\)|[a-z_]+) +-> (.+)$", ARCHITECTURE.read_text(), re.MULTILINE))
    table = {
        state or "(no row)": sorted(map(str, follows)) if follows else ["settled"]
        for state, follows in TRANSITIONS.items()
    }
    assert {state: sorted(text.split(", ")) for state, text in drawn.items()} == table


def test_every_state_has_transitions() -> None:
    assert set(TRANSITIONS) == {None, *State}


def test_a_decided_state_is_never_left() -> None:
    assert all(not TRANSITIONS[state] for state in State if state.decided)


def test_a_decided_row_is_final_whatever_its_target_does() -> None:
    outcome = Outcome(State.FAILED, {}, "failed")
    refusal = Refusal(Row(State.FAILED, outcome=outcome), Target(held_until=NOW + 9))
    assert judge(refusal, ORDER, NOW) == Decided(outcome)


def test_a_live_lease_holds_the_handoff() -> None:
    assert judge(Refusal(Row(State.PROCESSING, 1, "a", NOW + 9)), ORDER, NOW) == Held(NOW + 9)


def test_a_lease_that_ran_out_frees_the_row_as_it_was_seen() -> None:
    row = Row(State.PROCESSING, 1, "a", NOW)
    assert judge(Refusal(row), ORDER, NOW) == Free(row)


def test_an_attempt_that_is_not_due_yet_holds_the_handoff() -> None:
    assert judge(Refusal(Row(State.RETRYING, 1, held_until=NOW + 9)), ORDER, NOW) == Held(NOW + 9)


def test_a_live_lease_on_the_target_holds_and_may_end_early() -> None:
    assert judge(Refusal(target=Target("a", NOW + 9)), ORDER, NOW) == Held(NOW + 9, lets_go_early=True)


def test_a_newer_applied_intent_supersedes_even_while_the_target_is_held() -> None:
    target = Target("a", NOW + 9, last_order=f"{ORDER}x", last_file="intent-new.json")
    assert judge(Refusal(target=target), ORDER, NOW) == Superseded("intent-new.json")


def test_a_newer_version_of_the_name_supersedes() -> None:
    assert judge(Refusal(newer_version="v2"), ORDER, NOW) == Superseded("version v2 of the same name", of_name=True)


def test_a_used_correlation_id_is_a_duplicate() -> None:
    assert judge(Refusal(correlated_file="intent-b.json"), ORDER, NOW) == Duplicate("intent-b.json")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"event_time": "2026-11-23T03:00:00.000Z"}, {"event_time": "2026-11-23T03:00:00.001Z"}),
        ({"sequencer": "0055AED6DCD90281E5"}, {"sequencer": "0055AED6DCD90281E6"}),
        ({"sequencer": "0055AED6"}, {"sequencer": "0055AED600000001"}),
        ({"sequencer": "0055AED6"}, {"sequencer": "0056"}),
    ],
)
def test_order_is_event_time_then_sequencer(older: dict[str, str], newer: dict[str, str]) -> None:
    assert order(replace(HANDOFF, **older)) < order(replace(HANDOFF, **newer))  # type: ignore[arg-type]


def test_sequencers_that_differ_in_trailing_zeros_only_are_equal() -> None:
    assert order(replace(HANDOFF, sequencer="0055")) == order(replace(HANDOFF, sequencer="005500"))
