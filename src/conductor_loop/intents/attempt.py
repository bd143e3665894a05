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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from conductor_loop import counting, retry
from conductor_loop.app import App, Delivery, Measured
from conductor_loop.counting import SETTLING, Counted, Journey
from conductor_loop.errors import Cause, LeaseLost, NumberTaken, Rejected, Violation
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents import outcome as status
from conductor_loop.intents.model import (
    Blocked,
    Conflict,
    Deferred,
    Done,
    Duplicate,
    Exclusive,
    Exhausted,
    Lease,
    Outcome,
    Row,
    State,
    Superseded,
    Target,
    Write,
    applied_order,
    classify,
    is_exact,
    known,
    latest,
    newest,
)
from conductor_loop.intents.outcome import Answer, Author, apply_outcome, fitting
from conductor_loop.porch import SCALE, PorchFailed, PorchRequest, Run

logger = logging.getLogger("conductor-loop")

SETTLE_SECONDS = 15.0  # kept of every invocation for stopping porch, publishing, deciding and applying
_SHORTEST_RUN_SECONDS = 1.0  # that porch gets: with less, an attempt is not begun
_RECONCILE_SECONDS = 60.0  # after an attempt should have ended, until the sweeper acts
_QUEUE_KEEPS_SECONDS = 14 * 86_400.0  # after that SQS has dropped a message
# After a decision, until no worker of an earlier attempt writes any more. It began before the decision was made, and
# Lambda ends it, killed or not, within 15 minutes; then S3 may be at what it has received, and clocks may differ.
LATEST_WRITE_SECONDS = 900.0 + 120.0
_SLACK_SECONDS = 10.0  # of an invocation that may have passed before an attempt begins
_CLAIMING_SECONDS = 5.0  # of settling's time, that the claim itself may take
_POLL_SECONDS = 5.0  # the longest wait for a target that may be free at any moment
_KEPT_CHARACTERS = 4000  # of each thing that porch printed
_TRIES = 8  # of a write whose rows change meanwhile; more means that something is wrong
# Of our own program, where it cannot go on; what services raise is none of these.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_VERSION = re.compile(r"-v([0-9]+)\.([0-9]+)\.([0-9]+)$")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an intent, under leases: each of its writes to the table depends on ``row`` and ``lease.after``."""

    delivery: Delivery
    row: Row  # as claimed: another worker may take over when it is due
    lease: Lease  # of the target: before the claim, and as claimed
    timeout_seconds: float  # of porch
    note: str = ""  # for the status message: what is done otherwise than the sender asked

    @property
    def handoff(self) -> Handoff:
        """What it is about."""
        return self.delivery.handoff

    @property
    def number(self) -> int:
        """Number of the package that it alone may write."""
        return self.row.packages[-1]

    @property
    def porch_ends(self) -> float:
        """When porch must have ended (epoch seconds): the claim itself may have taken some seconds."""
        return self.row.due_at - SETTLE_SECONDS + _CLAIMING_SECONDS

    @property
    def earlier(self) -> tuple[int, ...]:
        """Numbers of packages that attempts before it may write still."""
        return self.row.packages[:-1]

    def released(self, now: float, **changes: Any) -> Target:  # noqa: ANN401 - fields of any type
        """Give the target, free again."""
        return self.lease.after.next(now, lease_expires_at=0.0, **changes)


def process(app: App, delivery: Delivery, *, exclusive: bool = False) -> Answer | Deferred:
    """Make one attempt, to the outcome if possible. It claims when it may run: waiting takes no time of it.

    Raises LeaseLost: this worker was too slow, and another one took over.
    """
    with app.slot(exclusive):
        claimed = claim(app, delivery, exclusive=exclusive)
        if isinstance(claimed, Attempt):
            return _run_or_give_back(app, claimed)
    return resolve(app, delivery, claimed)


def resolve(app: App, delivery: Delivery, reason: Blocked) -> Answer | Deferred:
    """Do what is left to do for a handoff that is blocked."""
    match reason:
        case Done():
            return apply_outcome(app, known(delivery.handoff, reason.order), reason.outcome)
        case Deferred():
            return reason
        case Superseded(by):
            return conclude(app, delivery, partial(status.superseded, by=by))
        case Duplicate(of):
            return conclude(app, delivery, partial(status.rejected, rejection=used_already(of, delivery.intent)))
        case Exhausted():
            return conclude(app, delivery, status.exhausted)
        case Exclusive():
            return process(app, delivery, exclusive=True)


# -- writes of a row that may change meanwhile


def commit[T](
    app: App,
    delivery: Delivery,
    propose: Callable[[float, Row, Handoff], tuple[Write, T] | Blocked],
    *,
    while_busy: bool = False,  # also where no other worker may act yet
) -> T | Blocked:
    """Propose a write against the row as it is, with the order that it has, until it is made or cannot be.

    What is proposed is a write, and what to return once it is made; or why there is none.
    The first try expects the row as this delivery's own admission has left it, or none: that is right almost always,
    and a read would cost a call. Fields that it does not know have their defaults there: a write changes those that it
    proposes otherwise, and leaves the others as the table has them.
    """
    row = Row(rev=1, entries=1, queued=True) if delivery.queued and not delivery.message.swept else Row()
    for _ in range(_TRIES):
        now, handoff = app.clock(), known(delivery.handoff, row.order)
        if row.due_at > now and not while_busy:
            return Deferred(row.due_at - now)
        proposed = propose(now, row, handoff)
        if not isinstance(proposed, tuple):
            return proposed
        write, result = proposed
        conflict = app.state.write(write)
        if conflict is None:
            return result
        if (reason := classify(conflict, write.handoff.order)) is not None:
            return reason
        row = conflict.row or row
    return Deferred(1.0)


# -- claim


def claim(app: App, delivery: Delivery, *, exclusive: bool) -> Attempt | Blocked:
    """Take the leases of the handoff and of its target for one attempt, or say what is in the way.

    The handoff was read as the newest version of its name; ``exclusive``: no other attempt runs in this process.
    """
    name = delivery.intent.namespaced_name
    read = delivery.read_target or partial(app.state.target, name)  # may be under way

    def propose(now: float, row: Row, handoff: Handoff) -> tuple[Write, Attempt] | Blocked:
        if row.attempt > app.config.retry.attempts:
            return Exhausted()
        died = row.state is State.RUNNING or (row.attempt > 0 and not row.due_at)  # under the last attempt
        if died and not exclusive:
            return Exclusive()
        nonlocal read
        handoff, target, read = newest(handoff), read(), partial(app.state.target, name)
        if app.config.supersede_older and target.last_order > latest(handoff.order):
            return Superseded(target.last_file)
        if target.lease_expires_at > now:
            poll = _POLL_SECONDS * (0.5 + app.jitter() / 2)  # it is free as soon as its worker is done
            return Deferred(min(target.lease_expires_at - now, poll))
        if not target.rev:  # the first intent for it, or its row was lost: the newest package says where to go on
            number = app.bucket.next_number(handoff, name)
            target = Target(number=number, version=f"v1.0.{number - 1}" if number else None)
        attempt = _planned(app, delivery.of(handoff), row, target)
        return (_claim(app, attempt, row, now), attempt) if attempt else Deferred(1.0)

    return commit(app, delivery, propose)


def _claim(app: App, attempt: Attempt, before: Row, now: float) -> Write:
    intent, message = attempt.delivery.intent, attempt.delivery.message
    return Write(
        handoff=attempt.handoff,
        before=before,
        after=attempt.row,
        at=now,
        last={
            "replicas": intent.replicas,
            "correlation_id": intent.correlation_id,
            "worker": app.worker_id,
            "asked": intent.priority,
            "note": message.note,
        },
        lease=attempt.lease,
        newest=attempt.handoff.version_id,
        correlation_id=(intent.correlation_id or "") if app.config.unique_correlation_ids else "",
    )


def _planned(app: App, delivery: Delivery, row: Row, target: Target) -> Attempt | None:
    """Plan an attempt: how long porch may take, and so for how long everything is leased.

    ``None``: porch would get less time than in an invocation that begins now.
    """
    now, name = app.clock(), delivery.intent.namespaced_name
    wanted = (delivery.intent.timeout_seconds or app.config.processing_timeout_seconds) * row.timeout_multiplier
    most = min(float(wanted), app.config.porch_timeout_seconds)
    whole = delivery.deadline - delivery.started - _SLACK_SECONDS - SETTLE_SECONDS
    timeout = min(most, delivery.deadline - now - SETTLE_SECONDS)
    if timeout < min(most, max(whole, _SHORTEST_RUN_SECONDS)):
        return None
    expires = now + timeout + SETTLE_SECONDS
    number = max(target.number, *(one + 1 for one in row.packages), 0)  # its row may have been reset meanwhile
    after = row.next(
        state=State.RUNNING,
        due_at=expires,
        reconcile_at=expires + _RECONCILE_SECONDS,
        queued=False,
        attempt=row.attempt + 1,
        priority=delivery.message.priority,
        target=name,
        packages=(*row.packages, number),
        order=delivery.handoff.order,
    )
    lease = Lease(name, target, target.next(now, lease_expires_at=expires, number=number + 1))
    cut = f" (timeout cut from {wanted:g}s to {timeout:.0f}s)" if timeout < wanted else ""
    return Attempt(delivery, after, lease, timeout, cut)


# -- run, publish


def _run_or_give_back(app: App, attempt: Attempt) -> Answer | Deferred:
    """Make the attempt; where something else than porch fails, give the claim back.

    The intent is not to blame, and loses no attempt: its message is delivered again, and if that does not help, it ends
    among the dead letters. A defect of our own loses one: else porch would run with each delivery.
    """
    if app.clock() + attempt.timeout_seconds > attempt.porch_ends:  # porch gets its whole time, or none
        return _give_back(app, attempt)
    try:
        return _run(app, attempt)
    except LeaseLost:
        raise
    except Exception as error:
        number = attempt.number + 1
        if not isinstance(error, NumberTaken):
            _give_back(app, attempt, number, costs=isinstance(error, _DEFECTS))
            raise
        with suppress(Exception):  # while packages cannot be listed, the next attempt tries the next number
            number = app.bucket.next_number(attempt.handoff, attempt.lease.target)
        return _give_back(app, attempt, number)


def _run(app: App, attempt: Attempt) -> Answer | Deferred:
    """Run porch, upload its package to the directory of the attempt, and decide.

    Raises LeaseLost: the lease has expired; and NumberTaken: the directory has files of another attempt.
    """
    delivery, target, previous = attempt.delivery, attempt.lease.before, _previous_replicas(app, attempt)
    try:
        result = app.run_porch(_request(attempt, previous))
    except PorchFailed as failure:
        return _retry_or_fail(app, attempt, failure)
    if app.clock() >= attempt.row.due_at:
        raise LeaseLost
    package, prefix = result.package, package_prefix(attempt.lease.target, attempt.number)
    files = {prefix + path: body for path, body in package.files.items()}
    app.bucket.publish(attempt.handoff, attempt.lease.after.rev, files)
    after = attempt.released(
        app.clock(),
        last_order=applied_order(target.last_order, _order(app, attempt.handoff)),
        last_file=attempt.handoff.file,
        version=_version(package.name, attempt.number) or target.version,
        replicas=delivery.intent.replicas,
    )
    delivered = result.delivered
    if delivered.previous_replicas is None:  # without a cluster porch knows what it was given
        delivered = replace(delivered, previous_replicas=previous)
    outcome = status.succeeded(Author(app, delivery, attempt.row), package, prefix, delivered, attempt.note)
    component = package.component if app.config.live_tree else None
    if component is not None:
        outcome = replace(outcome, live_generation=after.rev)
    return _decide(app, attempt, _measured(app, delivery, outcome, result.run), after, component)


def _order(app: App, handoff: Handoff) -> str:
    """Give the order of a handoff: one whose event was lost may have got it since its claim."""
    if not is_exact(handoff.order):
        with suppress(Exception):  # it was late, and no reason to run porch again
            handoff = known(handoff, app.state.find([handoff])[handoff].order)
    return handoff.order


def _request(attempt: Attempt, previous_replicas: int | None) -> PorchRequest:
    return PorchRequest(
        file=attempt.handoff.file,
        document=attempt.delivery.intent.document,
        timeout_seconds=attempt.timeout_seconds,
        previous_version=attempt.lease.before.version,
        previous_replicas=previous_replicas,
        not_after=attempt.porch_ends,
    )


def _previous_replicas(app: App, attempt: Attempt) -> int | None:
    """Give the replicas before this intent, as far as they are known without asking the cluster.

    A worker that died may have set its own, and others may have set some before: then the last applied ones are a
    guess, which ``undo`` would act on.
    """
    failure = attempt.row.failure
    if failure is not None and "previous_replicas" in failure.delivered:
        return int(failure.delivered["previous_replicas"])
    is_guess = app.config.delivery == SCALE and attempt.earlier
    return None if is_guess else attempt.lease.before.replicas


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


def _decide(
    app: App, attempt: Attempt, measured: Measured, target: Target, component: bytes | None = None
) -> Answer | Deferred:
    """Record the outcome and release the target, once: a worker whose lease was taken over changes nothing."""
    after = done(attempt.row, measured.outcome, attempt.earlier, app.clock())
    conflict = _release(app, attempt, after, target, {"tally": measured.counted.tally})
    return _apply_new(app, measured, component) if conflict is None else _make_way(app, attempt, conflict)


def done(row: Row, outcome: Outcome, packages: tuple[int, ...], now: float) -> Row:
    """Give the row after the decision; ``packages`` are numbers of those that the outcome does not name."""
    return row.next(
        state=State.DONE,
        outcome=outcome,
        failure=None,
        queued=False,
        packages=packages,
        due_at=now + LATEST_WRITE_SECONDS if packages else 0.0,
        reconcile_at=now + _RECONCILE_SECONDS,
    )


def _make_way(app: App, attempt: Attempt, conflict: Conflict) -> Answer | Deferred:
    """Apply what another worker has decided meanwhile; anything else is its business. Raises LeaseLost."""
    meaning = classify(conflict, attempt.handoff.order)
    if not isinstance(meaning, Done):
        raise LeaseLost
    return resolve(app, attempt.delivery, meaning)


def _retry_or_fail(app: App, attempt: Attempt, failed: PorchFailed) -> Answer | Deferred:
    row, now, failure = attempt.row, app.clock(), status.describe(attempt.row, failed)
    delay = retry.delay_seconds(failure.cause, row.attempt, app.config.retry, app.jitter)
    next_retry = None if delay is None else now + delay
    outcome = status.failed(Author(app, attempt.delivery, row), failure, next_retry, attempt.note)
    measured = _measured(app, attempt.delivery, outcome, failed.run)
    target = attempt.released(now, number=attempt.number)  # it published nothing: the next attempt has its number
    if delay is None:
        return _decide(app, attempt, measured, target)
    waiting = _waiting(
        attempt,
        now + delay,
        timeout_multiplier=row.timeout_multiplier * (2 if failure.cause is Cause.PROCESSING_TIMEOUT else 1),
        failure=status.describe(row, failed, _KEPT_CHARACTERS),
        packages=attempt.earlier,
    )
    conflict = _release(app, attempt, waiting, target, {"attempt": row.attempt, "tally": measured.counted.tally})
    if conflict is not None:
        return _make_way(app, attempt, conflict)
    app.observe(measured)
    app.bucket.put_status(attempt.handoff, fitting(attempt.handoff.file), outcome.document, final=False)
    return Deferred(delay)


def enqueued(row: Row, handoff: Handoff, now: float, **changes: Any) -> Row:  # noqa: ANN401
    """Give the row after a message for the handoff was sent at ``now`` (epoch seconds)."""
    return row.next(
        state=State.WAITING,
        queued=True,
        due_at=row.due_at if row.state is State.WAITING else 0.0,
        reconcile_at=now + _QUEUE_KEEPS_SECONDS,
        order=handoff.order,
        **changes,
    )


def _waiting(attempt: Attempt, due: float, /, **changes: Any) -> Row:  # noqa: ANN401
    """Give the row of an attempt that is made again, at ``due`` (epoch seconds)."""
    queued = attempt.delivery.queued
    until = due + (_QUEUE_KEEPS_SECONDS if queued else _RECONCILE_SECONDS)
    return attempt.row.next(state=State.WAITING, due_at=due, reconcile_at=until, queued=queued, **changes)


def _give_back(app: App, attempt: Attempt, next_number: int = 0, *, costs: bool = False) -> Deferred:
    """Release the claim; ``costs``: whether that was an attempt.

    ``next_number`` is the target's where the attempt may have published: its own stays on the row, for the sweeper.
    0: nothing was published, and the next attempt has its number.
    """
    now, number = app.clock(), attempt.row.attempt
    packages = attempt.row.packages if next_number else attempt.earlier
    waiting = _waiting(attempt, now, attempt=number - (not costs), packages=packages)
    target = attempt.released(now, number=next_number or attempt.number)
    try:
        _release(app, attempt, waiting, target, {"attempt": number, "because": "the attempt was given back"})
    except Exception:
        logger.exception("the claim could not be given back: its lease expires by itself")
    return Deferred(_POLL_SECONDS)


def _release(app: App, attempt: Attempt, after: Row, target: Target, last: Mapping[str, Any]) -> Conflict | None:
    """Write the rows of the handoff and of its target as an attempt leaves them."""
    lease = replace(attempt.lease, before=attempt.lease.after, after=target)
    return app.state.write(Write(attempt.handoff, attempt.row, after, app.clock(), last, lease))


def _measured(app: App, delivery: Delivery, outcome: Outcome, run: Run | None = None) -> Measured:
    is_first = run is not None and outcome.status["attempt"] == 1
    journey = Journey(
        seconds=app.clock() - delivery.started,
        porch_seconds=run.duration_seconds if run else None,
        waited=counting.age(delivery.handoff, delivery.started) if is_first else None,
        priority=delivery.message.priority,
        demoted=delivery.intent.priority if delivery.message.note else None,
    )
    return Measured(delivery.handoff, outcome, counting.count(outcome, journey), journey.seconds)


def _apply_new(app: App, measured: Measured, component: bytes | None = None) -> Answer:
    """Apply what was decided just now, and measure how long that takes."""
    app.observe(measured)
    began = app.clock()
    answer = apply_outcome(app, measured.handoff, measured.outcome, component)
    app.note(Counted(samples={SETTLING: max(app.clock() - began, 0.0)}))
    return answer


# -- decide without an attempt


def conclude(app: App, delivery: Delivery, tell: Callable[[Author], Outcome]) -> Answer | Deferred:
    """Decide and apply a handoff that has no further attempt; earlier attempts may have been made."""

    def propose(now: float, row: Row, handoff: Handoff) -> tuple[Write, Measured]:
        mine = delivery.of(newest(handoff) if delivery.newest == handoff.version_id else handoff)
        measured = _measured(app, mine, tell(Author(app, mine, row)))
        after = replace(done(row, measured.outcome, row.packages, now), order=mine.handoff.order)
        last = {"tally": measured.counted.tally}
        return Write(mine.handoff, row, after, now, last, newest=delivery.newest), measured

    written = commit(app, delivery, propose)
    if isinstance(written, Superseded):  # a newer version was seen: there is nothing to note of the name
        return conclude(app, replace(delivery, newest=""), tell)
    return _apply_new(app, written) if isinstance(written, Measured) else resolve(app, delivery, written)


def withdraw(app: App, delivery: Delivery) -> Answer | Deferred:
    """Decide and apply a handoff that its owner has removed before."""
    seen = delivery.handoff.version_id if is_exact(delivery.handoff.order) else ""  # others of its second may be newer
    return conclude(app, replace(delivery, newest=seen), status.withdrawn)


def used_already(of: str, intent: Intent) -> Rejected:
    """Say that another file uses the intent's correlation id (E004)."""
    text = (
        f"the correlation id {intent.correlation_id} is used by {of} already; send this intent under another id, or "
        f"under the name {of} if it is meant to replace that one"
    )
    return Rejected(Cause.DUPLICATE_CORRELATION_ID, (Violation("$.correlation_id", "unique", text),))
