"""States of a handoff, and who may act on it now. Pure: what the table says in, a verdict out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.order import is_exact, latest


class State(StrEnum):
    """Where a handoff stands. ``TRANSITIONS`` says what may follow."""

    ADMITTED = "admitted"  # found by the sweeper and handed to the function again
    QUEUED = "queued"  # a message for it waits in a queue
    PROCESSING = "processing"  # claimed: an owner runs porch until its lease ends
    RETRYING = "retrying"  # an attempt failed for a cause that may pass; the next one is due at its time
    SUCCEEDED = "succeeded"  # decided: the package is published
    FAILED = "failed"  # decided: rejected, or porch gave up on it
    TIMED_OUT = "timed_out"  # decided: porch took too long, each time
    SKIPPED = "skipped"  # decided: a newer intent stands in its place

    @property
    def decided(self) -> bool:
        """Whether the outcome is known; it never changes again, and only has to be settled."""
        return self in _DECIDED


SPELLINGS: Mapping[str, State] = {"success": State.SUCCEEDED, "timeout": State.TIMED_OUT}  # as a status spells them
_DECIDED = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.SKIPPED})
# What may follow where nobody holds it. An attempt that is not made, since none is left, ends as the last one did.
_UNCLAIMED = frozenset({State.ADMITTED, State.QUEUED, State.PROCESSING, State.FAILED, State.TIMED_OUT, State.SKIPPED})
TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: _UNCLAIMED - {State.TIMED_OUT},
    State.ADMITTED: _UNCLAIMED,
    State.QUEUED: _UNCLAIMED,
    # decided or postponed by its owner; as the others once the lease has run out
    State.PROCESSING: _UNCLAIMED | {State.RETRYING, State.SUCCEEDED},
    State.RETRYING: _UNCLAIMED,
    **{state: frozenset() for state in _DECIDED},
}


type Last = Mapping[str, Any]
"""Facts about a write that its row does not hold otherwise; ``audit.entries`` reads them from the table's stream."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided: everything that settling needs, so that anybody can settle, any number of times."""

    state: State
    status: Mapping[str, Any]  # the status document, as status.schema.json has it
    archive: str  # "processed" or "failed": where the input goes
    last: Last = field(default_factory=dict, compare=False)
    clean_up_at: float = field(default=0.0, compare=False)  # epoch seconds, when its other packages go; 0: it has none
    order: str = field(default="", compare=False)  # of the handoff, as its row has it
    withdrawn: bool = False  # its owner removed the input: the name is free
    live_generation: int = 0  # of its target, that its Component gets in the live tree; 0: none is written

    @property
    def document(self) -> bytes:
        """The status object; the same outcome gives the same bytes."""
        return json.dumps(self.status, indent=2, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """What porch came to in an attempt, for the case that no later one says anything."""

    attempt: int
    cause: Cause
    text: str
    seconds: float
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    previous_replicas: int | None = None  # that the target had before the first attempt; None: unknown
    delivery: str | None = None  # what this or an earlier attempt has done with the package, if it has said so
    observed_replicas: int | None = None  # pods that there were at the end of this one


@dataclass(frozen=True, slots=True)
class Pause:
    """When the next attempt is due, and how much more time porch has in it."""

    until: float  # epoch seconds
    patience: int  # times the timeout
    counts: bool = True  # False: the attempt was cut short by no fault of the intent, and is made again
    next_number: int = 0  # that the target reserves next; 0: the attempt's own, under which nothing was published
    last: Last = field(default_factory=dict, compare=False)
    failure: Failure | None = None  # why it is made again; None: porch had no part in it


@dataclass(frozen=True, slots=True)
class Applied:
    """What a successful intent leaves on its target, for the next one."""

    version: str | None  # of the package, "v1.0.3"
    replicas: int
    order: str  # of the last applied intent, from now on
    generation: int = 0  # of the target, from now on


@dataclass(frozen=True, slots=True)
class Row:
    """What the state table says of one handoff. Times are epoch seconds."""

    state: State
    attempt: int = 0  # number of the last attempt
    owner: str = ""
    held_until: float = 0.0  # end of the owner's lease; retrying: when the next attempt is due; decided: clean_up_at
    patience: int = 1  # how many times its timeout the next attempt gets
    outcome: Outcome | None = None
    since: float = 0.0  # when it came into this state
    sweeps: int = 0  # how often the sweeper has handed it over again, or tried to settle it
    swept_at: float = 0.0  # when it last tried to settle it
    queued_at: float = 0.0  # when its last message was sent
    priority: str = ""  # that it is treated with, once somebody has read it
    target: str = ""  # "namespace/name", of its last attempt
    reserved: tuple[int, ...] = ()  # numbers of packages that its attempts may write, and no decision names
    order: str = ""  # when it was put, as far as anybody knows; see ``order``
    failure: Failure | None = None  # of the last attempt that said anything
    rev: int = 0  # writes so far that have an entry in the audit trail


@dataclass(frozen=True, slots=True)
class Beside:
    """What is written on a row beside that it waits."""

    last: Last = field(default_factory=dict)
    priority: str = ""  # that it is treated with; empty where nobody has read it yet


@dataclass(frozen=True, slots=True)
class Target:
    """What the state table says of one Deployment."""

    lease_owner: str = ""
    held_until: float = 0.0  # epoch seconds
    last_order: str = ""  # order of the last applied intent
    last_file: str = ""
    generation: int = 0  # grows with each intent that is applied, whatever their orders
    version: str | None = None  # of its last package
    replicas: int | None = None
    reserved: int = 0  # number of the package that the next attempt writes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process one handoff until ``lease_until``; every later write is conditional on it."""

    handoff: Handoff
    target: str  # "namespace/name"
    owner: str
    attempt: int
    lease_until: float  # epoch seconds
    correlation_id: str | None = None  # that no other file may use
    priority: str = ""  # that it is treated with
    number: int = 0  # of the package that is reserved for it, among all of the target; no other attempt writes there
    earlier: tuple[int, ...] = ()  # numbers that are reserved for attempts before it, which may write still
    generation: int = 0  # of the target, as it was read
    supersedes: bool = True  # refuse it once a newer intent was applied to the target
    last: Last = field(default_factory=dict, compare=False)

    @property
    def reserved(self) -> tuple[int, ...]:
        """Numbers of all packages that attempts at the handoff may write."""
        return (*self.earlier, self.number)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stood in the way of a write, as the table was at that moment."""

    row: Row | None = None
    target: Target | None = None
    newer_version: str | None = None  # of the same name, seen already
    correlated_file: str | None = None  # that uses the correlation id
    superseding: bool = True  # whether the write was conditional on no newer intent having been applied


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome is known; at most it has to be settled."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Held:
    """Nobody else may act on it before then (epoch seconds)."""

    until: float
    lets_go_early: bool = False  # a target is free as soon as its holder is done, most often long before


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer intent stands in its place: a version of the same name, or one applied to the same target."""

    by: str
    of_name: bool = False  # a version of the same name


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another file uses its correlation id."""

    of: str


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody stands in the way of the row as it was seen: try again against it."""

    seen: Row | None


Verdict = Decided | Held | Superseded | Duplicate | Free


def judge(refusal: Refusal, claim_order: str, now: float) -> Verdict:
    """Say what a refused write means to whoever wanted to make it, by the order that it was made with.

    A lease that has run out stands in nobody's way: its owner is dead, or will find itself fenced off.

        claim            lease_until
          |--- owner works ---|............  another worker may claim: attempt + 1
                              |  owner wakes up: its writes name the old attempt and are refused
    """
    row, target = refusal.row, refusal.target
    if row is not None and row.outcome is not None:
        return Decided(row.outcome)
    if row is not None and row.held_until > now:
        return Held(row.held_until)
    if row is not None and is_exact(row.order) and row.order != claim_order:
        return Free(row)  # the other conditions were about an order that is wrong
    if refusal.newer_version is not None:
        return Superseded(f"version {refusal.newer_version} of the same name", of_name=True)
    if refusal.correlated_file is not None:
        return Duplicate(refusal.correlated_file)
    if target is not None and refusal.superseding and target.last_order > latest(claim_order):
        return Superseded(target.last_file)
    if target is not None and target.held_until > now:
        return Held(target.held_until, lets_go_early=True)
    return Free(row)
