"""The audit trail: what its entries say, and that whatever is done to them is found and named."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_loop import pipeline
from conductor_loop.audit.chain import Entry, Head, link, read
from conductor_loop.audit.verifying import Finding, Verdict, Witness, verify
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import State
from conductor_loop.sweep import take_turn
from tests.factories import World, intent


def chain(name: str, length: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(length):
        head = entries[-1].head if entries else Head()
        fields = {"at": "2026-11-23T10:00:00.000Z", "event": "queued", "by": "AWS:me", "n": number}
        entries.append(link(f"intent/{name}/v1", head, fields))
    return entries


def woven(chains: Sequence[Sequence[Entry]], order: list[int]) -> list[str]:
    """Put chains into one trail, each in its order."""
    rest = [iter(one) for one in chains]
    return [next(rest[number % len(rest)], chains[0][0]).text for number in order] + [
        entry.text for one in rest for entry in one
    ]


def witness(entries: Sequence[Entry]) -> Witness:
    end = entries[-1]
    return Witness(end.document["chain"], end.head.seq, end.head.digest)


trails = st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=12)).map(
    lambda drawn: ([chain(f"intent-{n}.json", length) for n, length in enumerate(drawn[0])], drawn[1])
)


@given(trails)
def test_an_untouched_trail_is_whole_however_its_chains_are_woven_and_repeated(trail: tuple[Any, list[int]]) -> None:
    chains, order = trail
    lines = woven(chains, order)
    for one in (lines, lines + lines, [line for line in lines for _ in (1, 2)]):
        verdict = verify(one, [witness(entries) for entries in chains])
        assert verdict == Verdict(chains=len(chains), entries=sum(map(len, chains)))


def _picked(data: st.DataObject, chains: Sequence[Sequence[Entry]]) -> Entry:
    return data.draw(st.sampled_from([entry for one in chains for entry in one]))


def _named(verdict: Verdict) -> set[tuple[str, int]]:
    return {(finding.chain, finding.seq) for finding in verdict.findings}


@given(trails, st.data())
@settings(max_examples=300)
def test_any_byte_that_is_changed_is_found_and_the_handoff_and_position_are_named(
    trail: tuple[Any, list[int]], data: st.DataObject
) -> None:
    chains, _ = trail
    picked = _picked(data, chains)
    at = data.draw(st.integers(0, len(picked.text) - 1))
    other = data.draw(st.integers(0, 127).map(chr).filter(lambda new: new != picked.text[at]))
    forged = picked.text[:at] + other + picked.text[at + 1 :]
    lines = [forged if entry is picked else entry.text for one in chains for entry in one]
    verdict = verify(lines, [witness(entries) for entries in chains])
    assert (picked.document["chain"], picked.head.seq) in _named(verdict)


@given(trails, st.data())
def test_any_entry_that_is_dropped_is_found_and_named_and_no_other_is(
    trail: tuple[Any, list[int]], data: st.DataObject
) -> None:
    chains, _ = trail
    picked = _picked(data, chains)
    lines = [entry.text for one in chains for entry in one if entry is not picked]
    (finding,) = verify(lines, [witness(entries) for entries in chains]).findings
    assert finding == Finding(picked.document["chain"], picked.head.seq, "is missing")


@given(trails, st.data())
def test_any_two_entries_of_a_chain_that_are_swapped_are_found_and_named(
    trail: tuple[Any, list[int]], data: st.DataObject
) -> None:
    chains, _ = trail
    chains = [*chains, chain("intent-long.json", 5)]
    mine = data.draw(st.sampled_from([one for one in chains if len(one) > 1]))
    first, second = sorted(data.draw(st.sets(st.integers(0, len(mine) - 1), min_size=2, max_size=2)))
    swapped = list(mine)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    lines = [entry.text for one in chains for entry in (swapped if one is mine else one)]
    (finding,) = verify(lines, [witness(entries) for entries in chains]).findings
    assert (finding.chain, finding.seq) == (mine[0].document["chain"], first + 2)
    assert "another order" in finding.what


@given(trails, st.data())
def test_a_handoff_that_is_missing_as_a_whole_is_found(trail: tuple[Any, list[int]], data: st.DataObject) -> None:
    chains, _ = trail
    gone = data.draw(st.sampled_from(chains))
    lines = [entry.text for one in chains if one is not gone for entry in one]
    verdict = verify(lines, [witness(entries) for entries in chains])
    assert _named(verdict) == {(gone[0].document["chain"], seq + 1) for seq in range(len(gone))}


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_tail_that_is_cut_off_is_found_by_what_the_status_knows(left: int) -> None:
    entries = chain("intent-a.json", 4)
    verdict = verify([entry.text for entry in entries[:left]], [witness(entries)])
    assert [finding.seq for finding in verdict.findings] == [*range(left + 1, 5)]


def test_an_entry_that_is_written_anew_with_all_behind_it_is_found_by_what_the_status_knows() -> None:
    honest = chain("intent-a.json", 3)
    forged = [honest[0]]
    for n in (1, 2):
        forged.append(link("intent/intent-a.json/v1", forged[-1].head, {"at": "later", "event": "failed", "n": n}))
    (finding,) = verify([entry.text for entry in forged], [witness(honest)]).findings
    assert str(finding) == (
        "intent-a.json (version v1): entry 3 is another one than the state table knows: it was replaced"
    )


def test_an_entry_that_is_put_in_beside_another_is_found() -> None:
    entries = chain("intent-a.json", 3)
    other = link("intent/intent-a.json/v1", entries[0].head, {"at": "later", "event": "failed"})
    found = verify([*(entry.text for entry in entries), other.text], [witness(entries)]).findings
    assert [finding.seq for finding in found] == [2]


def test_of_a_chain_that_began_before_the_earliest_line_the_entries_before_it_are_not_missed() -> None:
    entries = chain("intent-a.json", 4)
    began = replace(witness(entries), before=True)
    assert not verify([entry.text for entry in entries[2:]], [began]).findings
    (finding,) = verify([entries[1].text, entries[3].text], [began]).findings
    assert finding.seq == 3


def test_of_a_chain_that_began_before_an_entry_that_the_table_knows_is_missed_though_it_is_the_earliest() -> None:
    entries = chain("intent-a.json", 4)
    rows = [replace(witness(entries[:seq]), before=True) for seq in (2, 3, 4)]
    assert not verify([entry.text for entry in entries[1:]], rows).findings
    for left in ([2, 3], [3], []):
        found = verify([entries[at].text for at in left], rows).findings
        assert [one.seq for one in found] == [seq for seq in (2, 3, 4) if seq - 1 not in left]


def test_an_entry_that_is_put_in_behind_the_last_one_is_found() -> None:
    entries = chain("intent-a.json", 4)
    ends = replace(witness(entries[:3]), ends=True)
    assert not verify([entry.text for entry in entries[:3]], [ends]).findings
    assert not verify([], [ends]).findings  # which may still be on their way
    (finding,) = verify([entry.text for entry in entries], [ends]).findings
    assert str(finding).endswith("entry 4 is not known to the state table: it was put in")


@pytest.mark.parametrize("seq", [-(10**15), -1, 0, 10**15])
def test_a_line_with_any_number_is_found_and_takes_no_time(seq: int) -> None:
    entries = chain("intent-a.json", 3)
    forged = link("intent/intent-a.json/v1", Head(seq - 1, entries[-1].head.digest), {"event": "failed"})
    lines = [*(entry.text for entry in entries), forged.text]
    for witnesses in ([], [witness(entries)], [replace(witness(entries), before=True)]):
        (finding,) = verify(lines, witnesses).findings
        assert finding.seq == seq


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "7", '{"chain": 7}', '{"chain":1,"seq":1,"prev":"","hash":""}', "null", '"a"',
     r'{"chain":"\ud800","seq":1,"prev":"","hash":""}'],
)  # fmt: skip
def test_a_line_that_is_no_entry_is_none(line: str) -> None:
    assert read(line) is None


@pytest.mark.parametrize("head", [Head(), Head(3, "ab", ""), Head(1, "ab", "1700")])
def test_a_head_is_read_as_it_was_written(head: Head) -> None:
    assert Head.read(str(head)) == head


def told(world: World, handoff: Handoff) -> list[dict[str, Any]]:
    row = world.row(handoff)
    seal: dict[str, Any] = dict(row.outcome.status["audit"]) if row.outcome else {}
    witnesses = [Witness(seal["chain"], seal["entries"], seal["sha256"])] if seal else []
    assert not verify(row.entries, witnesses).findings
    return [json.loads(entry) for entry in row.entries]


def test_the_entries_tell_who_dropped_what_when_and_what_came_of_it() -> None:
    world = World()
    handoff = replace(world.drop(), principal="AWS:AIDA:me", address="192.0.2.7")
    pipeline.answer(world.app, handoff, world.deadline)
    claimed, decided = told(world, handoff)
    assert (claimed["by"], claimed["address"], claimed["put"]) == ("AWS:AIDA:me", "192.0.2.7", handoff.event_time)
    assert (claimed["namespace"], claimed["target"], claimed["replicas"]) == ("oran-sim", "cnf-simulator", 3)
    assert (decided["event"], decided["moved_to"]) == ("succeeded", "processed")
    assert decided["package"] == "packages/oran-sim/cnf-simulator/cnf-simulator-v1.0.0/"
    assert world.status()["audit"]["sha256"] == decided["hash"]


def test_a_priority_that_is_denied_is_told_with_the_rule() -> None:
    world = World()
    world.configure(priority_queues=True)
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:stranger")
    pipeline.answer(world.app, handoff, world.deadline)
    (queued,) = told(world, handoff)
    assert (queued["asked_for"], queued["priority"]) == ("critical", "normal")
    assert queued["rule"] == "priority critical refused to AWS:stranger: treated as normal"


def test_a_rejection_is_told_with_its_code_and_rules_and_nothing_of_what_the_file_says() -> None:
    world = World()
    handoff = world.drop(body=intent(replicas=-1, target="s3cr3t value"))
    pipeline.answer(world.app, handoff, world.deadline)
    (failed,) = told(world, handoff)
    assert (failed["event"], failed["code"], failed["moved_to"]) == ("failed", "E003", "failed")
    assert "minimum" in failed["rules"]
    assert "s3cr3t" not in json.dumps(failed)


def test_each_attempt_is_told_and_when_the_next_one_is_due() -> None:
    world = World()
    world.configure(priority_queues=True)
    world.porch.script = [Cause.NETWORK_ERROR, None]
    handoff = world.drop()
    pipeline.answer(world.app, handoff, world.deadline)
    world.work()
    world.clock.wait(120)
    world.work()
    events = [(one["event"], one.get("attempt"), one.get("code")) for one in told(world, handoff)]
    assert events == [
        ("queued", None, None),
        ("processing", 1, None),
        ("retrying", 1, "E014"),
        ("processing", 2, None),
        ("succeeded", 2, None),
    ]
    assert told(world, handoff)[2]["next_retry"]


def test_what_the_sweeper_finds_is_told() -> None:
    world = World()
    world.configure(priority_queues=True)
    handoff = world.drop()
    world.clock.wait(400)
    take_turn(world.app, world.deadline)
    (queued,) = told(world, handoff)
    assert (queued["event"], queued["because"]) == (State.QUEUED, "found by the sweeper")


def test_a_message_is_claimed_with_one_write_although_nobody_has_read_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message brings the end of the chain along."""
    world = World()
    world.configure(priority_queues=True)
    pipeline.answer(world.app, world.drop(), world.deadline)
    tried: list[object] = []
    claim = world.state.claim

    def counted(*given: Any) -> Any:
        tried.append(given)
        return claim(*given)

    monkeypatch.setattr(world.state, "claim", counted)
    world.work()
    assert len(tried) == 1
