"""One attempt at an intent: claim, run porch, publish, decide or postpone."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from conductor_loop import counting, retry, status
from conductor_loop.app import App, Measured, Message
from conductor_loop.audit import entries
from conductor_loop.audit.chain import Head
from conductor_loop.counting import Journey, PorchRun
from conductor_loop.errors import Cause, Overtaken, Rejected, Violation
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.lifecycle import (
    Applied,
    Claim,
    Decided,
    Duplicate,
    Free,
    Held,
    Outcome,
    Pause,
    Refusal,
    Row,
    State,
    Superseded,
    Target,
    judge,
    order,
)
from conductor_loop.porch import Package, PorchFailed, Request, Run
from conductor_loop.settling import Answer, fitting, settle, settle_decided

logger = logging.getLogger("conductor-loop")

SETTLE_SECONDS = 15.0  # kept of every invocation for stopping porch, publishing, deciding and settling
_SLACK_SECONDS = 10.0  # of an invocation that may have passed before an attempt begins
_SHORTEST_RUN_SECONDS = 1.0  # that porch gets: with less, an attempt is not begun
_POLL_SECONDS = 5.0  # the longest wait for a target that may be free at any moment
_TRIES = 8  # of a write whose row changes under it; more means that something is wrong
_VERSION = re.compile(r"-(v[0-9]+\.[0-9]+\.[0-9]+)$")


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: somebody else holds it, or it is tried again. Waiting costs no attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handoff handed to one invocation. Times are epoch seconds."""

    message: Message
    started: float
    deadline: float  # when the invocation ends
    queued: bool = False  # whether it came from a queue

    @property
    def handoff(self) -> Handoff:
        """What was delivered."""
        return self.message.handoff


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an intent: the claim it runs under, and the time porch has."""

    intent: Intent
    claim: Claim
    timeout_seconds: float
    patience: int
    note: str  # what is done otherwise than the sender asked: clauses, or empty
    waited: float | None  # seconds from the put to here, of the first attempt
    alone: bool = False  # a worker of it has died: not beside others


def process(app: App, delivery: Delivery, intent: Intent) -> Answer | Later:
    """Make one attempt, to the answer if that can be.

    Raises:
        Overtaken: this worker was too slow, and another one took over.

    """
    if app.clock() + least_seconds(app, delivery, intent) > delivery.deadline:
        return Later(1.0)
    claimed = _claim(app, delivery, intent)
    match claimed:
        case Held():
            return _when_free(app, claimed)
        case Decided(outcome):
            return settle(app, delivery.handoff, outcome)
        case Superseded(by):
            return conclude(app, delivery, status.superseded(author(app, delivery), by, intent), intent)
        case Duplicate(of):
            rejection = _used_already(of, intent)
            return conclude(app, delivery, status.rejected(author(app, delivery), rejection, intent), intent)
    if claimed.claim.attempt > app.config.retry.attempts + 1:
        outcome = status.abandoned(author(app, delivery, claimed.claim.attempt), intent)
        return _decide(app, delivery, claimed, Decision(outcome))
    return _attempt_or_give_back(app, delivery, claimed)


def conclude(app: App, delivery: Delivery, outcome: Outcome, intent: Intent | None = None) -> Answer | Later:
    """Decide and settle a handoff that gets to porch no more; earlier attempts at the ``intent`` may have."""
    journey = _journey(app, delivery, intent)
    counted = counting.decided(outcome, journey)
    written: list[Outcome] = []

    def write(now: float, seen: Row | None) -> Refusal | None:
        prefix = _packages(f"{intent.namespace}/{intent.target}") if intent and _was_tried(seen) else ""
        _, told = entries.told(delivery.handoff, head_of(seen), now, outcome)
        written.append(replace(told, tally=counted.tally, retract=prefix))
        return app.state.decide_unclaimed(delivery.handoff, written[-1], now, seen)

    verdict = _written(app, delivery, write)
    match verdict:
        case Held():
            return _when_free(app, verdict)
        case Decided(earlier) if earlier not in written:
            return settle(app, delivery.handoff, earlier)
    decided = verdict.outcome if isinstance(verdict, Decided) else written[-1]  # written by a call with a lost answer
    app.observe(Measured(delivery.handoff, decided, counted, journey.seconds))
    return settle_decided(app, delivery.handoff, decided)


def _journey(app: App, delivery: Delivery, intent: Intent | None, run: PorchRun | None = None) -> Journey:
    message = delivery.message
    return Journey(
        seconds=app.clock() - delivery.started,
        run=run,
        priority=message.priority,
        demoted=bool(message.note),
        asked=intent.priority if intent else Priority.NORMAL,
    )


def head_of(seen: Row | None) -> Head:
    """Give the end of a handoff's audit entries, as its row has it."""
    return seen.head if seen else Head()


def least_seconds(app: App, delivery: Delivery, intent: Intent) -> float:
    """Say how much time must be left for an attempt: what porch may take, or nearly all that an invocation has."""
    wanted = _wanted_seconds(app, intent)
    most = max(delivery.deadline - delivery.started - _SLACK_SECONDS, SETTLE_SECONDS + _SHORTEST_RUN_SECONDS)
    return min(SETTLE_SECONDS + wanted, most)


def _wanted_seconds(app: App, intent: Intent) -> float:
    return float(intent.timeout_seconds or app.config.processing_timeout_seconds)


def author(app: App, delivery: Delivery, attempt: int = 0) -> status.Author:
    """Say who writes a status now, and about which attempt."""
    return status.Author(
        handoff=delivery.handoff,
        worker_id=app.worker_id,
        mode=app.config.mode,
        porch_path=app.config.porch_path,
        started=delivery.started,
        now=app.clock(),
        config_version=app.config.version,
        attempt=attempt,
        note=delivery.message.note,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt came to."""

    outcome: Outcome
    applied: Applied | None = None  # what it changes on its target
    run: PorchRun | None = None


type Refused = Held | Decided | Superseded | Duplicate


def _claim(app: App, delivery: Delivery, intent: Intent) -> Attempt | Refused:
    attempts: list[Attempt] = []

    def take(now: float, seen: Row | None) -> Refusal | None:
        attempts.append(_planned(app, delivery, intent, seen))
        return app.state.claim(attempts[-1].claim, now, seen)

    return _written(app, delivery, take) or attempts[-1]


def _planned(app: App, delivery: Delivery, intent: Intent, seen: Row | None) -> Attempt:
    """Plan an attempt: how long porch may take, and so for how long everything is claimed."""
    now, patience = app.clock(), seen.patience if seen else 1
    wanted = _wanted_seconds(app, intent) * patience
    timeout = min(wanted, app.config.porch_timeout_seconds, delivery.deadline - now - SETTLE_SECONDS)
    attempt = (seen.attempt if seen else 0) + 1
    about = entries.priority(intent.priority, delivery.message.priority, delivery.message.note)
    claim = Claim(
        handoff=delivery.handoff,
        target=f"{intent.namespace}/{intent.target}",
        owner=app.new_owner(),
        attempt=attempt,
        lease_until=now + timeout + SETTLE_SECONDS,
        correlation_id=intent.correlation_id if app.config.unique_correlation_ids else None,
        priority=delivery.message.priority,
        again=_was_tried(seen),
        supersedes=app.config.supersede_older,
        entry=entries.claimed(
            delivery.handoff, head_of(seen), now, intent, attempt=attempt, worker=app.worker_id, **about
        ),
    )
    cut = f" (timeout cut from {wanted:g}s to {timeout:.0f}s)" if timeout < wanted else ""
    died = seen is not None and seen.attempt > 0 and seen.state is not State.RETRYING
    waited = counting.age(delivery.handoff, now) if claim.attempt == 1 else None
    return Attempt(intent, claim, timeout, patience, cut, waited, alone=died)


def _written(app: App, delivery: Delivery, write: Callable[[float, Row | None], Refusal | None]) -> Refused | None:
    """Write against the row as it is; ``None`` means written.

    The first try guesses what the row looks like, since that is right almost always and a read would cost a call.
    """
    seen = Row(State.QUEUED, head=Head.read(delivery.message.head)) if delivery.queued else None
    for _ in range(_TRIES):
        now = app.clock()
        refusal = write(now, seen)
        if refusal is None:
            return None
        verdict = judge(refusal, order(delivery.handoff), now)
        if not isinstance(verdict, Free):
            return verdict
        seen = verdict.seen
    return Held(app.clock())


def _attempt_or_give_back(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Later:
    """Make the attempt; where something else than porch fails, let go of the claim.

    The intent is not to blame, and loses no attempt: its message comes again, and if it cannot be helped, it ends among
    the dead letters.
    """
    try:
        with app.turn(attempt.alone):
            left = attempt.claim.lease_until - SETTLE_SECONDS - app.clock()  # waiting for its turn took some
            if left < min(attempt.timeout_seconds, _SHORTEST_RUN_SECONDS) / 2:  # claiming takes some of a second's, too
                return _given_back(app, attempt)
            return _attempt(app, delivery, replace(attempt, timeout_seconds=min(left, attempt.timeout_seconds)))
    except Overtaken:
        raise
    except Exception:
        _given_back(app, attempt)
        raise


def _given_back(app: App, attempt: Attempt) -> Later:
    now, claim = app.clock(), attempt.claim
    entry = entries.given_back(claim.handoff, _head_at(claim), now, claim.attempt)
    try:
        app.state.postpone(claim, Pause(now, attempt.patience, counts=False, entry=entry), now)
    except Exception:
        logger.exception("the claim could not be given back: it runs out by itself")
    return Later(1.0)


def _attempt(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Later:
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
        return _failed(app, delivery, attempt, failure)
    package = _publish(app, attempt.claim, result.package, target)
    version = _VERSION.search(package.name)
    applied = Applied(version[1] if version else target.version, attempt.intent.replicas)
    who = author(app, delivery, attempt.claim.attempt)
    outcome = status.succeeded(who, attempt.intent, package, attempt.note)
    return _decide(app, delivery, attempt, Decision(outcome, applied, _run(app, result.run)))


def _run(app: App, run: Run) -> PorchRun:
    return PorchRun(app.config.mode, run.duration_seconds)


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of a package, and where they belong; ``unclean`` where other files may be, which do not."""

    claim: Claim
    prefix: str
    files: Mapping[str, bytes]  # by key
    unclean: bool


def _publish(app: App, claim: Claim, package: Package, target: Target) -> status.Published:
    """Upload the package; where files are in its place, a dead attempt left them, or a successor has written them."""
    prefix = f"{_packages(claim.target)}{package.name}/"
    upload = Upload(claim, prefix, {prefix + path: body for path, body in package.files.items()}, target.unclean)
    if app.clock() >= claim.lease_until:
        raise Overtaken
    try:
        _upload(app, upload)
    except Overtaken:
        app.bucket.retract(claim.handoff, prefix, claim.owner)  # this worker is late, and its files are nobody's
        raise
    return status.Published(package.name, prefix, tuple(sorted(package.files)))


def _upload(app: App, upload: Upload) -> None:
    """Behind an attempt that did not end cleanly, look at the place first and last: there may be other files in it."""
    if upload.unclean:
        _replace(app, upload)
        if app.bucket.leftovers(upload.claim.handoff, upload.prefix).keys() != upload.files.keys():
            _replace(app, upload)  # the worker before was not dead, only late
        return
    try:
        app.bucket.publish(upload.claim, upload.files, {})
    except Overtaken:
        _replace(app, upload)


def _replace(app: App, upload: Upload) -> None:
    replacing = app.bucket.leftovers(upload.claim.handoff, upload.prefix)
    _check_claim(app, upload.claim)  # after the look: what was seen then, no successor has written
    app.bucket.publish(upload.claim, upload.files, replacing)


def _packages(target: str) -> str:
    return f"packages/{target}/"


def _was_tried(seen: Row | None) -> bool:
    """Say whether an earlier attempt may have published something: it died, or gave up half way."""
    if seen is None:
        return False
    return seen.attempt > 0 or seen.sweeps > 0 or seen.state in {State.PROCESSING, State.RETRYING}


def _check_claim(app: App, claim: Claim) -> None:
    """Ask the table, since a clock may be wrong, whether the claim is in force still: on the handoff and its target.

    Another intent may have taken the target, and published there, while nobody has taken over the handoff.
    """
    row = app.state.find([claim.handoff]).get(claim.handoff)
    if row is None or (row.state, row.owner, row.attempt) != (State.PROCESSING, claim.owner, claim.attempt):
        raise Overtaken
    if app.state.target(claim.target).lease_owner != claim.owner:
        raise Overtaken


def _failed(app: App, delivery: Delivery, attempt: Attempt, failure: PorchFailed) -> Answer | Later:
    claim, now = attempt.claim, app.clock()
    plan = retry.decide(failure.cause, claim.attempt, attempt.patience, app.config.retry, app.jitter)
    next_retry = now + plan.delay_seconds if isinstance(plan, retry.Again) else None
    outcome = status.failed(author(app, delivery, claim.attempt), attempt.intent, failure, next_retry, attempt.note)
    run = PorchRun(app.config.mode, failure.run.duration_seconds, failure.cause is Cause.PROCESSING_TIMEOUT)
    if isinstance(plan, retry.GiveUp):
        return _decide(app, delivery, attempt, Decision(outcome, None, run))
    journey = _travelled(app, delivery, attempt, run)
    counted = counting.retried(outcome, journey)
    entry, outcome = entries.told(claim.handoff, _head_at(claim), now, outcome)
    pause = Pause(now + plan.delay_seconds, plan.patience, tally=counted.tally, entry=entry)
    refusal = app.state.postpone(claim, pause, now)
    if refusal is not None:
        return _lost(app, delivery, refusal)
    app.observe(Measured(delivery.handoff, outcome, counted, journey.seconds, final=False))
    app.bucket.put_status(delivery.handoff, fitting(delivery.handoff.file), status.encode(outcome), final=False)
    return Later(plan.delay_seconds)


def _decide(app: App, delivery: Delivery, attempt: Attempt, decision: Decision) -> Answer | Later:
    now, journey = app.clock(), _travelled(app, delivery, attempt, decision.run)
    counted = counting.decided(decision.outcome, journey)
    retract = _packages(attempt.claim.target) if attempt.claim.again and decision.applied is None else ""
    _, told = entries.told(delivery.handoff, _head_at(attempt.claim), now, decision.outcome)
    outcome = replace(told, tally=counted.tally, retract=retract)
    refusal = app.state.decide(attempt.claim, outcome, decision.applied, now)
    if refusal is not None and (refusal.row is None or refusal.row.outcome != outcome):
        if decision.applied is not None:
            app.bucket.retract(delivery.handoff, _packages(attempt.claim.target), attempt.claim.owner)
        return _lost(app, delivery, refusal)
    # Refused with this very outcome, it was made by a call whose answer was lost: counted then, and told now.
    app.observe(Measured(delivery.handoff, outcome, counted, journey.seconds))
    return settle_decided(app, delivery.handoff, outcome)


def _travelled(app: App, delivery: Delivery, attempt: Attempt, run: PorchRun | None) -> Journey:
    return replace(_journey(app, delivery, attempt.intent, run), waited=attempt.waited)


def _head_at(claim: Claim) -> Head:
    """Give the end of the audit entries with the claim's own: nobody else adds one while it is in force."""
    return claim.entry.head if claim.entry else Head()


def _lost(app: App, delivery: Delivery, refusal: Refusal) -> Answer:
    """Make way for whoever took over; what it decided can be settled by anybody."""
    verdict = judge(refusal, order(delivery.handoff), app.clock())
    if not isinstance(verdict, Decided):
        raise Overtaken
    return settle(app, delivery.handoff, verdict.outcome)


def _when_free(app: App, held: Held) -> Later:
    left = max(held.until - app.clock(), 1.0)
    return Later(min(left, _POLL_SECONDS) * (0.5 + app.jitter() / 2) if held.lets_go_early else left)


def _used_already(of: str, intent: Intent) -> Rejected:
    text = (
        f"the correlation id {intent.correlation_id} is used by {of} already; send this intent under another id, or "
        f"under the name {of} if it is meant to replace that one"
    )
    return Rejected(Cause.DUPLICATE_CORRELATION_ID, (Violation("$.correlation_id", "unique", text),))
