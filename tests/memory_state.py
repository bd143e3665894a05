"""The state table in memory: the same promises as DynamoDB's, held to them by tests/integration."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from conductor_loop.app import Cursor, Turn
from conductor_loop.audit.chain import Entry
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import (
    Applied,
    Beside,
    Claim,
    Outcome,
    Pause,
    Refusal,
    Row,
    State,
    Target,
    Untidy,
)
from conductor_loop.order import earliest, known, latest, order


@dataclass
class MemoryState:
    """The state table's rows; each method is one atomic write."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # name to the order and id of its newest version
    correlations: dict[str, str] = field(default_factory=dict)
    unclean: dict[str, bool] = field(default_factory=dict)  # what the next claim of a target will be told
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    notes: set[tuple[str, str]] = field(default_factory=set)  # of handoffs that are to be tidied up
    packages: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))  # noted by attempts
    corrupt: dict[str, Unreadable] = field(default_factory=dict)  # rows that nobody can read, by their path
    sweeping: tuple[str, float] | None = None  # whose turn it is, and until when
    cursor: Cursor | None = None  # of the next sweep

    def register(
        self, handoff: Handoff, state: State, now: float, seen: Row | None = None, *, beside: Beside | None = None
    ) -> Refusal | None:
        newest = handoff.version_id if handoff.sequencer else ""
        refusal = self._refused_alone(handoff, now, seen, newest)
        if refusal is not None:
            return refusal
        row = self.rows.get(_id(handoff))
        entry, priority = (beside.entry, beside.priority) if beside else (None, "")
        kept = row or Row(state)
        waits = replace(
            kept,
            state=state,
            held_until=0.0,
            since=now,
            sweeps=row.sweeps + 1 if row else 0,
            queued_at=now if state is State.QUEUED else kept.queued_at,
            order=order(handoff),
            priority=priority or kept.priority,
        )
        self.rows[_id(handoff)] = _noted(waits, entry)
        if newest:
            self.names[handoff.key] = (latest(order(handoff)), newest)
        return None

    def learn(self, handoff: Handoff) -> None:
        row, second = self.rows.get(_id(handoff)), handoff.event_time[:19]
        if row is not None and row.order in {second, f"{second}~"}:
            self.rows[_id(handoff)] = replace(row, order=order(handoff))

    def outrank(self, handoff: Handoff, older: Collection[str], now: float) -> None:
        del now
        if self._newer(handoff) in {None, *older}:
            self.names[handoff.key] = (latest(order(handoff)), handoff.version_id)

    def _refused_alone(self, handoff: Handoff, now: float, seen: Row | None, newest: str) -> Refusal | None:
        """Hold a write that needs no target against the row and, where the name is noted, against that one's."""
        self._check_readable(_path(handoff))
        row = self.rows.get(_id(handoff))
        as_seen, newer = _as_seen(row, seen, now), self._newer(handoff) if newest else None
        return None if as_seen and newer is None else Refusal(None if as_seen else row, newer_version=newer)

    def _check_readable(self, *paths: str) -> None:
        for path in paths:
            if path in self.corrupt:
                raise self.corrupt[path]

    def _newer(self, handoff: Handoff) -> str | None:
        """Give the newest version of the name, unless this one is certainly not older."""
        last_order, last_version = self.names.get(handoff.key, ("", handoff.version_id))
        is_newest = last_version == handoff.version_id or last_order <= earliest(order(handoff))
        return None if is_newest else last_version

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        refusal = self._refused(claim, now, seen)
        if refusal is not None:
            return refusal
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        taken = replace(
            row or Row(State.PROCESSING),
            state=State.PROCESSING,
            attempt=claim.attempt,
            owner=claim.owner,
            held_until=claim.lease_until,
            since=now,
            priority=claim.priority,
            late=claim.late or (row is not None and row.late),
            order=order(claim.handoff),
        )
        self.rows[_id(claim.handoff)] = _noted(taken, claim.entry)
        unclean = self.unclean.get(claim.target, False)
        self.targets[claim.target] = replace(
            target, lease_owner=claim.owner, held_until=claim.lease_until, unclean=unclean
        )
        self.unclean[claim.target] = True
        self.names[claim.handoff.key] = (latest(order(claim.handoff)), claim.handoff.version_id)
        if claim.correlation_id is not None:
            self.correlations[claim.correlation_id] = claim.handoff.file
        return None

    def _refused(self, claim: Claim, now: float, seen: Row | None) -> Refusal | None:
        self._check_readable(_path(claim.handoff), f"target/{claim.target}")
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        newer = self._newer(claim.handoff)
        user = self.correlations.get(claim.correlation_id or "")
        in_order = not claim.supersedes or target.last_order <= latest(order(claim.handoff))
        free = target.held_until <= now and in_order
        as_seen = _as_seen(row, seen, now)
        if as_seen and free and newer is None and user in {None, claim.handoff.file}:
            return None
        return Refusal(
            row=None if as_seen else row,
            target=None if free else target,
            newer_version=newer,
            correlated_file=None if user == claim.handoff.file else user,
            superseding=claim.supersedes,
        )

    def postpone(self, claim: Claim, pause: Pause, now: float) -> Refusal | None:
        lost = self._lost(claim)
        if lost is None:
            row = self.rows[_id(claim.handoff)]
            waits = replace(
                row,
                state=State.RETRYING,
                attempt=claim.attempt - (not pause.counts),
                held_until=pause.until,
                patience=pause.patience,
                since=now,
                owner="",
                late=row.late or not pause.counts,
                failure=pause.failure or row.failure,
            )
            self.rows[_id(claim.handoff)] = _noted(waits, pause.entry)
            self._release(claim, None, published=not pause.counts)
            self._count(pause.tally)
        return lost

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        lost = self._lost(claim)
        if lost is None:
            self._record(claim.handoff, outcome, now)
            self._release(claim, applied)
        return lost

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None, *, newest: str = ""
    ) -> Refusal | None:
        refusal = self._refused_alone(handoff, now, seen, newest)
        if refusal is None:
            self._record(handoff, outcome, now, order(handoff))
            if newest:
                self.names[handoff.key] = (latest(order(handoff)), newest)
        return refusal

    def find(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row]:
        return {handoff: self.rows[_id(handoff)] for handoff in handoffs if _id(handoff) in self.rows}

    def target(self, name: str) -> Target:
        self._check_readable(f"target/{name}")
        return self.targets.get(name, Target())

    def correlated(self, correlation_id: str, now: float) -> str | None:
        del now  # none of them expires
        return self.correlations.get(correlation_id)

    def read(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row | Unreadable]:
        handoffs = list(handoffs)
        return {
            **self.find(handoffs),
            **{one: self.corrupt[path] for one in handoffs if (path := _path(one)) in self.corrupt},
        }

    def mend(self, error: Unreadable, version: str | None = None, *, entry: Entry | None = None) -> bool:
        del version
        if self.corrupt.pop(error.name, None) is None:
            return False  # another one did it
        kind, _, name = error.name.partition("/")
        if kind == "intent":
            key, _, handoff_version = name.rpartition("/")
            self.rows[key, handoff_version] = _noted(Row(State.ADMITTED, late=True), entry)
        return True

    def note_package(self, handoff: Handoff, prefix: str, now: float) -> None:
        del now
        self.packages[_id(handoff)].add(prefix)

    def noted_packages(self, handoff: Handoff) -> Collection[str]:
        return self.packages.get(_id(handoff), set())

    def note_sweep(self, handoff: Handoff, now: float) -> None:
        row = self.rows[_id(handoff)]
        self.rows[_id(handoff)] = replace(row, sweeps=row.sweeps + 1, swept_at=now)

    def untidy(self, bucket: str, now: float, most: int) -> list[Untidy]:
        due = sorted((self.rows[key].held_until, key) for key in self.notes if self.rows[key].held_until <= now)
        found = [(Handoff(bucket, *key), self.rows[key]) for _, key in due[:most]]
        return [Untidy(known(handoff, row.order), row.outcome) for handoff, row in found]

    def put_off(self, handoff: Handoff, until: float, now: float) -> bool:
        row = self.rows[_id(handoff)]
        if _id(handoff) not in self.notes or row.held_until > now:
            return False
        self.rows[_id(handoff)] = replace(row, held_until=until)
        return True

    def tidied(self, handoff: Handoff) -> None:
        if _id(handoff) in self.notes:
            self.notes.remove(_id(handoff))
            self.rows[_id(handoff)] = replace(self.rows[_id(handoff)], held_until=0.0)

    def begin_sweep(self, owner: str, until: float, now: float) -> Turn | None:
        if self.sweeping is not None and self.sweeping[1] > now:
            return None
        self.sweeping = owner, until
        return Turn(owner, self.cursor)

    def end_sweep(self, turn: Turn) -> None:
        if self.sweeping is not None and self.sweeping[0] == turn.owner:
            self.sweeping, self.cursor = None, turn.cursor

    def _count(self, tally: Mapping[str, float]) -> None:
        for name, by in tally.items():
            self.counters[name] += by

    def _lost(self, claim: Claim) -> Refusal | None:
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        mine = row is not None and (row.state, row.owner, row.attempt) == (
            State.PROCESSING,
            claim.owner,
            claim.attempt,
        )
        target_mine = target.lease_owner == claim.owner
        return None if mine and target_mine else Refusal(None if mine else row, None if target_mine else target)

    def _record(self, handoff: Handoff, outcome: Outcome, now: float, put: str = "") -> None:
        row = self.rows.get(_id(handoff)) or Row(outcome.state)
        decided = replace(row, state=outcome.state, outcome=outcome, since=now, held_until=outcome.tidy_at, owner="")
        decided = replace(decided, failure=None, order=put or row.order)
        if outcome.tidy_at:
            self.notes.add(_id(handoff))
        self.rows[_id(handoff)] = _noted(decided, outcome.entry)
        self._count(outcome.tally)

    def _release(self, claim: Claim, applied: Applied | None, *, published: bool = False) -> None:
        target = replace(self.targets[claim.target], lease_owner="", held_until=0.0)
        if not published:
            self.unclean[claim.target] = False if applied else target.unclean
        if applied is not None:
            target = Target(
                last_order=applied.order,
                last_file=claim.handoff.file,
                generation=applied.generation,
                version=applied.version,
                replicas=applied.replicas,
                unclean=target.unclean,
            )
        self.targets[claim.target] = target


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def _path(handoff: Handoff) -> str:
    return f"intent/{handoff.key}/{handoff.version_id}"


def _as_seen(row: Row | None, seen: Row | None, now: float) -> bool:
    if row is None or seen is None:
        return row is seen
    mine, theirs = ((one.state, one.attempt, one.order, one.head) for one in (row, seen))
    return mine == theirs and row.held_until <= now


def _noted(row: Row, entry: Entry | None) -> Row:
    return row if entry is None else replace(row, head=entry.head, entries=(*row.entries, entry.text))
