"""Admission: an event or a message becomes an intent, or its rejection; and which way an intent goes.

An event goes to a queue, and its message to an attempt; what is critical, or all if queues are off, has its first
attempt at once. Both ways read and validate the input.

    event ──▶ read ──▶ validate ──▶ route ──▶ a message in its queue ──▶ read ──▶ validate ──▶ attempt
                │          │          └─ critical, or queues off ──▶ attempt, in this invocation
                │          └─ rejected ──▶ failed/
                └─ a newer version of its name is there ──▶ skipped
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

from conductor_loop.app import App, Delivery, Message
from conductor_loop.errors import Cause, Gone, Illegible, KeyUnavailable, Rejected, Unreadable, Violation
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.intents import outcome as status
from conductor_loop.intents.attempt import commit, conclude, enqueued, process, resolve, withdraw
from conductor_loop.intents.model import (
    Deferred,
    Found,
    Row,
    State,
    Superseded,
    Write,
    is_exact,
    known,
    newest,
    order,
)
from conductor_loop.intents.outcome import Answer, apply_outcome
from conductor_loop.intents.reconcile import resetting
from conductor_loop.rates import Peek, Rate
from conductor_loop.validation import check_name, check_size, validate

logger = logging.getLogger("conductor-loop")

_HIGH = "priority-high"  # the token bucket of its rate limit
_MINUTE = 60  # seconds
_GROUP = "waiting"  # of a message about what another worker has
_KEY_SECONDS = 60.0  # until the site's key is tried again


def handoffs(event: Mapping[str, Any]) -> Iterator[Handoff]:
    """Give each object of an S3 event that was put into the root and is named like an intent.

    S3's filter knows prefixes and suffixes only, so its events also name objects in folders, ``intent-archive/a.json``.
    S3's test event has no records; other keys and other kinds of events are ignored.
    """
    for record in event.get("Records", []):
        put, key = record["s3"]["object"], unquote_plus(record["s3"]["object"]["key"])  # keys come form-encoded
        time = record.get("eventTime", "")
        is_ours = "/" not in key and key.startswith("intent-") and key.endswith(".json")
        if record["eventName"].startswith("ObjectCreated:") and is_ours:
            yield Handoff(
                bucket=record["s3"]["bucket"]["name"],
                key=key,
                version_id=put.get("versionId", ""),
                size=put.get("size", 0),
                event_time=time,
                order=order(time, put.get("sequencer", "")),
                principal=record.get("userIdentity", {}).get("principalId", ""),
                address=record.get("requestParameters", {}).get("sourceIPAddress", ""),
            )


def answer(app: App, handoff: Handoff, deadline: float, *, started: float | None = None) -> Answer:
    """Take the event of a handoff: to its outcome, or into a queue. Without a version id, the newest version is meant.

    The invocation has ``started``, now unless given, and ends at the deadline (epoch seconds). Raises LeaseLost: this
    worker was too slow, and another one took over.
    """
    delivery = Delivery(Message(handoff), app.clock() if started is None else started, deadline)
    answered = resetting(app, handoff, partial(_open, app, delivery, _send_on))
    if isinstance(answered, Deferred):  # another worker has it, and may die of it; the event does not come again
        app.queues.send(delivery.message, _GROUP, answered.seconds)
        return Answer.QUEUED
    return answered


def work(app: App, message: Message, deadline: float, *, started: float | None = None) -> Answer | Deferred:
    """Take a message of a queue: to its outcome, or say when to deliver it again. Raises LeaseLost."""
    delivery = Delivery(message, app.clock() if started is None else started, deadline, queued=True)
    try:
        return resetting(app, message.handoff, partial(_open, app, delivery, _process))
    except KeyUnavailable:  # waits, and is not taken for a message that fails: it would end among the dead letters
        logger.exception("the site's KMS key cannot be used")
        return Deferred(_KEY_SECONDS)


# -- read and validate


def _open(app: App, delivery: Delivery, then: Callable[[App, Delivery], Answer | Deferred]) -> Answer | Deferred:
    """Read and validate what was delivered; ``then`` takes on what may be attempted."""
    if name := delivery.message.target:
        delivery = replace(delivery, read_target=app.state.ahead(name))
    try:
        found = app.bucket.read(delivery.handoff, app.config.rules.max_file_bytes)
    except Gone:
        return _answer_gone(app, delivery)
    except Illegible as error:
        _outrank(app, delivery.handoff)
        delivery = replace(delivery, newest=delivery.handoff.version_id)
        return conclude(app, delivery, partial(status.rejected, rejection=_illegible(error)))
    handoff, newer = found.handoff, found.newer_version
    delivery = replace(delivery.of(handoff), newest=newer or handoff.version_id)
    if newer is None:
        _outrank(app, handoff)
    try:
        delivery = replace(delivery, intent=_validated(app, found))
        app.trace(delivery.intent)
    except Rejected as rejection:  # an older version is skipped, whatever is wrong with it
        if newer is None:
            return conclude(app, delivery, partial(status.rejected, rejection=rejection))
    if newer is not None:
        return resolve(app, delivery, Superseded(f"version {newer} of the same name"))
    return then(app, delivery)


def _validated(app: App, found: Found) -> Intent:
    """Turn untrusted bytes into an intent. Raises Rejected, with everything that is wrong with it."""
    if found.body is None:
        check_name(found.handoff.file)
        check_size(found.handoff.size, app.config.rules)
    return validate(found.body or b"", app.config.rules, found.handoff.file)


def _outrank(app: App, handoff: Handoff) -> None:
    """Where its event was lost, note that a version is newer than those of its second that the bucket lists behind."""
    if not is_exact(handoff.order) and (older := app.bucket.older_versions(handoff)):
        app.state.outrank(newest(handoff), older, app.clock())


def _answer_gone(app: App, delivery: Delivery) -> Answer | Deferred:
    """Answer for an object that is missing: applied before, since it is removed last, or deleted by its owner.

    Of what was admitted, a row says so, or a message that came before it could be noted there. An event alone says
    nothing: it may be about what was applied so long ago that the row has expired.
    """
    handoff = delivery.handoff
    row = app.state.read([handoff]).get(handoff) if handoff.version_id else None  # after the look into the bucket
    if isinstance(row, Unreadable):
        raise row
    if row is None and not (delivery.queued and handoff.version_id):
        return Answer.GONE
    if row is not None and row.outcome is not None:
        apply_outcome(app, known(handoff, row.order), row.outcome)  # again: a withdrawn one may be half applied
        return Answer.DUPLICATE
    return withdraw(app, delivery.of(known(handoff, row.order if row else "")))


def _illegible(error: Illegible) -> Rejected:
    text = (
        f"the file cannot be read ({error}), and stays where it is; send it again as a plain object: not archived, and "
        "encrypted with the bucket's key"
    )
    return Rejected(Cause.INVALID_FORMAT, (Violation("$", "readable", text),))


# -- route


def _send_on(app: App, delivery: Delivery) -> Answer | Deferred:
    """Put what an event brings into its queue, or process it in this invocation, as far as that can be done now."""
    message = route(app, delivery.handoff, delivery.intent, lambda *asked: app.take(*asked).allowed)
    delivery = replace(delivery, message=message)
    if app.config.priority_queues and message.priority is not Priority.CRITICAL:
        return _enqueue(app, delivery)
    later = process(app, delivery)
    if not isinstance(later, Deferred):
        return later
    waits = replace(message, priority=message.priority.queue)
    return _enqueue(app, replace(delivery, message=waits), later.seconds)


def route(app: App, handoff: Handoff, intent: Intent, take: Peek) -> Message:
    """Choose the priority (specification, "Priority Handling"), with a clause for the status if it was refused.

    ``critical`` needs a principal that matches one of the patterns, ``high`` a token of its rate limit, which ``take``
    takes; without, an intent is treated as ``normal``.
    """
    asked, patterns, limit = intent.priority, app.config.critical_principals, app.config.high_per_minute
    if asked is Priority.CRITICAL and not any(fnmatchcase(handoff.principal, one) for one in patterns):
        sender = handoff.principal or "an unknown sender"
        return Message(handoff, note=f" (priority critical refused to {sender}: treated as normal)")
    if asked is Priority.HIGH and limit is not None and not take(_HIGH, Rate(limit, _MINUTE, limit), app.clock()):
        return Message(handoff, note=" (priority high is over its rate limit: treated as normal)")
    return Message(handoff, asked)


def _process(app: App, delivery: Delivery) -> Answer | Deferred:
    """Process what a message brings. What the sweeper has found has ``normal``, whatever it asks for."""
    message, asked = delivery.message, delivery.intent.priority
    if message.swept and asked is not Priority.NORMAL:
        note = f" (found by the sweeper: priority {asked} treated as normal)"
        delivery = replace(delivery, message=replace(message, note=note))
    return process(app, delivery)


def _enqueue(app: App, delivery: Delivery, delay_seconds: float = 0) -> Answer | Deferred:
    """Send a message, then note that it is there: in the other order, a crash between would leave no message."""
    handoff, message, intent = newest(delivery.handoff), delivery.message, delivery.intent
    target = intent.namespaced_name
    app.queues.send(replace(message, handoff=handoff, target=target), intent.namespace, delay_seconds)
    last = {"asked": intent.priority, "note": message.note}

    def propose(now: float, row: Row, mine: Handoff) -> tuple[Write, None]:
        mine = newest(mine)
        if row.state is State.RUNNING and row.due_at > now:  # no transition: another revision would cost it its lease
            return Write(mine, row, replace(row, order=mine.order), now), None
        after = enqueued(row, mine, now, priority=message.priority, target=target)
        return Write(mine, row, after, now, last, newest=mine.version_id), None

    reason = commit(app, delivery, propose, while_busy=True)
    return Answer.QUEUED if reason is None else resolve(app, delivery, reason)
