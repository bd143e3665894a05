"""Writes of the state table, and what happens instead of some of them; a test states only what matters to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Conflict, Lease, Outcome, Row, State, Target, Write, order
from tests.factories import BUCKET, World

NOW = 1_800_000_000.0
LEASE_SECONDS = 30.0
NAME = "ns/name"
PUT_AT = "2026-11-23T03:00:00.000Z"
HANDOFF = Handoff(BUCKET, "intent-a.json", "v1", event_time=PUT_AT, order=order(PUT_AT, "0A"))
OUTCOME = Outcome({"status": "success", "message": "ü"}, "processed")
FAILED = Outcome({"status": "failed"}, "failed")
NEW, NEW_TARGET = Row(), Target()


def waits(handoff: Handoff = HANDOFF, before: Row = NEW, **changes: Any) -> Write:
    """Note that a message for it waits."""
    given: dict[str, Any] = {"state": State.WAITING, "queued": True, "due_at": 0.0, "order": handoff.order} | changes
    after = before.next(outcome=None, **given)
    return Write(handoff, before, after, NOW, {"because": "a test"}, newest=handoff.version_id)


def claims(
    handoff: Handoff = HANDOFF, before: Row = NEW, target: Target = NEW_TARGET, *, at: float = NOW, name: str = NAME
) -> Write:
    """Claim it, and its target as it was read."""
    after = before.next(
        state=State.RUNNING,
        due_at=at + LEASE_SECONDS,
        attempt=before.attempt + 1,
        target=name,
        order=handoff.order,
        packages=(*before.packages, target.number),
        queued=False,
        outcome=None,
    )
    leased = target.next(at, lease_expires_at=at + LEASE_SECONDS, number=target.number + 1)
    last = {"replicas": 3, "worker": 7, "because": "a test"}
    return Write(handoff, before, after, at, last, Lease(name, target, leased), newest=handoff.version_id)


def ends(claim: Write, outcome: Outcome = OUTCOME, *, at: float = NOW + 1, **target: Any) -> Write:
    """Decide under a claim."""
    assert claim.lease is not None
    after = claim.after.next(state=State.DONE, outcome=outcome, due_at=0.0, packages=claim.after.packages[:-1])
    freed = claim.lease.after.next(at, lease_expires_at=0.0, **target)
    return Write(
        claim.handoff, claim.after, after, at, {"tally": {}}, Lease(claim.lease.target, claim.lease.after, freed)
    )


def retries(claim: Write, *, at: float = NOW + 1, due: float = NOW + 60, **changes: Any) -> Write:
    """Release a claim until the next attempt is due."""
    assert claim.lease is not None
    after = claim.after.next(state=State.WAITING, due_at=due, **changes)
    lease = replace(claim.lease, before=claim.lease.after, after=claim.lease.after.next(at, lease_expires_at=0.0))
    return Write(claim.handoff, claim.after, after, at, {}, lease)


def concludes(handoff: Handoff = HANDOFF, before: Row = NEW, outcome: Outcome = OUTCOME, *, newest: str = "") -> Write:
    """Decide without a claim."""
    after = before.next(state=State.DONE, outcome=outcome, order=handoff.order)
    return Write(handoff, before, after, NOW, {"tally": {}}, newest=newest)


def made(world: World, *writes: Write) -> None:
    """Make writes, none of which is refused."""
    for write in writes:
        assert world.state.write(write) is None


def refused(world: World, write: Write) -> Conflict:
    """Make a write that is refused."""
    conflict = world.state.write(write)
    assert conflict is not None
    return conflict


def is_claim(write: Write) -> bool:
    return write.after.state is State.RUNNING


def is_retry(write: Write) -> bool:
    return write.before.state is State.RUNNING and write.after.state is State.WAITING


def is_decision(write: Write) -> bool:
    return write.after.state is State.DONE and write.before.state is not State.DONE


def is_noted(write: Write) -> bool:
    return write.before.state is State.WAITING and write.after.state is State.WAITING


@contextmanager
def instead(world: World, when: Callable[[Write], bool], do: Callable[[Write], Conflict | None]) -> Iterator[None]:
    """Do something else than the writes of a kind; it may make them with ``world.state.write``."""
    write = world.state.write

    def chosen(given: Write) -> Conflict | None:
        if not when(given):
            return write(given)
        world.state.write = write  # type: ignore[method-assign]
        try:
            return do(given)
        finally:
            world.state.write = chosen  # type: ignore[method-assign, assignment]

    world.state.write = chosen  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        world.state.write = write  # type: ignore[method-assign]


def of(handoff: Handoff = HANDOFF, **changes: Any) -> Handoff:
    return replace(handoff, **changes)
