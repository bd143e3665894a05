"""The state table in memory: the same promises as DynamoDB's, held to them by tests/integration."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conductor_loop.app import Cursor, Turn
from conductor_loop.audit.chain import timestamp
from conductor_loop.aws.rows import failure_text, last_of, number, outcome_text, text
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import (
    Applied,
    Beside,
    Claim,
    Last,
    Outcome,
    Pause,
    Refusal,
    Row,
    State,
    Target,
)
from conductor_loop.order import earliest, latest, order


@dataclass(frozen=True)
class Written:
    """A write that has an entry, as the table's stream has it."""

    handoff: Handoff
    before: "Written | None" = field(repr=False)
    row: Row
    last: Last
    target: str = ""

    @property
    def image(self) -> dict[str, Any]:
        row, put = self.row, self.handoff
        image = {
            "pk": text(f"intent#{put.key}"),
            "sk": text(put.version_id),
            "rev": number(row.rev),
            "last": last_of(put, self.last),
            "state": text(row.state),
            "attempt": number(row.attempt),
            "since": number(row.since),
            "held_until": number(row.held_until),
            "arrived": text(f"{put.event_time}#{put.file}"),
        }
        image |= {"target": text(self.target)} if self.target else {}
        image |= {"priority": text(row.priority)} if row.priority else {}
        image |= {"failure": text(failure_text(row.failure))} if row.failure else {}
        return image | ({"outcome": text(outcome_text(row.outcome))} if row.outcome else {})

    @property
    def record(self) -> dict[str, Any]:
        """Give the record of the stream, but for its place there."""
        return {"NewImage": self.image} | ({"OldImage": self.before.image} if self.before else {})


@dataclass
class MemoryState:
    """The state table's rows; each method is one atomic write."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # name to the order and id of its newest version
    correlations: dict[str, str] = field(default_factory=dict)
    unclean: set[tuple[str, str]] = field(default_factory=set)  # rows of handoffs that are to be cleaned up after
    corrupt: dict[str, Unreadable] = field(default_factory=dict)  # rows that nobody can read, by their path
    sweeping: tuple[str, float] | None = None  # whose turn it is, and until when
    cursor: Cursor | None = None  # of the next sweep

    def __post_init__(self) -> None:  # what no write depends on
        self.written: list[Written] = []  # oldest first
        self.newest: dict[tuple[str, str], Written] = {}  # of each row

    def register(
        self, handoff: Handoff, state: State, now: float, seen: Row | None = None, *, beside: Beside | None = None
    ) -> Refusal | None:
        newest = handoff.version_id if handoff.sequencer else ""
        refusal = self._refused_alone(handoff, now, seen, newest)
        if refusal is not None:
            return refusal
        row = self.rows.get(_id(handoff))
        beside = beside or Beside()
        kept = row or Row(state)
        waits = replace(
            kept,
            state=state,
            held_until=0.0,
            since=now,
            sweeps=row.sweeps + 1 if row else 0,
            queued_at=now if state is State.QUEUED else kept.queued_at,
            order=order(handoff),
            priority=beside.priority or kept.priority,
        )
        self._revise(handoff, waits, beside.last)
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
            target=claim.target,
            reserved=claim.reserved,
            order=order(claim.handoff),
        )
        self._revise(claim.handoff, taken, claim.last, claim.target)
        self.targets[claim.target] = replace(
            target, lease_owner=claim.owner, held_until=claim.lease_until, reserved=claim.number + 1
        )
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
        as_read = (target.reserved, target.generation) == (claim.number, claim.generation)
        free = target.held_until <= now and in_order and as_read
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
                reserved=claim.reserved if pause.next_number else claim.earlier,
                failure=pause.failure or row.failure,
            )
            self._revise(claim.handoff, waits, pause.last)
            self._release(claim, None, pause.next_number or claim.number)
        return lost

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        lost = self._lost(claim)
        if lost is None:
            self._record(claim.handoff, outcome, now)
            self.rows[_id(claim.handoff)] = replace(self.rows[_id(claim.handoff)], reserved=claim.earlier)
            self._release(claim, applied, claim.number + (applied is not None))
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

    def mend(self, error: Unreadable, reserved: int | None = None, *, now: float, last: Last) -> bool:
        del reserved
        if self.corrupt.pop(error.name, None) is None:
            return False  # another one did it
        kind, _, name = error.name.partition("/")
        if kind == "intent":
            key, _, handoff_version = name.rpartition("/")
            before = self.rows.get((key, handoff_version))
            anew = Row(State.ADMITTED, rev=before.rev if before else int(now * 1000) - 1)
            self._revise(Handoff("", key, handoff_version), anew, {"at": timestamp(now), **last})
        return True

    def note_sweep(self, handoff: Handoff, now: float) -> None:
        row = self.rows[_id(handoff)]
        self.rows[_id(handoff)] = replace(row, sweeps=row.sweeps + 1, swept_at=now)

    def uncleaned(self, bucket: str, now: float, most: int) -> list[Handoff]:
        due = sorted((self.rows[key].held_until, key) for key in self.unclean if self.rows[key].held_until <= now)
        return [Handoff(bucket, *key) for _, key in due[:most]]

    def cleaned(self, handoff: Handoff, left: Sequence[int] = ()) -> None:
        if _id(handoff) not in self.unclean:
            return
        row = replace(self.rows[_id(handoff)], reserved=tuple(left))
        if not left:
            self.unclean.remove(_id(handoff))
            row = replace(row, held_until=0.0)
        self.rows[_id(handoff)] = row

    def begin_sweep(self, owner: str, until: float, now: float) -> Turn | None:
        if self.sweeping is not None and self.sweeping[1] > now:
            return None
        self.sweeping = owner, until
        return Turn(owner, self.cursor)

    def end_sweep(self, turn: Turn) -> None:
        if self.sweeping is not None and self.sweeping[0] == turn.owner:
            self.sweeping, self.cursor = None, turn.cursor

    def _revise(self, handoff: Handoff, row: Row, last: Last, target: str = "") -> None:
        before = self.newest.get(_id(handoff))
        target = target or (before.target if before else "")
        handoff = replace(handoff, event_time=before.handoff.event_time) if before else handoff
        self.rows[_id(handoff)] = row = replace(row, rev=row.rev + 1)
        self.newest[_id(handoff)] = Written(handoff, before, row, last, target)
        self.written.append(self.newest[_id(handoff)])

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
        decided = replace(
            row, state=outcome.state, outcome=outcome, since=now, held_until=outcome.clean_up_at, owner=""
        )
        decided = replace(decided, failure=None, order=put or row.order)
        if outcome.clean_up_at:
            self.unclean.add(_id(handoff))
        self._revise(handoff, decided, outcome.last)

    def _release(self, claim: Claim, applied: Applied | None, following: int) -> None:
        target = replace(self.targets[claim.target], lease_owner="", held_until=0.0, reserved=following)
        if applied is not None:
            target = Target(
                last_order=applied.order,
                last_file=claim.handoff.file,
                generation=applied.generation,
                version=applied.version,
                replicas=applied.replicas,
                reserved=following,
            )
        self.targets[claim.target] = target


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def _path(handoff: Handoff) -> str:
    return f"intent/{handoff.key}/{handoff.version_id}"


def _as_seen(row: Row | None, seen: Row | None, now: float) -> bool:
    if row is None or seen is None:
        return row is seen
    mine, theirs = ((one.state, one.attempt, one.order, one.rev, one.reserved) for one in (row, seen))
    return mine == theirs and row.held_until <= now
