"""One attempt at an intent: claim, run porch, publish, decide or retry.

    claim ──▶ run porch ──▶ publish ──▶ decide ──▶ apply the outcome
                  └─ failed for a cause that may pass ──▶ retry: due again after a backoff

A claim reserves a number for the package, in the same transaction, and no other attempt has it. So what was decided is
never touched again, however late a worker of another attempt writes:

    claim 4            claim 5 (the lease of 4 has expired)     decision: 5
      |--- lease ---|    |--- writes …-v1.0.5/ ---------------|    |
             writes …-v1.0.4/ ............ |                       | clean-up: …-v1.0.4/ is deleted
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import chain, repeat
from typing import Any

from conductor_loop import counting, retry
from conductor_loop.app import App, Measured
from conductor_loop.counting import Journey, PorchRun
from conductor_loop.errors import Cause, LeaseLost, NumberTaken, Rejected, Violation
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents import outcome as status
from conductor_loop.intents.model import (
    Attempt,
    Blocked,
    Busy,
    Changed,
    Conflict,
    Done,
    Duplicate,
    Failure,
    Last,
    Lease,
    Outcome,
    Row,
    State,
    Superseded,
    Target,
    Write,
    applied_order,
    blocked,
    classify,
    known,
    latest,
    newest,
    order,
)
from conductor_loop.intents.outcome import Answer, Author, Delivery, apply_new, apply_outcome, fitting
from conductor_loop.porch import SCALE, Delivered, Package, PorchFailed, PorchRequest

logger = logging.getLogger("conductor-loop")

SETTLE_SECONDS = 15.0  # kept of every invocation for stopping porch, publishing, deciding and applying
SHORTEST_RUN_SECONDS = 1.0  # that porch gets: with less, an attempt is not begun
RECONCILE_SECONDS = 60.0  # after an attempt should have ended, until the sweeper acts
QUEUE_KEEPS_SECONDS = 14 * 86_400.0  # after that SQS has dropped a message
# After a decision, until no worker of an earlier attempt writes any more. It began before the decision was made, and
# Lambda ends it, killed or not, within 15 minutes; then S3 may be at what it has received, and clocks may differ.
LATEST_WRITE_SECONDS = 900.0 + 120.0
_SLACK_SECONDS = 10.0  # of an invocation that may have passed before an attempt begins
_CLAIMING_SECONDS = 2.0  # of settling's time, that the claim itself may take
_POLL_SECONDS = 5.0  # the longest wait for a target that may be free at any moment
_KEPT_CHARACTERS = 4000  # of each thing that porch printed
_TRIES = 8  # of a write whose rows change meanwhile; more means that something is wrong
# Of our own program, where it cannot go on; what services raise is none of these.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_VERSION = re.compile(r"-v([0-9]+)\.([0-9]+)\.([0-9]+)$")


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: another worker has it, or it is retried. Waiting costs no attempt."""

    seconds: float

    def __str__(self) -> str:
        """Say so, as the log does."""
        return f"not now, in {self.seconds:.0f} s"


class Unplanned(Enum):
    """Why no attempt is made now, although no other worker is in the way."""

    USED_UP = "every attempt has been made"
    EXCLUSIVE = "a worker of it has died, and may take others along: it runs exclusively in its process"
    NO_TIME = "porch would not get its whole time in what is left of this invocation"


def process(app: App, delivery: Delivery, intent: Intent) -> Answer | Deferred:
    """Make one attempt, to the outcome if possible. It claims when it may run: waiting takes no time of it.

    Raises:
        LeaseLost: this worker was too slow, and another one took over.

    """
    for exclusive in (False, True):
        with app.slot(exclusive):
            match claim(app, delivery, intent, exclusive=exclusive):
                case Attempt() as attempt:
                    return _run_or_give_back(app, delivery.of(attempt.handoff), attempt)
                case Unplanned.USED_UP:
                    return conclude(app, delivery, lambda who: status.exhausted(who, intent), intent)
                case Unplanned.NO_TIME:
                    return Deferred(1.0)
                case Unplanned.EXCLUSIVE:
                    continue
                case reason:
                    return resolve(app, delivery, intent, reason)
    raise AssertionError  # the second one is exclusive


def resolve(app: App, delivery: Delivery, intent: Intent, reason: Blocked) -> Answer | Deferred:
    """Do what is left to do for a handoff that is blocked."""
    match reason:
        case Done():
            return _apply_again(app, delivery, reason)
        case Busy():
            return _when_free(app, reason)
        case Superseded(by, of_name):
            return supersede(app, replace(delivery, newest="" if of_name else delivery.newest), by, intent)
        case Duplicate(of):
            rejection = used_already(of, intent)
            return conclude(app, delivery, lambda who: status.rejected(who, rejection, intent), intent)


def _apply_again(app: App, delivery: Delivery, done: Done) -> Answer:
    return apply_outcome(app, known(delivery.handoff, done.row.order), done.outcome)


# -- writes of a row that may change meanwhile


def commit[T](app: App, delivery: Delivery, propose: Callable[[float, Row, Handoff], Write | T]) -> Write | T | Blocked:
    """Propose a write against the row as it is, with the order that it has, until it is made or cannot be.

    The first try expects the row as this delivery's own admission has left it: that is right almost always, and a read
    would cost a call.
    """
    row = expected(delivery)
    for _ in range(_TRIES):
        now, handoff = app.clock(), known(delivery.handoff, row.order)
        if (reason := blocked(row, now)) is not None:
            return reason
        proposed = propose(now, row, handoff)
        if not isinstance(proposed, Write):
            return proposed
        conflict = app.state.write(proposed)
        if conflict is None:
            return proposed
        meaning = classify(conflict, order(proposed.handoff), now)
        if not isinstance(meaning, Changed):
            return meaning
        row = meaning.row or row
    return Busy(app.clock())


def expected(delivery: Delivery) -> Row:
    """Give the row that a delivery expects: none, or that of a message that was sent at the admission.

    What is not known of it is left out, so that it is written.
    """
    if delivery.queued and not delivery.message.swept:
        return Row(rev=1, entries=1, queued=True)
    return Row()


# -- claim


def least_seconds(app: App, delivery: Delivery, intent: Intent, multiplier: int = 1) -> float:
    """Say how much time must be left for an attempt: all that porch may take, or nearly all that an invocation has."""
    wanted = min(_wanted_seconds(app, intent) * multiplier, app.config.porch_timeout_seconds)
    most = max(delivery.deadline - delivery.started - _SLACK_SECONDS, SETTLE_SECONDS + SHORTEST_RUN_SECONDS)
    return min(SETTLE_SECONDS + wanted, most)


def _wanted_seconds(app: App, intent: Intent) -> float:
    return float(intent.timeout_seconds or app.config.processing_timeout_seconds)


def claim(app: App, delivery: Delivery, intent: Intent, *, exclusive: bool) -> Attempt | Unplanned | Blocked:
    """Take the leases of the handoff and of its target for one attempt, or say what is in the way.

    Args:
        app: Its adapters.
        delivery: Of the handoff, which was read as the newest version of its name.
        intent: What it says.
        exclusive: Whether no other attempt runs in this process.

    """
    attempts: list[Attempt] = []
    name = intent.namespaced_name
    read = partial(app.state.target, name)
    reads: Iterator[Callable[[], Target]] = chain([delivery.target or read], repeat(read))

    def propose(now: float, row: Row, handoff: Handoff) -> Write | Unplanned | Blocked:
        if row.attempt > app.config.retry.attempts:
            return Unplanned.USED_UP
        if _died(row) and not exclusive:
            return Unplanned.EXCLUSIVE
        if now + least_seconds(app, delivery, intent, row.timeout_multiplier) > delivery.deadline:
            return Unplanned.NO_TIME
        handoff, target = newest(handoff), next(reads)()
        if app.config.supersede_older and target.last_order > latest(order(handoff)):
            return Superseded(target.last_file)
        if target.lease_expires_at > now:
            poll = now + _POLL_SECONDS * (0.5 + app.jitter() / 2)  # it is free as soon as its worker is done
            return Busy(min(target.lease_expires_at, poll))
        if not target.rev:  # the first intent for it, or its row was lost
            target = _from_bucket(app, handoff, name)
        attempts.append(_planned(app, delivery.of(handoff), intent, row, Lease(name, target, target)))
        return _claim(app, delivery, attempts[-1], row, now)

    written: Write | Unplanned | Blocked = commit(app, delivery, propose)
    return attempts[-1] if isinstance(written, Write) else written


def _from_bucket(app: App, handoff: Handoff, name: str) -> Target:
    """Give a target without a row: its next package follows the newest one in the bucket."""
    number = app.bucket.next_number(handoff, name)
    return Target(number=number, version=f"v1.0.{number - 1}" if number else None)


def _died(row: Row) -> bool:
    """Say whether the last attempt ended without a word."""
    return row.state is State.RUNNING or (row.attempt > 0 and not row.due_at)


def _planned(app: App, delivery: Delivery, intent: Intent, row: Row, lease: Lease) -> Attempt:
    """Plan an attempt: how long porch may take, and so for how long everything is leased."""
    now, target = app.clock(), lease.before
    wanted = _wanted_seconds(app, intent) * row.timeout_multiplier
    timeout = min(wanted, app.config.porch_timeout_seconds, delivery.deadline - now - SETTLE_SECONDS)
    expires = now + timeout + SETTLE_SECONDS
    number = max(target.number, *(one + 1 for one in row.packages), 0)  # its row may have been reset meanwhile
    after = row.next(
        state=State.RUNNING,
        due_at=expires,
        reconcile_at=expires + RECONCILE_SECONDS,
        queued=False,
        attempt=row.attempt + 1,
        priority=delivery.message.priority,
        target=lease.target,
        packages=(*row.packages, number),
        order=order(delivery.handoff),
    )
    return Attempt(
        handoff=delivery.handoff,
        intent=intent,
        row=after,
        lease=replace(lease, after=target.next(now, lease_expires_at=expires, number=number + 1)),
        token=app.new_owner(),
        number=number,
        timeout_seconds=timeout,
        note=f" (timeout cut from {wanted:g}s to {timeout:.0f}s)" if timeout < wanted else "",
        waited=counting.age(delivery.handoff, now) if after.attempt == 1 else None,
    )


def _claim(app: App, delivery: Delivery, attempt: Attempt, row: Row, now: float) -> Write:
    intent = attempt.intent
    return Write(
        handoff=attempt.handoff,
        before=row,
        after=attempt.row,
        at=now,
        last={
            "replicas": intent.replicas,
            "correlation_id": intent.correlation_id,
            "worker": app.worker_id,
            "asked": intent.priority,
            "note": delivery.message.note,
        },
        lease=attempt.lease,
        newest=attempt.handoff.version_id,
        correlation_id=(intent.correlation_id or "") if app.config.unique_correlation_ids else "",
    )


# -- run, publish


def _run_or_give_back(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Deferred:
    """Make the attempt; where something else than porch fails, give the claim back.

    The intent is not to blame, and loses no attempt: its message is delivered again, and if that does not help, it ends
    among the dead letters. A defect of our own loses one: else porch would run with each delivery.
    """
    left = attempt.lease_expires_at - SETTLE_SECONDS - app.clock()
    if left < attempt.timeout_seconds - _CLAIMING_SECONDS:  # porch gets its whole time, or none
        return _give_back(app, delivery, attempt)
    try:
        return _run(app, delivery, attempt)
    except LeaseLost:
        raise
    except Exception as error:
        number = attempt.number + 1
        if not isinstance(error, NumberTaken):
            _give_back(app, delivery, attempt, number, costs=isinstance(error, _DEFECTS))
            raise
        with suppress(Exception):  # while packages cannot be listed, the next attempt tries the next number
            number = app.bucket.next_number(attempt.handoff, attempt.lease.target)
        return _give_back(app, delivery, attempt, number)


def _run(app: App, delivery: Delivery, attempt: Attempt) -> Answer | Deferred:
    target, previous = attempt.lease.before, _previous_replicas(app, attempt)
    try:
        result = app.run_porch(_request(attempt, previous))
    except PorchFailed as failure:
        return _retry_or_fail(app, delivery, attempt, failure)
    package = _publish(app, attempt, result.package)
    now = app.clock()
    after = attempt.lease.after.next(
        now,
        lease_expires_at=0.0,
        last_order=applied_order(target.last_order, order(attempt.handoff)),
        last_file=attempt.handoff.file,
        version=_version(package.name, attempt.number) or target.version,
        replicas=attempt.intent.replicas,
    )
    delivered = result.delivered
    if delivered.previous_replicas is None:  # without a cluster porch knows what it was given
        delivered = replace(delivered, previous_replicas=previous)
    component = status.component(result.package.files) if app.config.live_tree else None
    who = Author(app, delivery, attempt.row.attempt)
    outcome = status.succeeded(who, attempt.intent, package, delivered, attempt.note)
    outcome = replace(outcome, live_generation=after.rev if component is not None else 0)
    run = PorchRun(app.config.mode, result.run.duration_seconds)
    return _decide(app, delivery, attempt, Decision(outcome, after, run, component))


def _request(attempt: Attempt, previous_replicas: int | None) -> PorchRequest:
    return PorchRequest(
        file=attempt.handoff.file,
        document=attempt.intent.document,
        timeout_seconds=attempt.timeout_seconds,
        previous_version=attempt.lease.before.version,
        previous_replicas=previous_replicas,
        not_after=attempt.lease_expires_at - SETTLE_SECONDS,
    )


def _previous_replicas(app: App, attempt: Attempt) -> int | None:
    """Give the replicas before this intent, as far as they are known without asking the cluster.

    A worker that died may have set its own, and others may have set some before: then the last applied ones are a
    guess, which ``undo`` would act on.
    """
    failure = attempt.row.failure
    if failure is not None and failure.previous_replicas is not None:
        return failure.previous_replicas
    is_guess = app.config.delivery == SCALE and attempt.earlier
    return None if is_guess else attempt.lease.before.replicas


def _publish(app: App, attempt: Attempt, package: Package) -> status.Published:
    """Upload the package to the directory of the attempt.

    Raises:
        LeaseLost: the lease has expired.
        NumberTaken: the directory has files of another attempt.

    """
    if app.clock() >= attempt.lease_expires_at:
        raise LeaseLost
    prefix = package_prefix(attempt.lease.target, attempt.number)
    app.bucket.publish(attempt.handoff, attempt.token, {prefix + path: body for path, body in package.files.items()})
    return status.Published(package.name, prefix, tuple(sorted(package.files)))


def package_prefix(target: str, number: int) -> str:
    """Give the prefix of one package of a target ``namespace/name``, whatever porch calls it."""
    return f"packages/{target}/{target.partition('/')[2]}-v1.0.{number}/"


def _version(package: str, number: int) -> str | None:
    """Give the version of a package by its name, for the next one to count up from; ``None`` if it has none.

    It is not behind the number: so names and directories agree again after an attempt whose number was not used.
    """
    found = _VERSION.search(package)
    return f"v{found[1]}.{found[2]}.{max(int(found[3]), number)}" if found else None


# -- decide or retry


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of an attempt, and what it leaves."""

    outcome: Outcome
    target: Target  # as it is from then on
    run: PorchRun
    component: bytes | None = None  # for the live tree


def _decide(app: App, delivery: Delivery, attempt: Attempt, decision: Decision) -> Answer:
    """Record the outcome and release the target, once: a worker whose lease was taken over changes nothing."""
    now, outcome = app.clock(), decision.outcome
    journey = _journey(app, delivery, attempt.intent, decision.run, attempt.waited)
    counted = counting.decided(outcome, journey)
    after = done(attempt.row, outcome, attempt.earlier, now)
    conflict = _release(app, attempt, after, decision.target, {"tally": counted.tally})
    if conflict is not None and (conflict.row is None or conflict.row.outcome != outcome):
        return _make_way(app, delivery, attempt, conflict)
    # Refused with this very outcome, it was made by a call whose response was lost.
    app.observe(Measured(attempt.handoff, outcome, counted, journey.seconds))
    return apply_new(app, attempt.handoff, outcome, decision.component)


def done(row: Row, outcome: Outcome, packages: tuple[int, ...], now: float) -> Row:
    """Give the row after the decision; ``packages`` are numbers of those that the outcome does not name."""
    return row.next(
        state=State.DONE,
        outcome=outcome,
        failure=None,
        queued=False,
        packages=packages,
        due_at=now + LATEST_WRITE_SECONDS if packages else 0.0,
        reconcile_at=now + RECONCILE_SECONDS,
        reconciled=0,
    )


def _make_way(app: App, delivery: Delivery, attempt: Attempt, conflict: Conflict) -> Answer:
    """Apply what another worker has decided meanwhile; anything else is its business. Raises LeaseLost."""
    meaning = classify(conflict, order(attempt.handoff), app.clock())
    if not isinstance(meaning, Done):
        raise LeaseLost
    return _apply_again(app, delivery, meaning)


def _retry_or_fail(app: App, delivery: Delivery, attempt: Attempt, failure: PorchFailed) -> Answer | Deferred:
    row, now, kept = attempt.row, app.clock(), attempt.row.failure
    if failure.delivered is None and kept is not None and kept.delivery is not None:  # what it has set stays set
        failure.delivered = Delivered(kept.delivery, kept.previous_replicas)
    delay = retry.delay_seconds(failure.cause, row.attempt, app.config.retry, app.jitter)
    next_retry = None if delay is None else now + delay
    outcome = status.failed(Author(app, delivery, row.attempt), attempt.intent, failure, next_retry, attempt.note)
    run = PorchRun(app.config.mode, failure.run.duration_seconds, failure.cause is Cause.PROCESSING_TIMEOUT)
    if delay is None:
        return _decide(app, delivery, attempt, Decision(outcome, _released(attempt, now, attempt.number), run))
    journey = _journey(app, delivery, attempt.intent, run, attempt.waited)
    longer = 2 if run.timed_out else 1  # specification, "Porch Error Codes"
    waiting = _waiting(delivery, row, now + delay)
    waiting = replace(
        waiting,
        timeout_multiplier=row.timeout_multiplier * longer,
        failure=_failure(attempt, failure),
        packages=attempt.earlier,  # it published nothing: the next attempt has its number
    )
    counted = counting.retried(outcome, journey)
    last = {"attempt": row.attempt, "tally": counted.tally}
    conflict = _release(app, attempt, waiting, _released(attempt, now, attempt.number), last)
    if conflict is not None:
        return _make_way(app, delivery, attempt, conflict)
    app.observe(Measured(attempt.handoff, outcome, counted, journey.seconds, final=False))
    app.bucket.put_status(attempt.handoff, fitting(attempt.handoff.file), outcome.document, final=False)
    return Deferred(delay)


def enqueued(row: Row, handoff: Handoff, now: float, **changes: Any) -> Row:  # noqa: ANN401
    """Give the row after a message for the handoff was sent at ``now`` (epoch seconds)."""
    return row.next(
        state=State.WAITING,
        queued=True,
        due_at=row.due_at if row.state is State.WAITING else 0.0,
        reconcile_at=now + QUEUE_KEEPS_SECONDS,
        reconciled=row.reconciled + bool(row.rev),
        order=order(handoff),
        **changes,
    )


def _waiting(delivery: Delivery, row: Row, due: float) -> Row:
    """Give the row of an attempt that is made again, at ``due`` (epoch seconds)."""
    until = QUEUE_KEEPS_SECONDS if delivery.queued else RECONCILE_SECONDS
    return row.next(state=State.WAITING, due_at=due, reconcile_at=due + until, queued=delivery.queued)


def _give_back(
    app: App, delivery: Delivery, attempt: Attempt, next_number: int = 0, *, costs: bool = False
) -> Deferred:
    """Release the claim; ``costs``: whether that was an attempt.

    ``next_number`` is the target's if it may have published, else 0: its own number stays on the row, or the next
    attempt has it.
    """
    now, packages = app.clock(), attempt.row.packages if next_number else attempt.earlier
    waiting = replace(
        _waiting(delivery, attempt.row, now), attempt=attempt.row.attempt - (not costs), packages=packages
    )
    last = {"attempt": attempt.row.attempt, "because": "the attempt was given back"}
    try:
        _release(app, attempt, waiting, _released(attempt, now, next_number or attempt.number), last)
    except Exception:
        logger.exception("the claim could not be given back: its lease expires by itself")
    return Deferred(1.0)


def _release(app: App, attempt: Attempt, after: Row, target: Target, last: Last) -> Conflict | None:
    """Write the rows of the handoff and of its target as an attempt leaves them."""
    lease = replace(attempt.lease, before=attempt.lease.after, after=target)
    return app.state.write(Write(attempt.handoff, attempt.row, after, app.clock(), last, lease))


def _released(attempt: Attempt, now: float, number: int) -> Target:
    return attempt.lease.after.next(now, lease_expires_at=0.0, number=number)


def _failure(attempt: Attempt, failure: PorchFailed) -> Failure:
    """Give what the row keeps of a failure; a row has room for little of what porch printed."""
    run, delivered, kept = failure.run, failure.delivered, attempt.row.failure
    found = delivered.previous_replicas if delivered else None
    return Failure(
        attempt=attempt.row.attempt,
        cause=failure.cause,
        text=str(failure)[:_KEPT_CHARACTERS],
        seconds=run.duration_seconds,
        exit_code=run.exit_code,
        stdout=run.stdout[:_KEPT_CHARACTERS],
        stderr=run.stderr[:_KEPT_CHARACTERS],
        previous_replicas=kept.previous_replicas if found is None and kept else found,
        delivery=delivered.delivery if delivered else None,
        observed_replicas=delivered.observed_replicas if delivered else None,
    )


def _journey(
    app: App, delivery: Delivery, intent: Intent | None, run: PorchRun | None = None, waited: float | None = None
) -> Journey:
    message = delivery.message
    return Journey(
        seconds=app.clock() - delivery.started,
        run=run,
        waited=waited,
        priority=message.priority,
        demoted=intent.priority if intent and message.note else None,
    )


# -- decide without an attempt


def conclude(
    app: App, delivery: Delivery, tell: Callable[[status.Author], Outcome], intent: Intent | None = None
) -> Answer | Deferred:
    """Decide and apply a handoff that has no further attempt; earlier attempts at the ``intent`` may have been made."""
    journey = _journey(app, delivery, intent)
    outcomes, seen_newest = list[Outcome](), delivery.newest

    def propose(now: float, row: Row, handoff: Handoff) -> Write:
        mine = newest(handoff) if seen_newest == handoff.version_id else handoff
        outcomes.append(tell(Author(app, delivery.of(mine), row.attempt, row.failure)))
        after = replace(done(row, outcomes[-1], row.packages, now), order=order(mine))
        last = {"tally": counting.decided(outcomes[-1], journey).tally}
        return Write(mine, row, after, now, last, newest=seen_newest)

    written = commit(app, delivery, propose)
    if isinstance(written, Superseded):  # a newer version was seen: there is nothing to note of the name
        seen_newest = ""
        written = commit(app, delivery, propose)
    match written:
        case Busy():
            return _when_free(app, written)
        case Done() if written.outcome not in outcomes:
            return _apply_again(app, delivery, written)
        case Write():
            handoff, outcome = written.handoff, outcomes[-1]
        case Done(row):  # by a call whose response was lost
            handoff, outcome = known(delivery.handoff, row.order), written.outcome
        case _:
            raise AssertionError(written)  # it claims no target, and uses no correlation id
    app.observe(Measured(delivery.handoff, outcome, counting.decided(outcome, journey), journey.seconds))
    return apply_new(app, handoff, outcome)


def supersede(app: App, delivery: Delivery, by: str, intent: Intent | None) -> Answer | Deferred:
    """Decide and apply a handoff that a newer intent replaces."""
    return conclude(app, delivery, lambda who: status.superseded(who, by, intent), intent)


def _when_free(app: App, busy: Busy) -> Deferred:
    return Deferred(max(busy.until - app.clock(), 1.0))


def used_already(of: str, intent: Intent) -> Rejected:
    """Say that another file uses the intent's correlation id (E004)."""
    text = (
        f"the correlation id {intent.correlation_id} is used by {of} already; send this intent under another id, or "
        f"under the name {of} if it is meant to replace that one"
    )
    return Rejected(Cause.DUPLICATE_CORRELATION_ID, (Violation("$.correlation_id", "unique", text),))
