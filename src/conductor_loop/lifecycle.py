"""States of a handoff, and who may act on it now. Pure: what a row says in, a verdict out."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from conductor_loop.intent import Handoff


class State(StrEnum):
    """Where a handoff stands. ``TRANSITIONS`` says what may follow."""

    PROCESSING = "processing"  # claimed: an owner runs porch until its lease ends
    SUCCEEDED = "succeeded"  # decided: the package is published
    FAILED = "failed"  # decided: rejected, or porch gave up on it
    TIMED_OUT = "timed_out"  # decided: porch took too long
    SKIPPED = "skipped"  # decided: a newer intent for its target was applied first

    @property
    def decided(self) -> bool:
        """Whether the outcome is known; it never changes again, and only has to be settled."""
        return self is not State.PROCESSING


_DECIDED = frozenset(state for state in State if state.decided)
TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: frozenset({State.PROCESSING, State.FAILED, State.SKIPPED}),  # no row yet: claimed, rejected or superseded
    State.PROCESSING: frozenset({State.PROCESSING, *_DECIDED}),  # decided, or taken over once the lease has run out
    **{state: frozenset() for state in _DECIDED},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided: everything that settling needs, so that anybody can settle, any number of times."""

    state: State
    status: Mapping[str, Any]  # the status document, as status.schema.json has it
    archive: str  # "processed" or "failed": where the input goes


@dataclass(frozen=True, slots=True)
class Applied:
    """What a successful intent leaves on its target, for the next one."""

    version: str | None  # of the package, "v1.0.3"
    replicas: int


@dataclass(frozen=True, slots=True)
class Row:
    """What the state table says of one handoff."""

    state: State
    attempt: int = 0
    owner: str = ""
    lease_until: float = 0.0  # epoch seconds
    outcome: Outcome | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What the state table says of one Deployment."""

    lease_owner: str = ""
    lease_until: float = 0.0  # epoch seconds
    last_order: str = ""  # order of the last applied intent
    last_file: str = ""
    version: str | None = None  # of its last package
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process one handoff until ``lease_until``; every later write is conditional on it."""

    handoff: Handoff
    target: str  # "namespace/name"
    owner: str
    attempt: int
    lease_until: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stood in the way of a write, as the table was at that moment."""

    row: Row | None = None
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome is known; at most it has to be settled."""

    outcome: Outcome
    settled: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else works on it, or on its target, until then at the latest (epoch seconds)."""

    until: float


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer intent for the same target has been applied already."""

    by: str


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody stands in the way of the row as it was seen: try again against it."""

    seen: Row | None


Verdict = Decided | Held | Superseded | Free


def order(handoff: Handoff) -> str:
    """Give a string that sorts as the intents of one target were put: event time, then S3's sequencer.

    Sequencers of different lengths compare after right-padding with zeros (S3's rule).
    """
    return f"{handoff.event_time}#{handoff.sequencer:0<32}"


def judge(refusal: Refusal, handoff_order: str, now: float) -> Verdict:
    """Say what a refused write means.

    A lease that has run out stands in nobody's way: its owner is dead, or will find itself fenced off.

        claim            lease_until
          |--- owner works ---|............  another worker may claim: attempt + 1
                              |  owner wakes up: its writes name the old attempt and are refused
    """
    row, target = refusal.row, refusal.target
    if row is not None and row.outcome is not None:
        return Decided(row.outcome, row.settled)
    if row is not None and row.lease_until > now:
        return Held(row.lease_until)
    if target is not None and target.last_order > handoff_order:
        return Superseded(target.last_file)
    if target is not None and target.lease_until > now:
        return Held(target.lease_until)
    return Free(row)
