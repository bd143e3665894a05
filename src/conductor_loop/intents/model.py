"""States, rows, conflicts and order: the nouns of an intent's life. Pure: no call, no clock.

A handoff has one row with three states, and one number that every write depends on:

    (no row) ──admit──▶ waiting ──claim──▶ running ──decide──▶ done ──apply──▶ (input removed)
                           ▲                  │
                           └──── retry ───────┘

``rev`` grows with every write, and every write is conditional on the revision that its writer has read: an optimistic
lock. So it is a worker's fencing token, too: whatever another one has written meanwhile, its own writes are refused.

``due_at`` says when another worker may act: at the end of a lease, or when the next attempt is due. Of what is done, it
says when packages that the decision does not name are deleted.

    claim            due_at
      |--- lease ------|............ another worker may claim: rev + 1
                          |  this one wakes up: its writes are conditional on the old rev, and refused
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff


class State(StrEnum):
    """What may happen to a handoff next; ``TRANSITIONS`` says which states follow."""

    WAITING = "waiting"  # no worker holds it: a message, the next attempt or the sweeper takes it up
    RUNNING = "running"  # a worker holds its lease, and that of its target
    DONE = "done"  # the outcome is decided, and never changes


TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: frozenset(State),
    State.WAITING: frozenset(State),
    State.RUNNING: frozenset(State),  # running again: another worker, after the lease has expired
    State.DONE: frozenset({State.DONE}),  # the sweeper notes what it has done
}


class Phase(StrEnum):
    """What users read of a handoff: derived from its row (``Row.phase``)."""

    ADMITTED = "admitted"  # its row was reset: a message or the sweeper takes it up
    QUEUED = "queued"  # a message for it waits in a queue
    PROCESSING = "processing"  # a worker holds its lease and runs porch
    RETRYING = "retrying"  # an attempt failed for a cause that may pass, or was given back; the next one is due then
    SUCCEEDED = "succeeded"  # the package is published
    FAILED = "failed"  # rejected, or porch failed for good
    TIMED_OUT = "timed_out"  # porch took too long in each attempt
    SKIPPED = "skipped"  # a newer intent replaces it, or its owner removed it

    @property
    def done(self) -> bool:
        """Whether the outcome is decided."""
        return self in BY_STATUS.values()


BY_STATUS = {  # as status documents spell them; the API takes these words, too
    "success": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "timeout": Phase.TIMED_OUT,
    "skipped": Phase.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is decided: all that its effects need, so that any worker can apply them, any number of times."""

    status: Mapping[str, Any]  # the status document, as status.schema.json has it
    archive: str  # "processed" or "failed": where the input goes
    withdrawn: bool = False  # its owner removed the input: the name is free
    live_generation: int = 0  # of the target, that its Component gets in the live tree; 0: none is written

    @property
    def phase(self) -> Phase:
        """Give the phase of a handoff with this outcome."""
        return BY_STATUS[self.status["status"]]

    @property
    def document(self) -> bytes:
        """The status object; the same outcome gives the same bytes."""
        return json.dumps(self.status, indent=2, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """What the status says of a failed attempt, and says again if no later attempt reports anything."""

    attempt: int
    cause: Cause
    text: str  # of the message, without what happens next
    error: Mapping[str, Any]  # of its ``error_details``, all but the codes
    delivered: Mapping[str, Any]  # its fields about what this or an earlier attempt has done in a cluster


@dataclass(frozen=True, slots=True)
class Row:
    """What the state table says of one handoff. Without a revision there is no row yet. Times are epoch seconds."""

    state: State = State.WAITING
    rev: int = 0  # writes so far
    entries: int = 0  # of the audit trail so far: of all writes but the sweeper's notes
    due_at: float = 0.0  # when another worker may act; done: when its other packages are deleted (0: it has none)
    reconcile_at: float = 0.0  # when the sweeper acts: a message or an event may still arrive until then
    queued: bool = False  # a message for it is in a queue
    attempt: int = 0  # number of the last attempt
    timeout_multiplier: int = 1  # of the next attempt
    priority: str = ""  # that it has; empty until the intent is read
    target: str = ""  # "namespace/name"; empty until the intent is read
    packages: tuple[int, ...] = ()  # numbers that attempts may write packages to; done: without the one decided on
    order: str = ""  # when it was put, see ``order``; the second alone where its event was lost
    failure: Failure | None = None  # of the last attempt that reported anything
    outcome: Outcome | None = None

    @property
    def phase(self) -> Phase:
        """Derive what users read."""
        if self.outcome is not None:
            return self.outcome.phase
        if self.state is State.RUNNING:
            return Phase.PROCESSING
        if self.due_at:
            return Phase.RETRYING
        return Phase.QUEUED if self.queued else Phase.ADMITTED

    def next(self, *, silent: bool = False, **changes: Any) -> "Row":  # noqa: ANN401 - fields of any type
        """Give the row after a write; a ``silent`` one has no entry in the audit trail.

        Revision 1 is that of a row that waits: a message expects it without a read. A row that is claimed or decided at
        once begins with 2.
        """
        after = replace(self, rev=self.rev + 1, entries=self.entries + (not silent), **changes)
        return after if self.rev or after.state is State.WAITING else replace(after, rev=2)


@dataclass(frozen=True, slots=True)
class Target:
    """What the state table says of one Deployment. Without a revision there is no row yet."""

    rev: int = 0  # optimistic lock, fencing token, and generation of the live tree
    lease_expires_at: float = 0.0  # epoch seconds; 0: free
    number: int = 0  # of the package that the next attempt writes
    last_order: str = ""  # order of the newest applied intent
    last_file: str = ""
    version: str | None = None  # of its package, "v1.0.3"
    replicas: int | None = None

    def next(self, now: float, **changes: Any) -> "Target":  # noqa: ANN401 - fields of any type
        """Give the row after a write at ``now`` (epoch seconds).

        The revision is at least the time in milliseconds: as far as clocks agree none is used twice, not even where the
        row was lost.
        """
        return replace(self, rev=max(self.rev + 1, int(now * 1000)), **changes)


@dataclass(frozen=True, slots=True)
class Lease:
    """A target, as a write finds and leaves it."""

    target: str  # "namespace/name"
    before: Target
    after: Target


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic write: of a handoff's row, and of other rows with it.

    It is made if the rows of the handoff and of the target have the revisions that they had before, no newer version of
    the name was seen than ``newest``, and no other file uses the correlation id.
    """

    handoff: Handoff
    before: Row
    after: Row
    at: float  # epoch seconds
    last: Mapping[str, Any] | None = None  # facts for its entry in the audit trail; None exactly where it is silent
    lease: Lease | None = None
    newest: str = ""  # version id that is noted as the newest one of its name; empty: nothing is noted
    correlation_id: str = ""  # that no other file may use


@dataclass(frozen=True, slots=True)
class Conflict:
    """What refused a write; a row that is as it was before is left out."""

    row: Row | None = None
    target: Target | None = None
    newer_version: str | None = None  # of the same name, seen before
    correlated_file: str | None = None  # that uses the correlation id


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome is decided; at most, it has to be applied."""

    outcome: Outcome
    order: str  # of the handoff, as its row has it


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now, but in ``seconds``: what it waits for is another worker, its next attempt, or a service."""

    seconds: float

    def __str__(self) -> str:
        """Say so, as the log does."""
        return f"not now, in {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer intent replaces it: a version of the same name, or one that was applied to the same target."""

    by: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another file uses its correlation id."""

    of: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Every attempt has been made."""


@dataclass(frozen=True, slots=True)
class Exclusive:
    """A worker died under an attempt, perhaps of memory, and others with it: the next one runs alone in its process."""


# Where a write was refused, ``classify`` gives three of them; the others come before a write.
type Blocked = Done | Deferred | Superseded | Duplicate | Exhausted | Exclusive


def classify(conflict: Conflict, mine: str) -> Done | Superseded | Duplicate | None:
    """Say what a conflict means for the worker that wanted to write, with the order ``mine`` of its handoff.

    ``None``: a row was written meanwhile, and the write may be tried again, unless that says otherwise.
    """
    row = conflict.row
    if row is not None and row.outcome is not None:
        return Done(row.outcome, row.order)
    if row is not None and is_exact(row.order) and row.order != mine:
        return None  # the other conditions were about an order that is wrong
    if conflict.newer_version is not None:
        return Superseded(f"version {conflict.newer_version} of the same name")
    if conflict.correlated_file is not None:
        return Duplicate(conflict.correlated_file)
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """A handoff as S3 knows it, and its content."""

    handoff: Handoff
    body: bytes | None  # None: it is larger than the limit
    newer_version: str | None = None  # of the same name, put since


# -- order
#
# The order in which handoffs were put, as strings that sort. It is exact where S3's event says it. A handoff whose
# event was lost has a time to the second, and may have been put at any moment of it; once it was read as the newest
# version of its name, no other version of that name comes after it.
#
#   2026-11-23T03:00:00           somewhere in this second
#   2026-11-23T03:00:00.100Z#0A…  exact: time and sequencer
#   2026-11-23T03:00:00~          somewhere in this second, and after all others of its name in it

_NEWEST = "~"  # sorts after everything else in the second
_SECOND = len("2026-11-23T03:00:00")


def order(event_time: str, sequencer: str = "") -> str:
    """Give the order of what was put at that time (ISO 8601); to the second, without the sequencer of S3's event.

    Sequencers of different lengths compare after right-padding with zeros (S3's rule).
    """
    return f"{event_time}#{sequencer:0<32}" if event_time and sequencer else event_time[:_SECOND]


def is_exact(order: str) -> bool:
    """Say whether an order is that of S3's event."""
    return "#" in order


def earliest(order: str) -> str:
    """Give the first moment at which it may have been put."""
    return order.removesuffix(_NEWEST)


def latest(order: str) -> str:
    """Give the last moment at which it may have been put."""
    return order if is_exact(order) or not order else earliest(order) + _NEWEST


def known(handoff: Handoff, row_order: str) -> Handoff:
    """Give the handoff with the better of two orders: its own, and that of its row (may be empty)."""
    is_better = row_order and (is_exact(row_order) or not is_exact(handoff.order))
    return replace(handoff, order=row_order) if is_better else handoff


def newest(handoff: Handoff) -> Handoff:
    """Give a handoff that was read as the newest version of its name; an exact order stays as it is."""
    return replace(handoff, order=latest(handoff.order))


def applied_order(before: str, mine: str) -> str:
    """Give the order of the newest intent that was applied to a target, once one with the order ``mine`` was, too."""
    return max(before, mine if is_exact(mine) else earliest(mine))
