"""In-memory parts that hold everything that is done to them against what must be true."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from conductor_loop.intent import Handoff
from conductor_loop.intents.model import TRANSITIONS, Conflict, Phase, Row, State, Write, is_exact
from tests.auditing import MemoryAudit, known, stream
from tests.memory import MemoryBucket
from tests.memory_state import MemoryState

if TYPE_CHECKING:
    from tests.schedules import Schedule
    from tests.workers import Drop


def assert_follows(before: Row, after: Row) -> None:
    """Hold one write of a row against the table of transitions."""
    state = before.state if before.rev else None
    assert after.state in TRANSITIONS[state], f"{before} -> {after} is not in TRANSITIONS"
    if before.outcome is not None:
        assert after.outcome == before.outcome, f"changed: {before} to {after}"


class WatchedState(MemoryState):
    """Records every decision as it is made, and holds each claim against those in force."""

    def __init__(self, world: "Schedule") -> None:
        super().__init__()
        self.world = world
        self.in_force: list[Write] = []  # claims
        self.known: dict[tuple[str, str], bool] = {}  # whether the order of what is claimed was known to the system
        self.applied: dict[str, list[tuple[Drop, bool]]] = {}

    def write(self, write: Write) -> Conflict | None:
        before = self.rows.get(_id(write.handoff), Row())
        conflict = super().write(write)
        if conflict is not None:
            return conflict
        after = self._left(write)
        if after.rev == before.rev:
            assert replace(before, order=after.order) == after, f"changed without a revision: {before} to {after}"
            return None
        assert_follows(before, after)
        if write.after.state is State.RUNNING:
            self._check_alone(write)
            self._check_newest(write)
            self.in_force.append(write)
            self.known[_id(write.handoff)] = self.world.drops[write.handoff.version_id].known
        elif write.lease is not None:
            self._release(write)
        if write.after.state is State.DONE and before.state is State.DONE and before.due_at and not after.due_at:
            self.world.count("handoffs cleaned up after")
        if write.after.outcome is not None and before.outcome is None:
            self.world.decided(write.handoff, write.after.outcome)
            if write.lease is not None and write.after.outcome.phase is Phase.SUCCEEDED:
                drop = self.world.drops[write.handoff.version_id]
                self.applied.setdefault(write.lease.target, []).append((drop, self.known[_id(write.handoff)]))
        return None

    def _left(self, write: Write) -> Row:
        """Give the row that a write leaves; where it was spoiled since it was read, as it would be without that."""
        mine = _id(write.handoff)
        if write.after.rev > self.rows[mine].rev:
            self.rows[mine] = write.after
        return self.rows[mine]

    def _release(self, write: Write) -> None:
        mine = [
            one for one in self.in_force if one.after.rev == write.before.rev and one.handoff.key == write.handoff.key
        ]
        mine = [one for one in mine if one.handoff.version_id == write.handoff.version_id]
        assert mine, f"a claim that had been taken over was honoured: {write}"
        self.in_force.remove(mine[0])
        failed = write.after.state is State.WAITING and write.after.failure != write.before.failure
        self.world.drops[write.handoff.version_id].reported += failed

    def _check_alone(self, claim: Write) -> None:
        """No two live owners: whatever the new claim stands in the way of has run out, by the claimant's clock."""
        assert claim.lease is not None
        rivals = [one for one in self.in_force if one.lease and one.lease.target == claim.lease.target]
        rivals += [one for one in self.in_force if one not in rivals and _id(one.handoff) == _id(claim.handoff)]
        for rival in rivals:
            self.world.count("leases taken over")
            assert round(rival.after.due_at, 3) <= claim.at, f"two live owners: {rival} and {claim}"
            self.in_force.remove(rival)

    def _check_newest(self, claim: Write) -> None:
        """No version runs after a newer one of its name was admitted or decided, whatever became of that."""
        mine = self.world.drops[claim.handoff.version_id]
        for drop in self.world.drops.values():
            if drop.handoff.key == claim.handoff.key and drop.put_at > mine.put_at:
                row = self.rows.get(_id(drop.handoff))
                seen = row is not None and (is_exact(row.order) or row.order.endswith("~"))
                assert not seen, f"{claim.handoff} runs, although {drop.handoff} was seen: {row}"


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def assert_live(state: WatchedState, bucket: MemoryBucket, packages: Mapping[str, bytes]) -> None:
    """Hold the live tree against the last applied intent of each target; ``packages`` are files as they were decided.

    One whose version was deleted for good before it was settled may be missing: no record of it is left.
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
        found = found.rpartition(b"# generation ")[0] if found else found  # the line that makes each one unique
        assert found in allowed, f"{target}: {found!r} is live, but {allowed[0]!r} was applied last"
    assert not live, f"live, but never applied: {live}"


def assert_trail(state: MemoryState, bucket: MemoryBucket, drops: "Iterable[Drop]") -> None:
    """Each transition has its entry, rows and statuses fit them, and each decision is counted once."""
    audit, events, decided = MemoryAudit(), defaultdict[str, list[Phase]](list), Counter[str]()
    for shard, records in stream(state.written).items():
        audit.deliver(shard, records)
    verification = audit.verified(known(state, bucket))
    assert not verification.findings, verification.findings
    for entry in map(json.loads, audit.lines):
        events[entry["chain"]].append(Phase(entry["event"]))
    for drop in drops:
        mine = events[f"intent/{drop.handoff.key}/{drop.handoff.version_id}"]
        decisions = [phase for phase in mine if phase.done]  # a row that is reset says again what is decided
        assert len(decisions) <= 1 or (drop.spoiled and {*decisions} == {mine[-1]}), f"{drop.handoff}: {mine}"
        if drop.decided:
            assert mine[-1] is drop.decided[0].phase
            decided[f"files_{drop.decided[0].status['status']}"] += 1
    assert decided == {name: count for name, count in audit.counters.items() if name.startswith("files_")}
