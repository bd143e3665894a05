"""Claiming: the right to make an attempt, and how long it lasts."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from conductor_loop import counting
from conductor_loop.app import App
from conductor_loop.delivery import Delivery
from conductor_loop.intent import Handoff, Intent
from conductor_loop.lifecycle import (
    Claim,
    Decided,
    Duplicate,
    Free,
    Held,
    Refusal,
    Row,
    State,
    Superseded,
    Target,
    judge,
)
from conductor_loop.order import known, newest, order

SETTLE_SECONDS = 15.0  # kept of every invocation for stopping porch, publishing, deciding and settling
SHORTEST_RUN_SECONDS = 1.0  # that porch gets: with less, an attempt is not begun
_SLACK_SECONDS = 10.0  # of an invocation that may have passed before an attempt begins
_TRIES = 8  # of a write whose row changes under it; more means that something is wrong

type Refused = Held | Decided | Superseded | Duplicate


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an intent: the claim it runs under, and the time porch has."""

    intent: Intent
    claim: Claim
    target: Target  # as it was read: the claim is conditional on that
    timeout_seconds: float
    patience: int
    note: str  # what is done otherwise than the sender asked: clauses, or empty
    waited: float | None  # seconds from the put to here, of the first attempt
    previous_replicas: int | None = None  # that an earlier attempt found, and may have changed
    delivery: str | None = None  # what an earlier attempt has done with the package


class Unplanned(Enum):
    """Why no attempt is made now, although nobody is in the way."""

    USED_UP = "every attempt has been made"
    NOT_ALONE = "a worker of it has died, and may take others along: it runs alone in its process"
    NO_TIME = "porch would not get its whole time in what is left of this invocation"


def least_seconds(app: App, delivery: Delivery, intent: Intent, patience: int = 1) -> float:
    """Say how much time must be left for an attempt: all that porch may take, or nearly all that an invocation has."""
    wanted = min(_wanted_seconds(app, intent) * patience, app.config.porch_timeout_seconds)
    most = max(delivery.deadline - delivery.started - _SLACK_SECONDS, SETTLE_SECONDS + SHORTEST_RUN_SECONDS)
    return min(SETTLE_SECONDS + wanted, most)


def _wanted_seconds(app: App, intent: Intent) -> float:
    return float(intent.timeout_seconds or app.config.processing_timeout_seconds)


def take(app: App, delivery: Delivery, intent: Intent, *, alone: bool) -> Attempt | Unplanned | Refused:
    """Claim the handoff and its target for one attempt, or say what stands in the way.

    Args:
        app: The parts to do it with.
        delivery: Of the handoff, which was read as the newest version of its name.
        intent: What it says.
        alone: Whether no other attempt runs in this process.

    """
    plans: list[Attempt | Unplanned] = []

    def write(now: float, seen: Row | None, handoff: Handoff) -> Refusal | None:
        plans.append(_planned(app, delivery.of(newest(handoff)), intent, seen, alone=alone))
        return app.state.claim(plans[-1].claim, now, seen) if isinstance(plans[-1], Attempt) else None

    return written(app, delivery, write) or plans[-1]


def _planned(app: App, delivery: Delivery, intent: Intent, seen: Row | None, *, alone: bool) -> Attempt | Unplanned:
    if seen is not None and seen.attempt > app.config.retry.attempts:
        return Unplanned.USED_UP
    if _died(seen) and not alone:
        return Unplanned.NOT_ALONE
    if app.clock() + least_seconds(app, delivery, intent, seen.patience if seen else 1) > delivery.deadline:
        return Unplanned.NO_TIME
    return _attempt(app, delivery, intent, seen)


def _attempt(app: App, delivery: Delivery, intent: Intent, seen: Row | None) -> Attempt:
    """Plan an attempt: how long porch may take, and so for how long everything is claimed."""
    name = f"{intent.namespace}/{intent.target}"
    target = app.state.target(name)
    now, patience = app.clock(), seen.patience if seen else 1
    wanted = _wanted_seconds(app, intent) * patience
    timeout = min(wanted, app.config.porch_timeout_seconds, delivery.deadline - now - SETTLE_SECONDS)
    attempt = (seen.attempt if seen else 0) + 1
    claim = Claim(
        handoff=delivery.handoff,
        target=name,
        owner=app.new_owner(),
        attempt=attempt,
        lease_until=now + timeout + SETTLE_SECONDS,
        correlation_id=intent.correlation_id if app.config.unique_correlation_ids else None,
        priority=delivery.message.priority,
        number=target.reserved,
        earlier=seen.reserved if seen else (),
        generation=target.generation,
        supersedes=app.config.supersede_older,
        last={
            "replicas": intent.replicas,
            "correlation_id": intent.correlation_id,
            "worker": app.worker_id,
            "asked": intent.priority,
            "note": delivery.message.note,
        },
    )
    cut = f" (timeout cut from {wanted:g}s to {timeout:.0f}s)" if timeout < wanted else ""
    waited = counting.age(delivery.handoff, now) if claim.attempt == 1 else None
    failure = seen.failure if seen else None
    before = (failure.previous_replicas, failure.delivery) if failure else (None, None)
    return Attempt(intent, claim, target, timeout, patience, cut, waited, *before)


def written(
    app: App, delivery: Delivery, write: Callable[[float, Row | None, Handoff], Refusal | None]
) -> Refused | None:
    """Write against the row as it is, with the order that it has; ``None`` means written.

    The first try guesses what the row looks like, since that is right almost always and a read would cost a call.
    """
    seen, handoff = None, delivery.handoff
    if delivery.queued:
        seen = Row(State.QUEUED, rev=delivery.message.rev, order=order(handoff))
    for _ in range(_TRIES):
        now = app.clock()
        refusal = write(now, seen, handoff)
        if refusal is None:
            return None
        verdict = judge(refusal, order(handoff), now)
        if not isinstance(verdict, Free):
            return verdict
        seen = verdict.seen
        handoff = known(delivery.handoff, seen.order if seen else "")
    return Held(app.clock())


def _died(seen: Row | None) -> bool:
    return seen is not None and seen.attempt > 0 and seen.state is not State.RETRYING
