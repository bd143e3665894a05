"""One attempt at an intent: claim, run porch, publish, decide or postpone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from conductor_loop import claiming, counting, live, retry, status
from conductor_loop.app import App, Measured
from conductor_loop.claiming import (
    SETTLE_SECONDS,
    Attempt,
    Refused,
    Unplanned,
    least_seconds,
    written,
)
from conductor_loop.cleanup import clean_up_at
from conductor_loop.counting import Journey, PorchRun
from conductor_loop.delivery import Delivery, Later, author
from conductor_loop.errors import Cause, NumberTaken, Overtaken, Rejected, Violation
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.lifecycle import (
    Applied,
    Decided,
    Duplicate,
    Failure,
    Held,
    Outcome,
    Pause,
    Refusal,
    Row,
    Superseded,
    Target,
    judge,
)
from conductor_loop.order import applied as applied_order
from conductor_loop.order import newest, order
from conductor_loop.porch import SCALE, Delivered, PorchFailed, Request, Run
from conductor_loop.publishing import publish, version_after
from conductor_loop.settling import Answer, fitting, settle, settle_decided

logger = logging.getLogger("conductor-loop")

_CLAIMING_SECONDS = 2.0  # of settling's time, that the claim itself may take
_KEPT_CHARACTERS = 4000  # of each thing that porch printed
_POLL_SECONDS = 5.0  # the longest wait for a target that may be free at any moment


def process(app: App, delivery: Delivery, intent: Intent) -> Answer | Later:
    """Make one attempt, to the answer if that can be. It claims when it is its turn: waiting takes no time of it.

    Raises:
        Overtaken: this worker was too slow, and another one took over.

    """
    for alone in (False, True):
        with app.turn(alone):
            if app.clock() + least_seconds(app, delivery, intent) > delivery.deadline:
                return Later(1.0, elsewhere=True)
            claimed = claiming.take(app, delivery, intent, alone=alone)
            if claimed is not Unplanned.NOT_ALONE:
                return _carry_on(app, delivery, intent, claimed)
    raise AssertionError  # alone, it is


def _carry_on(app: App, delivery: Delivery, intent: Intent, claimed: Attempt | Unplanned | Refused) -> Answer | Later:
    match claimed:
        case Attempt():
            return _attempt_or_give_back(app, delivery.of(claimed.claim.handoff), claimed)
        case Held():
            return _when_free(app, claimed)
        case Decided(outcome):
            return settle(app, delivery.handoff, outcome)
        case Superseded(by, of_name):
            delivery = replace(delivery, newest="" if of_name else delivery.newest)
            return conclude(app, delivery, lambda who: status.superseded(who, by, intent), intent)
        case Duplicate(of):
            rejection = used_already(of, intent)
            return conclude(app, delivery, lambda who: status.rejected(who, rejection, intent), intent)
        case Unplanned.USED_UP:
            return conclude(app, delivery, lambda who: status.exhausted(who, intent), intent)
    return Later(1.0, elsewhere=True)


def conclude(
    app: App, delivery: Delivery, tell: Callable[[status.Author], Outcome], intent: Intent | None = None
) -> Answer | Later:
    """Decide and settle a handoff that gets to porch no more; earlier attempts at the ``intent`` may have."""
    journey = _journey(app, delivery, intent)
    outcomes: list[Outcome] = []
    seen_newest = delivery.newest

    def write(now: float, seen: Row | None, handoff: Handoff) -> Refusal | None:
        mine = delivery.of(newest(handoff) if seen_newest == handoff.version_id else handoff)
        outcomes.append(_concluded(app, mine, tell, journey, seen))
        return app.state.decide_unclaimed(mine.handoff, outcomes[-1], now, seen, newest=seen_newest)

    verdict = written(app, delivery, write)
    if isinstance(verdict, Superseded):  # a newer version was seen: there is nothing to note of the name
        seen_newest = ""
        verdict = written(app, delivery, write)
    match verdict:
        case Held():
            return _when_free(app, verdict)
        case Decided(earlier) if earlier not in outcomes:
            return settle(app, delivery.handoff, earlier)
    decided = verdict.outcome if isinstance(verdict, Decided) else outcomes[-1]  # written by a call with a lost answer
    app.observe(Measured(delivery.handoff, decided, counting.decided(decided, journey), journey.seconds))
    return settle_decided(app, delivery.handoff, decided)


def _concluded(
    app: App, delivery: Delivery, tell: Callable[[status.Author], Outcome], journey: Journey, seen: Row | None
) -> Outcome:
    """Tell the outcome as of the row: with all that earlier attempts have left."""
    now, attempt = app.clock(), seen.attempt if seen else 0
    outcome = tell(author(app, delivery, attempt, seen.failure if seen else None))
    return replace(
        outcome,
        last={"journey": journey.facts},
        clean_up_at=clean_up_at(now, seen.reserved if seen else ()),
        order=order(delivery.handoff),
    )


def _journey(app: App, delivery: Delivery, intent: Intent | None, run: PorchRun | None = None) -> Journey:
    message = delivery.message
    return Journey(
        seconds=app.clock() - delivery.started,
        run=run,
        priority=message.priority,
        demoted=bool(message.note),
        asked=intent.priority if intent else Priority.NORMAL,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt came to."""

    outcome: Outcome
    applied: Applied | None = None  # what it changes on its target
    run: PorchRun | None = None
    component: bytes | None = None  # for the live tree


def _attempt_or_give_back(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Later:
    """Make the attempt; where something else than porch fails, let go of the claim.

    The intent is not to blame, and loses no attempt: its message comes again, and if it cannot be helped, it ends among
    the dead letters.
    """
    left = attempt.claim.lease_until - SETTLE_SECONDS - app.clock()
    if left < attempt.timeout_seconds - _CLAIMING_SECONDS:  # porch gets its whole time, or none
        return _given_back(app, attempt)
    try:
        return _attempt(app, delivery, attempt)
    except NumberTaken:
        _given_back(app, attempt, int(app.clock()))  # more seconds than the target can have had attempts
        return Later(1.0)
    except Overtaken:
        raise
    except Exception:
        _given_back(app, attempt, attempt.claim.number + 1)
        raise


def _given_back(app: App, attempt: Attempt, next_number: int = 0) -> Later:
    now, claim = app.clock(), attempt.claim
    last = {"attempt": claim.attempt, "because": "the attempt was given back"}
    try:
        pause = Pause(now, attempt.patience, counts=False, next_number=next_number, last=last)
        app.state.postpone(claim, pause, now)
    except Exception:
        logger.exception("the claim could not be given back: it runs out by itself")
    return Later(1.0, elsewhere=True)


def _attempt(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Later:
    target, previous = attempt.target, _previous_replicas(app, attempt)
    request = Request(
        file=delivery.handoff.file,
        document=attempt.intent.document,
        timeout_seconds=attempt.timeout_seconds,
        previous_version=target.version,
        previous_replicas=previous,
        not_after=attempt.claim.lease_until - SETTLE_SECONDS,
    )
    try:
        result = app.run_porch(request)
    except PorchFailed as failure:
        return _failed(app, delivery, attempt, failure)
    package = publish(app, attempt.claim, result.package)
    applied = Applied(
        version=version_after(package.name, attempt.claim.number) or target.version,
        replicas=attempt.intent.replicas,
        order=applied_order(target.last_order, order(attempt.claim.handoff)),
        generation=_next_generation(app, target),
    )
    component = live.component(result.package.files) if app.config.live_tree else None
    who = author(app, delivery, attempt.claim.attempt)
    delivered = result.delivered
    if delivered.previous_replicas is None:  # porch does not say; without a cluster it knows what we have told it
        delivered = replace(delivered, previous_replicas=previous)
    outcome = status.succeeded(who, attempt.intent, package, delivered, attempt.note)
    outcome = replace(outcome, live_generation=applied.generation if component is not None else 0)
    return _decide(app, delivery, attempt, Decision(outcome, applied, _run(app, result.run), component))


def _previous_replicas(app: App, attempt: Attempt) -> int | None:
    """Give the replicas before this intent, as far as is known without asking the cluster.

    A worker that died may have set its own, and others may have set some before: then the last applied ones are a
    guess, which ``undo`` would act on.
    """
    is_guess = app.config.delivery == SCALE and attempt.claim.earlier
    return attempt.target.replicas if attempt.previous_replicas is None and not is_guess else attempt.previous_replicas


def _next_generation(app: App, target: Target) -> int:
    """Give a number that is greater than every one that the target has had, also where its row was lost.

    Read and written under the target's lease, it tells which of two intents was applied last. Orders do not: of one
    that is known to the second alone, and with ``supersede_older`` switched off.
    """
    return max(target.generation + 1, int(app.clock() * 1000))


def _run(app: App, run: Run) -> PorchRun:
    return PorchRun(app.config.mode, run.duration_seconds)


def _failed(app: App, delivery: Delivery, attempt: Attempt, failure: PorchFailed) -> Answer | Later:
    claim, now = attempt.claim, app.clock()
    if failure.delivered is None and attempt.delivery is not None:  # what an earlier attempt has set stays set
        failure.delivered = Delivered(attempt.delivery, attempt.previous_replicas)
    plan = retry.decide(failure.cause, claim.attempt, attempt.patience, app.config.retry, app.jitter)
    next_retry = now + plan.delay_seconds if isinstance(plan, retry.Again) else None
    outcome = status.failed(author(app, delivery, claim.attempt), attempt.intent, failure, next_retry, attempt.note)
    run = PorchRun(app.config.mode, failure.run.duration_seconds, failure.cause is Cause.PROCESSING_TIMEOUT)
    if isinstance(plan, retry.GiveUp):
        return _decide(app, delivery, attempt, Decision(outcome, None, run))
    journey = _travelled(app, delivery, attempt, run)
    last = {"attempt": claim.attempt, "journey": journey.facts}
    pause = Pause(now + plan.delay_seconds, plan.patience, last=last, failure=_kept(attempt, failure))
    refusal = app.state.postpone(claim, pause, now)
    if refusal is not None:
        return _lost(app, delivery, refusal)
    app.observe(Measured(delivery.handoff, outcome, counting.retried(outcome, journey), journey.seconds, final=False))
    app.bucket.put_status(delivery.handoff, fitting(delivery.handoff.file), outcome.document, final=False)
    return Later(plan.delay_seconds)


def _kept(attempt: Attempt, failure: PorchFailed) -> Failure:
    """Give what the row keeps of a failure; a row has room for little of what porch printed."""
    run, delivered = failure.run, failure.delivered
    found = delivered.previous_replicas if delivered else None
    return Failure(
        attempt=attempt.claim.attempt,
        cause=failure.cause,
        text=str(failure)[:_KEPT_CHARACTERS],
        seconds=run.duration_seconds,
        exit_code=run.exit_code,
        stdout=run.stdout[:_KEPT_CHARACTERS],
        stderr=run.stderr[:_KEPT_CHARACTERS],
        previous_replicas=attempt.previous_replicas if found is None else found,
        delivery=delivered.delivery if delivered else None,
        observed_replicas=delivered.observed_replicas if delivered else None,
    )


def _decide(app: App, delivery: Delivery, attempt: Attempt, decision: Decision) -> Answer | Later:
    now, journey = app.clock(), _travelled(app, delivery, attempt, decision.run)
    cleaned_at, mine = clean_up_at(now, attempt.claim.earlier), order(attempt.claim.handoff)
    last = {"journey": journey.facts}
    outcome = replace(decision.outcome, last=last, clean_up_at=cleaned_at, order=mine)
    refusal = app.state.decide(attempt.claim, outcome, decision.applied, now)
    if refusal is not None and (refusal.row is None or refusal.row.outcome != outcome):
        return _lost(app, delivery, refusal)
    # Refused with this very outcome, it was made by a call whose answer was lost: counted then, and told now.
    app.observe(Measured(delivery.handoff, outcome, counting.decided(outcome, journey), journey.seconds))
    return settle_decided(app, delivery.handoff, outcome, decision.component)


def _travelled(app: App, delivery: Delivery, attempt: Attempt, run: PorchRun | None) -> Journey:
    return replace(_journey(app, delivery, attempt.intent, run), waited=attempt.waited)


def _lost(app: App, delivery: Delivery, refusal: Refusal) -> Answer:
    """Make way for whoever took over; what it decided can be settled by anybody."""
    verdict = judge(refusal, order(delivery.handoff), app.clock())
    if not isinstance(verdict, Decided):
        raise Overtaken
    return settle(app, delivery.handoff, verdict.outcome)


def _when_free(app: App, held: Held) -> Later:
    left = max(held.until - app.clock(), 1.0)
    return Later(min(left, _POLL_SECONDS) * (0.5 + app.jitter() / 2) if held.lets_go_early else left)


def used_already(of: str, intent: Intent) -> Rejected:
    """Say that another file uses the intent's correlation id (E004)."""
    text = (
        f"the correlation id {intent.correlation_id} is used by {of} already; send this intent under another id, or "
        f"under the name {of} if it is meant to replace that one"
    )
    return Rejected(Cause.DUPLICATE_CORRELATION_ID, (Violation("$.correlation_id", "unique", text),))
