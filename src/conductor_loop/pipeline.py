"""The story of an intent: admit, claim, run porch, publish, decide, settle. Safe to tell again from any point."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from conductor_loop import status
from conductor_loop.app import App, Measured
from conductor_loop.errors import Gone, Overtaken, Rejected, StillHeld
from conductor_loop.intent import Handoff, Intent
from conductor_loop.lifecycle import (
    Applied,
    Claim,
    Decided,
    Free,
    Held,
    Outcome,
    Refusal,
    Row,
    Superseded,
    judge,
    order,
)
from conductor_loop.porch import Package, PorchFailed, Request
from conductor_loop.validation import check_name, check_size, validate

SETTLE_SECONDS = 15.0  # kept of every invocation for stopping porch, publishing, deciding and settling
_POLL_SECONDS = 1.0  # between two looks at a handoff or target that somebody else holds
_LONGEST_NAME = 1000  # bytes of a name that fit into all of our keys; a key has at most 1,024
_VERSION = re.compile(r"-(v[0-9]+\.[0-9]+\.[0-9]+)$")


class Answer(StrEnum):
    """What became of one delivery of a handoff."""

    SETTLED = "settled"  # decided and settled now
    RESUMED = "resumed"  # decided by an earlier delivery, settled now
    DUPLICATE = "duplicate"  # settled by an earlier delivery: nothing was done
    GONE = "gone"  # the object vanished before anybody read it: there is nothing to answer


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handoff handed to one invocation. Times are epoch seconds."""

    handoff: Handoff
    started: float
    deadline: float  # when the invocation ends


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an intent: the claim it runs under, and the time porch has."""

    intent: Intent
    claim: Claim
    timeout_seconds: float
    note: str  # what is done otherwise than the sender asked; a clause, or empty


def answer(app: App, handoff: Handoff, deadline: float) -> Answer:
    """Take one delivery of a handoff to its end: its status is written, and the input has moved.

    Args:
        app: The parts to do it with.
        handoff: What the event says was put; without a version id, the newest version is meant.
        deadline: Epoch seconds at which this invocation ends.

    Raises:
        StillHeld: another worker is at it, and there is no time left to wait.
        Overtaken: this worker was too slow, and another one took over.

    """
    started = app.clock()
    try:
        handoff, body = app.bucket.read(handoff, app.rules.max_file_bytes)
    except Gone:
        return _answer_gone(app, handoff)
    delivery = Delivery(handoff, started, deadline)
    try:
        intent = admit(app, handoff, body)
    except Rejected as rejection:
        return _conclude(app, delivery, status.rejected(_author(app, delivery), rejection))
    return _process(app, delivery, intent)


def admit(app: App, handoff: Handoff, body: bytes | None) -> Intent:
    """Turn untrusted bytes into an intent; ``None`` stands for more bytes than anybody reads.

    Raises:
        Rejected: with everything that is wrong with it.

    """
    check_name(handoff.file)
    check_size(handoff.size, app.rules)
    return validate(body or b"", app.rules)


def settle(app: App, handoff: Handoff, outcome: Outcome) -> None:
    """Apply the effects of a decided outcome: status object, archived input, and the input removed last.

    Doing it twice changes nothing: the outcome is fixed, and only the handoff's own version is removed.
    """
    file = _fitting(handoff.file)
    app.bucket.put_status(handoff, f"status/{file}.status", status.encode(outcome))
    try:
        app.bucket.archive(handoff, f"{outcome.archive}/{file}")
    except Gone:
        pass  # it is removed last, so somebody has settled it just now
    else:
        app.bucket.remove(handoff)
    app.state.mark_settled(handoff, app.clock())


def _process(app: App, delivery: Delivery, intent: Intent) -> Answer:
    claimed = _claim(app, delivery, intent)
    match claimed:
        case Superseded(by):
            return _conclude(app, delivery, status.superseded(_author(app, delivery), intent, by))
        case Decided():
            return _finish(app, delivery.handoff, claimed)
    outcome, applied, porch_seconds = _perform(app, delivery, claimed)
    refusal = app.state.decide(claimed.claim, outcome, applied, app.clock())
    if refusal is not None:
        return _lose(app, delivery.handoff, refusal)
    app.observe(Measured(delivery.handoff, outcome, app.clock() - delivery.started, porch_seconds))
    settle(app, delivery.handoff, outcome)
    return Answer.SETTLED


def _claim(app: App, delivery: Delivery, intent: Intent) -> Attempt | Decided | Superseded:
    """Take the handoff and its target; wait for whoever holds them."""
    wanted = float(intent.timeout_seconds or app.config.processing_timeout_seconds)
    needed = SETTLE_SECONDS + min(wanted, app.config.processing_timeout_seconds)
    attempt: Attempt

    def take(now: float, seen: Row | None) -> Refusal | None:
        nonlocal attempt
        timeout = max(min(wanted, delivery.deadline - now - SETTLE_SECONDS), 1.0)
        note = f" (timeout cut from {wanted:g}s to {timeout:.0f}s: the invocation ends)" if timeout < wanted else ""
        claim = Claim(
            handoff=delivery.handoff,
            target=f"{intent.namespace}/{intent.target}",
            owner=app.new_owner(),
            attempt=(seen.attempt if seen else 0) + 1,
            lease_until=now + timeout + SETTLE_SECONDS,
        )
        attempt = Attempt(intent, claim, timeout, note)
        return app.state.claim(claim, now, seen)

    verdict = _patiently(app, replace(delivery, deadline=delivery.deadline - needed), take)
    return attempt if verdict is None else verdict


def _perform(app: App, delivery: Delivery, attempt: Attempt) -> tuple[Outcome, Applied | None, float]:
    """Run porch and publish its package: the outcome, what it changes on the target, and porch's seconds."""
    target = app.state.target(attempt.claim.target)
    request = Request(
        file=delivery.handoff.file,
        document=attempt.intent.document,
        timeout_seconds=attempt.timeout_seconds,
        previous_version=target.version,
        previous_replicas=target.replicas,
    )
    try:
        result = app.run_porch(request)
    except PorchFailed as failure:
        author = _author(app, delivery, attempt.claim.attempt)
        return status.failed(author, attempt.intent, failure, attempt.note), None, failure.run.duration_seconds
    published = _publish(app, attempt, result.package)
    version = _VERSION.search(published.name)
    applied = Applied(version[1] if version else target.version, attempt.intent.replicas)
    author = _author(app, delivery, attempt.claim.attempt)
    outcome = status.succeeded(author, attempt.intent, published, attempt.note)
    return outcome, applied, result.run.duration_seconds


def _publish(app: App, attempt: Attempt, package: Package) -> status.Published:
    claim = attempt.claim
    if app.clock() >= claim.lease_until:
        raise Overtaken
    prefix = f"packages/{claim.target}/{package.name}/"
    replacing = app.bucket.leftovers(claim.handoff, prefix) if claim.attempt > 1 else {}
    app.bucket.publish(claim.handoff, {prefix + path: body for path, body in package.files.items()}, replacing)
    return status.Published(package.name, prefix, tuple(sorted(package.files)))


def _conclude(app: App, delivery: Delivery, outcome: Outcome) -> Answer:
    """Decide and settle a handoff that never gets to porch."""

    def write(now: float, seen: Row | None) -> Refusal | None:
        return app.state.decide_unclaimed(delivery.handoff, outcome, now, seen)

    verdict = _patiently(app, delivery, write)
    if isinstance(verdict, Decided):
        return _finish(app, delivery.handoff, verdict)
    app.observe(Measured(delivery.handoff, outcome, app.clock() - delivery.started))
    settle(app, delivery.handoff, outcome)
    return Answer.SETTLED


def _patiently(
    app: App, delivery: Delivery, write: Callable[[float, Row | None], Refusal | None]
) -> Decided | Superseded | None:
    """Write, and look again while somebody else holds the handoff or its target; ``None`` means written.

    Raises:
        StillHeld: the deadline is too near to wait on.

    """
    seen: Row | None = None
    while True:
        now = app.clock()
        refusal = write(now, seen)
        if refusal is None:
            return None
        match verdict := judge(refusal, order(delivery.handoff), now):
            case Free():
                seen = verdict.seen or seen
            case Held(until):
                pause = min(until - now, _POLL_SECONDS) * (0.5 + app.jitter() / 2)
                if now + pause > delivery.deadline:
                    raise StillHeld
                app.wait(pause)
            case _:
                return verdict


def _lose(app: App, handoff: Handoff, refusal: Refusal) -> Answer:
    """Make way for whoever holds the handoff now."""
    verdict = judge(refusal, order(handoff), app.clock())
    if not isinstance(verdict, Decided):
        raise Overtaken
    return _finish(app, handoff, verdict)


def _finish(app: App, handoff: Handoff, decided: Decided) -> Answer:
    """Settle what an earlier delivery decided."""
    if decided.settled:
        return Answer.DUPLICATE
    settle(app, handoff, decided.outcome)
    return Answer.RESUMED


def _answer_gone(app: App, handoff: Handoff) -> Answer:
    """Answer for an object that is not there: settled long ago, settled but not noted so, or deleted by its owner."""
    row = app.state.find(handoff) if handoff.version_id else None
    if row is None or row.outcome is None:
        return Answer.GONE
    if row.settled:
        return Answer.DUPLICATE
    app.state.mark_settled(handoff, app.clock())
    return Answer.RESUMED


def _author(app: App, delivery: Delivery, attempt: int = 0) -> status.Author:
    return status.Author(
        handoff=delivery.handoff,
        worker_id=app.worker_id,
        mode=app.config.mode,
        porch_path=app.config.porch_path,
        started=delivery.started,
        now=app.clock(),
        attempt=attempt,
    )


def _fitting(name: str) -> str:
    """Shorten a name that is too long for a key of ours; what makes it unique stays."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    return f"{encoded[:900].decode(errors='ignore')}-{hashlib.sha256(encoded).hexdigest()[:16]}"
