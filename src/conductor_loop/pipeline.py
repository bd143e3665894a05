"""The story of an intent: admit, queue or process, settle. Safe to tell again from any point."""

import logging
from dataclasses import replace
from functools import partial

from conductor_loop import status
from conductor_loop.app import App, Found, Message
from conductor_loop.claiming import least_seconds
from conductor_loop.counting import age
from conductor_loop.delivery import Delivery, Later
from conductor_loop.errors import Cause, Gone, Illegible, KeyUnavailable, Rejected, StillHeld, Violation
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.lifecycle import Beside, Decided, Free, Row, State, Superseded, judge
from conductor_loop.order import is_exact, known, newest, order
from conductor_loop.processing import conclude, process
from conductor_loop.repairing import repairing
from conductor_loop.routing import HIGH, high_rate, note_swept, route
from conductor_loop.settling import Answer, settle
from conductor_loop.sweep import is_due
from conductor_loop.validation import check_name, check_size, validate_file

logger = logging.getLogger("conductor-loop")

_KEY_SECONDS = 60.0  # until the site's key is tried again


def answer(app: App, handoff: Handoff, deadline: float) -> Answer:
    """Take the event of a handoff: to its end, or into a queue.

    Args:
        app: The parts to do it with.
        handoff: What the event says was put; without a version id, the newest version is meant.
        deadline: Epoch seconds at which this invocation ends.

    Raises:
        StillHeld: another worker is at it, and there is no time left to wait.
        Overtaken: this worker was too slow, and another one took over.

    """
    delivery = Delivery(Message(handoff), app.clock(), deadline)
    return repairing(app, handoff, partial(_answer, app, delivery))


def work(app: App, message: Message, deadline: float) -> Answer | Later:
    """Take a message of a queue: to its end, or say after how many seconds it should come again. Raises Overtaken."""
    delivery = Delivery(message, app.clock(), deadline, queued=True)
    try:
        return repairing(app, message.handoff, partial(_work, app, delivery))
    except KeyUnavailable:  # waits, and is not taken for a message that fails: it would end among the dead letters
        logger.exception("the site's KMS key cannot be used")
        return Later(_KEY_SECONDS)


def admit(app: App, found: Found) -> Intent:
    """Turn untrusted bytes into an intent.

    Raises:
        Rejected: with everything that is wrong with it.

    """
    if found.body is None:
        check_name(found.handoff.file)
        check_size(found.handoff.size, app.config.rules)
    return validate_file(found.handoff.file, found.body or b"", app.config.rules)


def _answer(app: App, delivery: Delivery) -> Answer:
    opened = _opened(app, delivery)
    if not isinstance(opened, tuple):
        return _or_still_held(opened)
    delivery, intent = opened
    way = route(intent, delivery.handoff, app.config.critical_principals, lambda: _take_high(app))
    delivery = replace(delivery, message=Message(delivery.handoff, way.priority, way.note))
    if app.config.priority_queues and way.priority is not Priority.CRITICAL:
        return _waits_already(app, delivery.handoff) or _or_still_held(_enqueue(app, delivery, intent))
    return _or_still_held(_process_inline(app, delivery, intent))


def _work(app: App, delivery: Delivery) -> Answer | Later:
    opened = _opened(app, delivery)
    if not isinstance(opened, tuple):
        return opened
    delivery, intent = opened
    if delivery.message.swept:
        delivery = replace(delivery, message=replace(delivery.message, note=note_swept(intent)))
    return process(app, delivery, intent)


def _opened(app: App, delivery: Delivery) -> tuple[Delivery, Intent] | Answer | Later:
    """Read and admit what was delivered; an answer where the story ends there."""
    try:
        found = app.bucket.read(delivery.handoff, app.config.rules.max_file_bytes)
    except Gone:
        return _answer_gone(app, delivery)
    except Illegible as error:
        rejection = _illegible(error)
        _outrank(app, delivery.handoff)
        delivery = replace(delivery, newest=delivery.handoff.version_id)
        return conclude(app, delivery, lambda who: status.rejected(who, rejection))
    delivery = replace(delivery.of(found.handoff), newest=found.newer_version or found.handoff.version_id)
    if found.newer_version is None:
        _outrank(app, found.handoff)
    try:
        intent = admit(app, found)
    except Rejected as error:
        rejection = error
        if found.newer_version is not None:
            return _superseded(app, delivery, found.newer_version)
        return conclude(app, delivery, lambda who: status.rejected(who, rejection))
    app.trace(intent)
    if found.newer_version is not None:
        return _superseded(app, delivery, found.newer_version, intent)
    return delivery, intent


def _outrank(app: App, handoff: Handoff) -> None:
    """Note the newest version of a name above those that lie below it, where its order alone does not say so."""
    if not is_exact(order(handoff)) and (older := app.bucket.older_versions(handoff)):
        app.state.outrank(newest(handoff), older, app.clock())


def _superseded(app: App, delivery: Delivery, newer_version: str, intent: Intent | None = None) -> Answer | Later:
    by = f"version {newer_version} of the same name"
    return conclude(app, delivery, lambda who: status.superseded(who, by, intent), intent)


def _waits_already(app: App, handoff: Handoff) -> Answer | None:
    """Say what has become of a handoff whose event comes so late that the sweeper may have found it before.

    Only such an event pays for the read; any other one is sent on unseen.
    """
    if age(handoff, app.clock()) <= app.config.sweep_after_seconds:
        return None
    row = app.state.find([handoff]).get(handoff)
    if row is None or row.state is State.ADMITTED:
        return None  # unknown; or this is the event that the sweeper made
    if row.outcome is not None:
        return settle(app, handoff, row.outcome)
    _learn(app, handoff, row)
    return None if is_due(row, app.clock(), app.config) else Answer.QUEUED


def _learn(app: App, handoff: Handoff, row: Row) -> None:
    """Keep the exact order that a late event brings: the sweeper knew the second alone."""
    if is_exact(order(handoff)) and not is_exact(row.order):
        app.state.learn(handoff)


def _enqueue(app: App, delivery: Delivery, intent: Intent, delay_seconds: float = 0) -> Answer | Later:
    """Send a message, then note that it is there: in the other order, a crash between would leave no message."""
    handoff, message = newest(delivery.handoff), delivery.message
    beside = Beside({"asked": intent.priority, "note": message.note}, message.priority)
    app.queues.send(replace(message, handoff=handoff, rev=1), intent.namespace, delay_seconds)
    now = app.clock()
    refusal = app.state.register(handoff, State.QUEUED, now, beside=beside)
    if refusal is None:
        return Answer.QUEUED
    match judge(refusal, order(handoff), now):
        case Decided(outcome):
            return settle(app, handoff, outcome)
        case Superseded(by):
            return conclude(app, replace(delivery, newest=""), lambda who: status.superseded(who, by, intent), intent)
        case Free(seen) if seen is not None and seen.state is not State.RETRYING:
            app.state.register(newest(known(handoff, seen.order)), State.QUEUED, now, seen, beside=beside)
        case _ if refusal.row is not None:
            _learn(app, handoff, refusal.row)
    return Answer.QUEUED


def _process_inline(app: App, delivery: Delivery, intent: Intent) -> Answer | Later:
    """Process in the invocation that the event began; what cannot be done now goes to a queue, or is waited for."""
    while isinstance(later := process(app, delivery, intent), Later):
        if app.config.priority_queues:
            high = replace(delivery, message=replace(delivery.message, priority=Priority.HIGH))
            return _enqueue(app, high, intent, later.seconds)
        if later.elsewhere or app.clock() + later.seconds + least_seconds(app, delivery, intent) > delivery.deadline:
            raise StillHeld
        app.wait(later.seconds)
    return later


def _or_still_held(answer: Answer | Later) -> Answer:
    if isinstance(answer, Later):
        raise StillHeld
    return answer


def _answer_gone(app: App, delivery: Delivery) -> Answer | Later:
    """Answer for an object that is not there: settled before, since it is removed last, or deleted by its owner.

    Of what was admitted, a row says so, or a message that came before it could be noted there. An event alone says
    nothing: it may be about what was settled so long ago that the row has expired.
    """
    handoff = delivery.handoff
    row = app.state.find([handoff]).get(handoff) if handoff.version_id else None  # after the look into the bucket
    if row is None and not delivery.queued:
        return Answer.GONE
    if row is not None and row.outcome is not None:
        settle(app, handoff, row.outcome)  # again: one that was withdrawn meanwhile may be half settled
        return Answer.DUPLICATE
    handoff = known(handoff, row.order if row else "")
    seen = handoff.version_id if is_exact(order(handoff)) else ""  # others of its second may be newer
    return conclude(app, replace(delivery.of(handoff), newest=seen), status.withdrawn)


def _illegible(error: Illegible) -> Rejected:
    text = (
        f"the file cannot be read ({error}), and stays where it is; send it again as a plain object: not archived, and "
        "encrypted with the bucket's key"
    )
    return Rejected(Cause.INVALID_FORMAT, (Violation("$", "readable", text),))


def _take_high(app: App) -> bool:
    limit = app.config.high_per_minute
    return limit is None or app.take(HIGH, high_rate(limit), app.clock()).allowed
