"""In-memory parts that hold everything that is done to them against what must be true."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import TRANSITIONS, Applied, Claim, Outcome, Pause, Refusal, Row, State
from conductor_loop.order import is_exact
from tests.auditing import MemoryAudit, known, stream
from tests.memory import MemoryBucket
from tests.memory_state import MemoryState

if TYPE_CHECKING:
    from tests.schedules import Schedule
    from tests.workers import Drop


class WatchedRows(dict[tuple[str, str], Row]):
    """Holds every write of a handoff's row against the table of transitions."""

    def __setitem__(self, key: tuple[str, str], row: Row) -> None:
        before = self.get(key)
        if before is not None and before.state.decided:
            assert (row.state, row.outcome) == (before.state, before.outcome), f"changed: {before} to {row}"
        elif before is None or replace(before, order=row.order) != row:  # learning an order is no transition
            assert_follows(before.state if before else None, row.state)
        super().__setitem__(key, row)


def assert_follows(before: State | None, after: State) -> None:
    """Hold one transition against the table."""
    assert after in TRANSITIONS[before], f"{before} -> {after} is not in TRANSITIONS"


class WatchedState(MemoryState):
    """Records every decision as it is made, and holds each claim against those in force."""

    def __init__(self, world: "Schedule") -> None:
        super().__init__()
        self.rows = WatchedRows()
        self.world = world
        self.in_force: list[Claim] = []
        self.known: dict[str, bool] = {}  # owner to whether the order of what it claimed was known to the system
        self.applied: dict[str, list[tuple[Drop, bool]]] = {}

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        refusal = super().claim(claim, now, seen)
        if refusal is None:
            self._check_alone(claim, now)
            self._check_newest(claim)
            self.in_force.append(claim)
            self.known[claim.owner] = self.world.drops[claim.handoff.version_id].known
        return refusal

    def postpone(self, claim: Claim, pause: Pause, now: float) -> Refusal | None:
        refusal = super().postpone(claim, pause, now)
        if refusal is None:
            self._let_go(claim)
            self.world.drops[claim.handoff.version_id].told += pause.failure is not None
        return refusal

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        refusal = super().decide(claim, outcome, applied, now)
        if refusal is None:
            self._let_go(claim)
            self.world.decided(claim.handoff, outcome)
            if applied is not None:
                drop = self.world.drops[claim.handoff.version_id]
                self.applied.setdefault(claim.target, []).append((drop, self.known[claim.owner]))
        return refusal

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None, *, newest: str = ""
    ) -> Refusal | None:
        refusal = super().decide_unclaimed(handoff, outcome, now, seen, newest=newest)
        if refusal is None:
            self.world.decided(handoff, outcome)
        return refusal

    def cleaned(self, handoff: Handoff, left: Sequence[int] = ()) -> None:
        self.world.count("handoffs cleaned up after")
        super().cleaned(handoff, left)

    def _check_alone(self, claim: Claim, now: float) -> None:
        """No two live owners: whatever the new claim stands in the way of has run out, by the claimant's clock."""
        rivals = [one for one in self.in_force if one.target == claim.target or _same(one, claim)]
        for rival in rivals:
            self.world.count("leases taken over")
            assert rival.lease_until <= now, f"two live owners: {rival} and {claim}"
            self.in_force.remove(rival)

    def _check_newest(self, claim: Claim) -> None:
        """No version runs after a newer one of its name was admitted or decided, whatever became of that."""
        mine = self.world.drops[claim.handoff.version_id]
        for drop in self.world.drops.values():
            if drop.handoff.key == claim.handoff.key and drop.put_at > mine.put_at:
                row = self.rows.get((drop.handoff.key, drop.handoff.version_id))
                seen = row is not None and (is_exact(row.order) or row.order.endswith("~"))
                assert not seen, f"{claim.handoff} runs, although {drop.handoff} was seen: {row}"

    def _let_go(self, claim: Claim) -> None:
        assert claim in self.in_force, f"a claim that had been taken over was honoured: {claim}"
        self.in_force.remove(claim)


def assert_live(state: WatchedState, bucket: MemoryBucket, packages: Mapping[str, bytes]) -> None:
    """Hold the live tree against the last applied intent of each target; ``packages`` are files as they were decided.

    One whose version was deleted for good before it was settled may be missing: nothing tells of it any more.
    """
    live = {key: bucket.get("", key) for key in bucket.keys("") if key.startswith("live/")}
    for target, applied in state.applied.items():
        allowed: list[bytes | None] = []
        for drop, _ in reversed(applied):
            allowed.append(packages[f"{drop.decided[0].status['package']['prefix']}kustomization.yaml"])
            if not drop.deleted:
                break
        else:
            allowed.append(None)
        found = live.pop(f"live/{target}/kustomization.yaml", None)
        assert found in allowed, f"{target}: {found!r} is live, but {allowed[0]!r} was applied last"
    assert not live, f"live, but never applied: {live}"


def assert_trail(state: MemoryState, bucket: MemoryBucket, drops: "Iterable[Drop]") -> None:
    """Each transition has its entry, rows and statuses fit them, and each decision is counted once."""
    audit, events, decided = MemoryAudit(), defaultdict[str, list[State]](list), Counter[str]()
    for shard, records in stream(state.written).items():
        audit.deliver(shard, records)
    verdict = audit.verified(known(state, bucket))
    assert not verdict.findings, verdict.findings
    for entry in map(json.loads, audit.lines):
        events[entry["chain"]].append(State(entry["event"]))
    for drop in drops:
        mine = events[f"intent/{drop.handoff.key}/{drop.handoff.version_id}"]
        for before, after in pairwise([None, *mine]):
            assert after in TRANSITIONS[before], f"{drop.handoff}: {mine}"
        if drop.decided:
            assert mine[-1] is drop.decided[0].state
            decided[f"files_{drop.decided[0].status['status']}"] += 1
    assert decided == {name: count for name, count in audit.counters.items() if name.startswith("files_")}


def _same(one: Claim, other: Claim) -> bool:
    return (one.handoff.key, one.handoff.version_id) == (other.handoff.key, other.handoff.version_id)
