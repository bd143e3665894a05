"""The story of an intent: admit, queue or process, settle. Safe to tell again from any point."""

import logging
from dataclasses import replace
from functools import partial

from conductor_loop import status
from conductor_loop.app import App, Found, Message
from conductor_loop.audit import entries
from conductor_loop.audit.chain import Entry
from conductor_loop.claiming import least_seconds
from conductor_loop.counting import age
from conductor_loop.delivery import Delivery, Later, author, head_of
from conductor_loop.errors import Cause, Gone, Illegible, KeyUnavailable, Rejected, StillHeld, Violation
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.lifecycle import Beside, Decided, Free, Row, State, judge, order
from conductor_loop.processing import conclude, process
from conductor_loop.rates import Rate
from conductor_loop.repairing import repairing
from conductor_loop.routing import note_swept, route
from conductor_loop.settling import Answer, settle
from conductor_loop.sweep import is_due
from conductor_loop.validation import check_name, check_size, validate_file

logger = logging.getLogger("conductor-loop")

_MINUTE = 60  # seconds
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
        return _waits_already(app, delivery.handoff) or _enqueue(app, delivery, intent)
    return _process_inline(app, delivery, intent)


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
        return conclude(app, delivery, status.rejected(author(app, delivery), _illegible(error)))
    delivery = replace(delivery, message=replace(delivery.message, handoff=found.handoff))
    try:
        intent = admit(app, found)
    except Rejected as rejection:
        return conclude(app, delivery, status.rejected(author(app, delivery), rejection))
    app.trace(intent)
    if found.newer_version is not None:
        by = f"version {found.newer_version} of the same name"
        return conclude(app, delivery, status.superseded(author(app, delivery), by, intent), intent)
    return delivery, intent


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
    return None if is_due(row, app.clock(), app.config) else Answer.QUEUED


def _enqueue(app: App, delivery: Delivery, intent: Intent, delay_seconds: float = 0) -> Answer:
    """Send a message, then note that it is there: in the other order, a crash between would leave no message."""
    handoff, message = delivery.handoff, delivery.message
    about = entries.priority(intent.priority, message.priority, message.note)

    def noted(seen: Row | None) -> Entry:
        return entries.waits(handoff, head_of(seen), app.clock(), State.QUEUED, **about)

    entry = noted(None)
    app.queues.send(replace(message, head=str(entry.head)), intent.namespace, delay_seconds)
    now = app.clock()
    refusal = app.state.register(handoff, State.QUEUED, now, beside=Beside(entry, message.priority))
    if refusal is None:
        return Answer.QUEUED
    match judge(refusal, order(handoff), now):
        case Decided(outcome):
            return settle(app, handoff, outcome)
        case Free(seen) if seen is not None and seen.state is not State.RETRYING:
            app.state.register(handoff, State.QUEUED, now, seen, beside=Beside(noted(seen), message.priority))
    return Answer.QUEUED


def _process_inline(app: App, delivery: Delivery, intent: Intent) -> Answer:
    """Process in the invocation that the event began; what cannot be done now goes to a queue, or is waited for."""
    while isinstance(later := process(app, delivery, intent), Later):
        if app.config.priority_queues:
            high = replace(delivery, message=replace(delivery.message, priority=Priority.HIGH))
            return _enqueue(app, high, intent, later.seconds)
        if app.clock() + later.seconds + least_seconds(app, delivery, intent) > delivery.deadline:
            raise StillHeld
        app.wait(later.seconds)
    return later


def _or_still_held(answer: Answer | Later) -> Answer:
    if isinstance(answer, Later):
        raise StillHeld
    return answer


def _answer_gone(app: App, delivery: Delivery) -> Answer | Later:
    """Answer for an object that is not there: settled before, since it is removed last, or deleted by its owner.

    Where an attempt has been made, a status may promise another one: then it is told that there will be none.
    """
    handoff = delivery.handoff
    row = app.state.find([handoff]).get(handoff) if handoff.version_id else None
    if row is None or (row.outcome is None and row.attempt == 0):
        return Answer.GONE
    if row.outcome is None:
        return conclude(app, delivery, status.withdrawn(author(app, delivery, row.attempt)))
    settle(app, handoff, row.outcome)  # again: one that was withdrawn meanwhile is in no listing of the sweeper
    return Answer.DUPLICATE


def _illegible(error: Illegible) -> Rejected:
    text = (
        f"the file cannot be read ({error}), and stays where it is; send it again as a plain object: not archived, and "
        "encrypted with the bucket's key"
    )
    return Rejected(Cause.INVALID_FORMAT, (Violation("$", "readable", text),))


def _take_high(app: App) -> bool:
    limit = app.config.high_per_minute
    return limit is None or app.take("priority-high", Rate(limit, _MINUTE, limit), app.clock()).allowed
