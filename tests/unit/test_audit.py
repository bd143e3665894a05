"""The audit trail: what its entries say, and that whatever is done to them is found and named."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_loop.audit.entries import Change, Entry, Shard, last_change, link, read, timestamp
from conductor_loop.audit.verify import AuditFinding, Known, Verification, verify
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Conflict, Phase, Write
from conductor_loop.intents.reconcile import take_turn
from tests.auditing import MemoryAudit, known, stream
from tests.factories import World, intent
from tests.unit.test_cleanup import late_worker, swept
from tests.writes import instead, is_claim


def change(name: str, seq: int, **fields: Any) -> Change:
    said = {"at": f"2026-11-23T10:00:{seq:02}.000Z", "event": "queued", "by": "AWS:me", **fields}
    return Change(f"intent/{name}/v1", seq, said)


def status(digest: str) -> Change:
    return Change("intent/intent-a.json/v1", 0, {"at": "2026", "status_sha256": digest})


def end(entry: Entry) -> Shard:
    """Give where a chain ends, with an entry."""
    at = str(entry.document["at"])
    return Shard(entries=entry.n, digest=entry.digest, at=at, began="2026-11-23T10:00:01.000Z")


@dataclass
class Trail:
    """Entries as they were published, and who else knows of them."""

    entries: list[Entry] = field(default_factory=list)
    ends: defaultdict[str, Shard] = field(default_factory=lambda: defaultdict(Shard))
    rows: dict[str, Change] = field(default_factory=dict)
    statuses: list[Change] = field(default_factory=list)

    def add(self, name: str, *, shard: str = "shard", **fields: Any) -> Entry:
        """Publish the next entry about a handoff."""
        before = self.rows.get(name)
        mine = change(name, before.seq + 1 if before else 1, **fields)
        self.publish(name, mine, shard)
        return self.entries[-1]

    def publish(self, name: str, mine: Change, shard: str = "shard") -> None:
        entry = link(shard, self.ends[shard], mine)
        self.ends[shard], self.rows[name] = end(entry), mine
        self.entries.append(entry)

    @property
    def known(self) -> Known:
        return Known(tuple(self.rows.values()), tuple(self.statuses), self.ends)

    @property
    def lines(self) -> list[str]:
        return [entry.text for entry in self.entries]

    def verified(self, lines: Sequence[str], **changes: Any) -> Verification:
        return verify(lines, replace(self.known, **changes))


def trail_of(drawn: list[tuple[int, int]]) -> Trail:
    trail = Trail()
    for name, shard in drawn:
        trail.add(f"intent-{name}.json", shard=f"shard-{shard}", n=len(trail.entries))
    return trail


trails = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=14).map(trail_of)


def place(entry: Entry) -> tuple[str, int]:
    assert read(entry.text) == entry
    return entry.chain, entry.seq


def both(entries: Iterable[Entry]) -> set[tuple[str, int]]:
    """Give the places of entries: among those about their rows, and in their shards."""
    return {at for one in entries for at in (place(one), (one.shard, one.n))}


def named(verification: Verification) -> set[tuple[str, int]]:
    """Give the places that are named, with those that are missing behind one."""
    found: set[tuple[str, int]] = set()
    for one in verification.findings:
        more = re.search(r"with (\d+) behind it", one.what)
        found |= {(one.chain, one.seq + further) for further in range(1 + int(more[1] if more else 0))}
    return found


@given(trails)
def test_an_untouched_trail_is_whole_however_often_its_lines_are_published(trail: Trail) -> None:
    for lines in (trail.lines, trail.lines * 2, [line for line in trail.lines for _ in (1, 2)]):
        assert trail.verified(lines) == Verification(chains=len(trail.rows), entries=len(trail.entries))


@given(trails, st.data())
@settings(max_examples=100)
def test_any_byte_that_is_changed_is_found_and_the_handoff_and_position_are_named(
    trail: Trail, data: st.DataObject
) -> None:
    picked = data.draw(st.sampled_from(trail.entries))
    at = data.draw(st.integers(0, len(picked.text) - 1))
    other = data.draw(st.integers(0, 127).map(chr).filter(lambda new: new != picked.text[at]))
    forged = picked.text[:at] + other + picked.text[at + 1 :]
    verification = trail.verified([forged if entry is picked else entry.text for entry in trail.entries])
    assert place(picked) in named(verification)


@given(trails, st.data())
def test_any_entry_that_is_dropped_is_found_and_named_and_no_other_is(trail: Trail, data: st.DataObject) -> None:
    picked = data.draw(st.sampled_from(trail.entries))
    findings = trail.verified([entry.text for entry in trail.entries if entry is not picked]).findings
    assert {*findings} == {AuditFinding(*at, "is missing") for at in both([picked])}


@given(trails, st.data())
def test_any_two_entries_of_a_handoff_that_are_swapped_are_found_and_named(trail: Trail, data: st.DataObject) -> None:
    for _ in range(5):
        trail.add("intent-long.json")
    mine = [at for at, entry in enumerate(trail.entries) if place(entry)[0] == "intent/intent-long.json/v1"]
    first, second = sorted(data.draw(st.sets(st.sampled_from(mine), min_size=2, max_size=2)))
    lines = trail.lines
    lines[first], lines[second] = lines[second], lines[first]
    (finding,) = trail.verified(lines).findings
    assert (finding.chain, finding.seq) == (place(trail.entries[first])[0], place(trail.entries[first])[1] + 1)
    assert "another order" in finding.what


@given(trails, st.data())
def test_a_handoff_that_is_missing_as_a_whole_is_found(trail: Trail, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(trail.rows)))
    mine = [entry for entry in trail.entries if place(entry)[0] == trail.rows[gone].chain]
    lines = [entry.text for entry in trail.entries if entry not in mine]
    assert named(trail.verified(lines)) == both(mine)


@given(trails, st.data())
def test_what_is_cut_off_with_its_rows_is_found_by_where_the_shards_end(trail: Trail, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(trail.rows)))
    chain = trail.rows.pop(gone).chain
    lines = [entry.text for entry in trail.entries if place(entry)[0] != chain]
    findings = trail.verified(lines).findings
    assert {finding.chain for finding in findings} <= set(trail.ends)
    assert findings
    assert "is missing" in str(findings[0])


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_tail_that_is_cut_off_is_found_by_the_row(left: int) -> None:
    trail = Trail()
    for _ in range(4):
        trail.add("intent-a.json")
    assert named(trail.verified(trail.lines[:left])) == both(trail.entries[left:])


def test_an_entry_that_is_written_anew_with_all_behind_it_is_found_by_where_the_shard_ends() -> None:
    honest, forged = Trail(), Trail()
    for trail, what in ((honest, "honest"), (forged, "forged")):
        for name in ("intent-a.json", "intent-b.json", "intent-a.json"):
            trail.add(name, what=what)
    (finding,) = honest.verified(forged.lines, rows=[*forged.rows.values()]).findings
    what = "is another one than its shard has there: it was replaced, or put in"
    assert str(finding) == f"intent-a.json (version v1): entry 2 {what}"


def test_an_entry_that_is_put_in_beside_another_is_found() -> None:
    trail = Trail()
    first, *_ = (trail.add("intent-a.json") for _ in range(3))
    other = link("shard", end(first), change("intent-a.json", 2, event="failed"))
    assert [finding.seq for finding in trail.verified([*trail.lines, other.text]).findings] == [2]


def test_an_entry_that_is_put_in_behind_the_last_one_is_found() -> None:
    trail = Trail()
    *_, last = (trail.add("intent-a.json") for _ in range(3))
    more = link("shard", end(last), change("intent-a.json", 4))
    (finding,) = trail.verified([*trail.lines, more.text]).findings
    assert str(finding).endswith("entry 4 is not known to the state table: it was put in")
    stranger = link("shard", end(last), change("intent-stranger.json", 1))
    (finding,) = trail.verified([*trail.lines, stranger.text]).findings
    assert str(finding).endswith("entry 1 is not known to the state table: it was put in")


def test_an_entry_that_is_put_in_between_about_something_unknown_is_found() -> None:
    trail = Trail()
    first, *_ = (trail.add("intent-a.json") for _ in range(3))
    stranger = link("shard", end(first), change("intent-stranger.json", 1))
    assert named(trail.verified([*trail.lines, stranger.text])) == {place(stranger)}


def test_entries_that_are_published_before_their_shard_is_moved_on_are_no_finding() -> None:
    trail = Trail()
    first = trail.add("intent-a.json")
    trail.add("intent-a.json")
    assert not trail.verified(trail.lines, shards={"shard": end(first)}).findings


def test_of_a_row_that_began_before_the_earliest_line_the_entries_before_it_are_not_missed() -> None:
    trail = Trail()
    for _ in range(4):
        trail.add("intent-a.json")
    began: dict[str, Any] = {"since": "2026-11-23T10:00:03.000Z"}
    assert not trail.verified(trail.lines[2:], **began).findings
    chain = "intent/intent-a.json/v1"
    assert named(trail.verified([trail.lines[1], trail.lines[3]], **began)) == {(chain, 3)}
    assert named(trail.verified([], **began)) == {(chain, 4), ("shard", 4)}
    (finding,) = trail.verified([], **began | {"rows": []}).findings
    assert (finding.chain, finding.seq) == ("shard", 4)


def test_what_may_still_be_on_its_way_is_not_missed() -> None:
    trail = Trail()
    trail.add("intent-a.json")
    assert trail.verified([], until="2026-11-23T10:00:01.000Z").findings
    assert not trail.verified([], until="2026-11-23T10:00:00.999Z").findings


def test_a_row_that_differs_from_its_last_entry_is_found() -> None:
    trail = Trail()
    trail.add("intent-a.json")
    rows = [change("intent-a.json", 1, by="AWS:another")]
    (finding,) = trail.verified(trail.lines, rows=rows).findings
    assert str(finding).endswith("entry 1 is another one than the state table knows: it was replaced")


def test_a_row_that_was_made_anew_goes_on_behind_what_it_had() -> None:
    trail = Trail()
    trail.add("intent-a.json")
    trail.publish("intent-a.json", change("intent-a.json", 1_800_000_000_000, after=0))
    trail.add("intent-a.json")
    assert not trail.verified(trail.lines).findings
    findings = trail.verified([*trail.lines[:1], *trail.lines[2:]]).findings
    assert [finding.seq for finding in findings] == [2, 2]
    assert findings[0].what == "is missing, with 1799999999998 behind it"


def test_entries_of_a_batch_through_which_the_time_cuts_are_not_missed() -> None:
    """The log has an entry of each chain at the batch's time, and the ones behind it some milliseconds later."""
    trail = Trail()
    for name in ("a", "b", "a", "b", "a", "c", "c"):  # one batch
        trail.add(f"intent-{name}.json")
    for at in ("06", "07"):
        trail.add("intent-c.json", at=f"2026-11-23T10:00:{at}.000Z")
    lines = [line for at, line in enumerate(trail.lines) if at not in {0, 1, 5}]
    rows = [replace(change, began="2026-11-23T10:00:00.000Z") for change in trail.rows.values()]
    assert not trail.verified(lines, rows=rows, since="2026-11-23T10:00:04.000Z").findings
    assert trail.verified(lines, rows=rows, since="2026-11-23T10:00:01.000Z").findings


def test_what_is_read_of_a_batch_that_is_on_its_way_is_not_all_of_it() -> None:
    trail = Trail()
    for _ in range(4):
        trail.add("intent-a.json")
    lines = [trail.lines[0], trail.lines[1], trail.lines[3]]
    assert not trail.verified(lines, until="2026-11-23T10:00:03.500Z").findings
    assert named(trail.verified(lines, until="2026-11-23T10:00:04.500Z")) == both([trail.entries[2]])


def test_altered_copies_of_entries_that_are_there_do_not_hide_what_is_removed_with_its_row() -> None:
    trail = Trail()
    for name in ("intent-a.json", "intent-gone.json", "intent-a.json"):
        trail.add(name)
    del trail.rows["intent-gone.json"]
    lines = [trail.lines[0], trail.lines[2]]
    forged = trail.lines[0].replace("AWS:me", "AWS:it")
    elsewhere = [forged.replace("intent-a.json", f"intent-{number}.json") for number in range(3)]
    found = named(trail.verified([*lines, forged, *elsewhere]))
    assert found >= {("intent/intent-a.json/v1", 1), ("intent/intent-0.json/v1", 1), ("shard", 2)}


def test_of_a_chain_without_a_row_the_entries_before_the_earliest_line_are_not_missed() -> None:
    """Its row is gone with an earlier stack of the same name, whose log is kept."""
    trail = Trail()
    for _ in range(4):
        trail.add("intent-a.json")
    assert not trail.verified(trail.lines[2:], rows=(), shards={}, since="2026-11-23T10:00:03.000Z").findings
    left = [trail.lines[1], trail.lines[3]]
    found = named(trail.verified(left, rows=(), shards={}, since="2026-11-23T10:00:02.000Z"))
    assert found == both([trail.entries[2]])


@pytest.mark.parametrize("digest", ["its", "another"])
def test_a_status_is_held_against_the_entry_about_it(digest: str) -> None:
    trail = Trail()
    trail.add("intent-a.json", event="failed", status_sha256="its")
    trail.statuses.append(status(digest))
    found = [str(finding) for finding in trail.verified(trail.lines).findings]
    named = "intent-a.json (version v1): entry 1 is another one than its status knows: it was replaced"
    assert found == ([] if digest == "its" else [named])


def test_a_status_that_no_entry_is_about_is_found() -> None:
    trail = Trail(statuses=[status("its")])
    assert [str(one) for one in trail.verified([]).findings] == [
        "intent-a.json (version v1): the entry about its status is missing"
    ]


@pytest.mark.parametrize("seq", [-(10**15), -1, 0, 10**15, 10**30])
def test_a_line_with_any_number_is_found_and_takes_no_time(seq: int) -> None:
    trail = Trail()
    for _ in range(3):
        trail.add("intent-a.json")
    forged = link("shard", replace(trail.ends["shard"], entries=abs(seq)), change("intent-a.json", seq, at="later"))
    lines = [*trail.lines, forged.text]
    for since in ("", "2026-11-23T10:00:01.000Z"):
        (finding,) = trail.verified(lines, since=since).findings
        assert finding.seq == seq
    first = 4 if seq > 0 else seq
    assert first in {one.seq for one in verify(lines, Known()).findings}, "or those between are missing"


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "7", '{"chain": 7}', '{"chain":1,"seq":1,"shard":"","n":1,"prev":"","hash":""}', "null", '"a"',
     r'{"chain":"\ud800","seq":1,"shard":"","n":1,"prev":"","hash":""}'],
)  # fmt: skip
def test_a_line_that_is_no_entry_is_none(line: str) -> None:
    assert read(line) is None


# ---------------------------------------------------------------- what the entries say


def entries(world: World, handoff: Handoff) -> list[dict[str, Any]]:
    """Publish what has happened, hold it against what is known, and give what is about a handoff."""
    state: Any = world.state
    audit = MemoryAudit()
    for shard, records in stream(state.written).items():
        audit.deliver(shard, records)
    assert not audit.verified(known(state, world.bucket)).findings
    mine = f"intent/{handoff.key}/{handoff.version_id}"
    return [document for line in audit.lines if (document := json.loads(line))["chain"] == mine]


def test_the_entries_say_who_dropped_what_when_and_how_it_ended() -> None:
    world = World()
    handoff = replace(world.drop(), principal="AWS:AIDA:me", address="192.0.2.7")
    admit.answer(world.app, handoff, world.deadline)
    claimed, decided = entries(world, handoff)
    assert (claimed["by"], claimed["address"], claimed["put"]) == ("AWS:AIDA:me", "192.0.2.7", handoff.event_time)
    assert (claimed["namespace"], claimed["target"], claimed["replicas"]) == ("oran-sim", "cnf-simulator", 3)
    assert (decided["event"], decided["moved_to"]) == ("succeeded", "processed")
    assert decided["package"] == "packages/oran-sim/cnf-simulator/cnf-simulator-v1.0.0/"


def test_a_priority_that_is_denied_has_the_rule() -> None:
    world = World()
    world.configure(priority_queues=True)
    handoff = replace(world.drop(body=intent(priority="critical")), principal="AWS:stranger")
    admit.answer(world.app, handoff, world.deadline)
    (queued,) = entries(world, handoff)
    assert (queued["asked_for"], queued["priority"]) == ("critical", "normal")
    assert queued["rule"] == "priority critical refused to AWS:stranger: treated as normal"


def test_a_rejection_has_its_code_and_rules_and_nothing_of_what_the_file_says() -> None:
    world = World()
    handoff = world.drop(body=intent(replicas=-1, target="s3cr3t value"))
    admit.answer(world.app, handoff, world.deadline)
    (failed,) = entries(world, handoff)
    assert (failed["event"], failed["code"], failed["moved_to"]) == ("failed", "E003", "failed")
    assert "minimum" in failed["rules"]
    assert "s3cr3t" not in json.dumps(failed)


def test_each_attempt_has_entries_and_says_when_the_next_one_is_due() -> None:
    world = World()
    world.configure(priority_queues=True)
    world.porch.script = [Cause.NETWORK_ERROR, None]
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.work()
    retry = world.status()["next_retry"]
    world.clock.wait(120)
    world.work()
    found = entries(world, handoff)
    assert [(one["event"], one.get("attempt"), one.get("code")) for one in found] == [
        ("queued", None, None),
        ("processing", 1, None),
        ("retrying", 1, "E014"),
        ("processing", 2, None),
        ("succeeded", 2, None),
    ]
    assert found[2]["next_retry"] == retry


def test_an_attempt_that_is_given_back_has_an_entry_and_counts_nothing() -> None:
    world = World()
    world.porch.on_run = _broken
    handoff = world.drop()
    with pytest.raises(OSError, match="no porch"):
        admit.answer(world.app, handoff, world.deadline)
    _, given_back = entries(world, handoff)
    assert (given_back["event"], given_back["attempt"], given_back["because"]) == (
        "retrying",
        1,
        "the attempt was given back",
    )


def _broken() -> None:
    raise OSError("no porch")


def test_what_the_sweeper_finds_has_an_entry() -> None:
    world = World()
    world.configure(priority_queues=True)
    handoff = world.drop()
    world.clock.wait(400)
    take_turn(world.app, world.deadline)
    (queued,) = entries(world, handoff)
    assert (queued["event"], queued["because"]) == (Phase.QUEUED, "found by the sweeper")


@pytest.mark.parametrize(
    ("spoilt", "value"),
    [
        ("phase", {"S": "nothing"}),
        ("outcome", {"S": "{"}),
        ("outcome", {"S": '{"status": 7, "archive": []}'}),
        ("last", {"S": '{"tally": {"decided": "7"}}'}),
        ("last", {"S": "[]"}),
        ("last", {"N": "7"}),
        ("last", {"S": json.dumps({"at": "2026-11-23T10:00:00.000Z", "by": "x" * 200_000})}),
    ],
)
def test_a_corrupt_row_has_an_entry_that_says_so_and_keeps_no_other_from_being_published(
    spoilt: str, value: dict[str, str]
) -> None:
    world = World()
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    image = state.written[-1]["NewImage"]
    spoilt_change = last_change(image | {spoilt: value})
    assert spoilt_change is not None
    assert spoilt_change.fields == {"event": "unreadable"}
    assert not spoilt_change.tally


def test_a_row_whose_last_facts_are_removed_is_held_against_its_entries() -> None:
    world = World()
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    image = state.written[-1]["NewImage"]
    spoilt = last_change({name: value for name, value in image.items() if name != "last"})
    assert spoilt is not None
    assert (spoilt.seq, spoilt.fields) == (int(image["entries"]["N"]), {"event": "unreadable"})


@pytest.mark.parametrize("due_at", ["1e17", "1e30", "-1e30", "1e125"])
def test_a_time_that_is_none_keeps_no_entry_back(due_at: str) -> None:
    failure = {"S": json.dumps({"cause": Cause.NETWORK_ERROR})}
    row = {"phase": {"S": "retrying"}, "due_at": {"N": due_at}, "failure": failure, "entries": {"N": "1"}}
    last = {"S": json.dumps({"at": "2026-11-23T10:00:00.000Z", "tally": {}, "attempt": 1})}
    spoilt = last_change({"pk": {"S": "intent#intent-a.json"}, "sk": {"S": "v1"}, "last": last, **row})
    assert spoilt is not None
    assert spoilt.fields == {"event": "unreadable"}


@pytest.mark.parametrize("entries", [{"S": "1"}, {"N": "0.5"}, {"N": "-1"}, {}])
def test_a_row_that_does_not_say_which_entry_is_its_last_has_none(entries: dict[str, str]) -> None:
    world = World()
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    assert last_change(state.written[-1]["NewImage"] | {"entries": entries}) is None


def test_a_message_is_claimed_with_one_write_without_a_read_of_the_row() -> None:
    world = World()
    world.configure(priority_queues=True)
    admit.answer(world.app, world.drop(), world.deadline)
    tried: list[object] = []

    def counted(write: Write) -> Conflict | None:
        tried.append(write)
        return world.state.write(write)

    with instead(world, is_claim, counted):
        world.work()
    assert len(tried) == 1


def test_a_trail_of_an_intent_that_was_cleaned_up_after_is_whole_from_the_middle_of_its_life() -> None:
    world = World()
    handoff = world.drop(body=intent(target="odu"))
    late_worker(world, handoff)  # entry 1; its lease runs out
    since = timestamp(world.clock())
    admit.answer(world.app, handoff, world.deadline)  # entries 2 and 3
    assert swept(world).cleaned == 1
    audit = MemoryAudit()
    for shard, records in stream(world.state.written).items():  # type: ignore[attr-defined]
        audit.deliver(shard, records)
    lines = [line for line in audit.lines if json.loads(line)["at"] >= since]
    assert len(lines) == 2
    knows = replace(known(world.state, world.bucket), since=since)  # type: ignore[arg-type]
    assert audit.verified(knows, lines).findings == []


def test_the_last_entry_of_a_shard_that_is_replaced_is_found_whatever_is_put_in_behind_it() -> None:
    trail, since = Trail(), "2026-11-23T10:30:00.000Z"
    trail.add("intent-b.json", shard="shard-0")  # published before the lines begin
    trail.add("intent-a.json", shard="shard-1", at="2026-11-23T11:00:00.000Z")
    trail.add("intent-a.json", shard="shard-2", at="2026-11-23T11:00:01.000Z")
    trail.add("intent-b.json", shard="shard-2", at="2026-11-23T11:00:02.000Z")
    forged = link("shard-1", Shard(), change("intent-a.json", 1, at="2026-11-23T11:00:00.000Z", by="AWS:other"))
    behind = link("shard-1", end(forged), change("intent-b.json", 1))
    _, real, *rest = (one.text for one in trail.entries)
    assert trail.verified([real, *rest], since=since).findings == []
    assert trail.verified([forged.text, behind.text, *rest], since=since).findings
