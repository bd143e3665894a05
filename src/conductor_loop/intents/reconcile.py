"""Reconciling: what no delivery brings to its end. An input in the root has no outcome yet, or one that is not applied.

The sweeper sends a message for it, which is worked on like any other. Each row says from when on (``reconcile_at``):
what has a message already is left alone, so that no backlog is amplified.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from conductor_loop.app import App, Cursor, Message, Unsettled
from conductor_loop.counting import STATE_CORRUPTED, Counted, age
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.attempt import enqueued, package_prefix
from conductor_loop.intents.model import Row, State, Write, known
from conductor_loop.intents.outcome import fitting

logger = logging.getLogger("conductor-loop")

OVERDUE_SECONDS = 3600.0  # by then the longest retries are over, and a queue that is not stuck has moved
_PAGES = 2  # of 1,000 versions, that one sweep looks at
_CLEAN_UP_SECONDS = 10.0  # of a sweep, after which it cleans nothing more up
_MOST_CLEANED = 100  # handoffs that one sweep cleans up after; most sweeps have none
_STOP_SECONDS = 5.0  # before its end, a sweep begins nothing new
_AGAIN_SECONDS = 6 * 3600.0  # between two messages about what only has to be applied, or was withdrawn
_MOST_FAILED = 10  # then a sweep sends no more: while no row can be written, each intent would get a message a minute
_GROUP = "swept"  # of messages whose namespace is not read yet
_MOST_ROWS = 6  # that one step resets: of the handoff, its target, name and id, and some that others reset meanwhile


@dataclass(slots=True)
class Swept:
    """What one sweep did, and where the next one goes on."""

    seen: int = 0
    overdue: int = 0  # put so long ago that something is wrong
    redelivered: int = 0  # messages sent
    failed: int = 0  # could not be reconciled this time
    cleaned: int = 0  # decided, and without the packages of their other attempts by now
    # The age in seconds of the oldest without an outcome, by queue; unread ones count as normal.
    oldest: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys((one.queue for one in Priority), 0.0))
    cursor: Cursor | None = None


def take_turn(app: App, deadline: float) -> Swept:
    """Clean up, sweep the next stretch, and note where the one after it begins; two at once only do work twice.

    The invocation ends at the deadline (epoch seconds).
    """
    cleaned, failed = clean_up(app, app.clock() + _CLEAN_UP_SECONDS)
    try:
        swept = sweep(app, app.state.cursor(), deadline - _STOP_SECONDS)
    except Exception:
        app.state.keep_cursor(None)  # at the beginning: the cursor itself may be to blame
        raise
    app.state.keep_cursor(swept.cursor)
    return replace(swept, cleaned=cleaned, failed=swept.failed + failed)


def sweep(app: App, cursor: Cursor | None, deadline: float) -> Swept:
    """Reconcile one stretch of the inputs in the root, each for itself; safe beside everything else."""
    found, after = app.bucket.unsettled(app.config.handoff_bucket, cursor, _PAGES)
    rows = app.state.read(one.handoff for one in found)
    swept = Swept(cursor=cursor)
    for one in (one for one in found if not one.withdrawn):
        row = rows.get(one.handoff)
        _measure(swept, row if isinstance(row, Row) else Row(), age(one.handoff, app.clock()))
    for one in found:
        if app.clock() > deadline or swept.failed == _MOST_FAILED:
            return swept
        handoff = one.handoff
        try:
            swept.redelivered += _reconcile(app, one, rows.get(handoff))
        except Exception:
            swept.failed += 1
            logger.exception("not reconciled", extra={"handoff": handoff.key, "version_id": handoff.version_id})
        swept.cursor = Cursor(handoff.key, handoff.version_id)
    swept.cursor = after
    return swept


def _measure(swept: Swept, row: Row, seconds: float) -> None:
    """Measure a handoff that was put so many seconds ago."""
    swept.seen += 1
    swept.overdue += seconds > OVERDUE_SECONDS
    if row.outcome is None:
        queue = Priority(row.priority or Priority.NORMAL).queue
        swept.oldest[queue] = max(swept.oldest[queue], seconds)


def _reconcile(app: App, one: Unsettled, row: Row | Unreadable | None) -> bool:
    """Send a message for a handoff, if it is time to; whether it is.

    Then note that: in the other order, a crash between would leave none. Where that is refused, another worker has
    written the row, and the message finds it so.
    """
    handoff = one.handoff
    if isinstance(row, Unreadable):
        reset(app, handoff, row)
        row = app.state.find([handoff]).get(handoff)
    if not _is_due(app, one, row):
        return False
    app.queues.send(Message(handoff, swept=True), _GROUP)
    row, now, last = row or Row(), app.clock(), {"because": "found by the sweeper"}
    handoff = known(handoff, row.order)
    after = enqueued(row, handoff, now) if row.outcome is None else row.next(silent=True)
    if one.withdrawn or row.outcome is not None:
        after = replace(after, reconcile_at=now + _AGAIN_SECONDS)
    app.state.write(Write(handoff, row, after, now, last if row.outcome is None else None))
    return True


def _is_due(app: App, one: Unsettled, row: Row | None) -> bool:
    """Say whether to act now. What was withdrawn does not wait for its message; never admitted, it is left alone."""
    now = app.clock()
    if row is None:
        return not one.withdrawn and age(one.handoff, now) > app.config.sweep_after_seconds
    return now > row.reconcile_at or (one.withdrawn and row.reconcile_at > now + _AGAIN_SECONDS)


# -- clean up


def clean_up(app: App, deadline: float) -> tuple[int, int]:
    """Delete packages that attempts may have written and no decision names, once no worker can write there any more.

    Returns how many of the handoffs that were due are cleaned up after, and how many failed. The next sweep retries
    those, and what is left at the deadline (epoch seconds).
    """
    cleaned = failed = 0
    try:
        due = app.state.read(app.state.uncleaned(app.config.handoff_bucket, app.clock(), _MOST_CLEANED))
    except Exception:
        logger.exception("the handoffs to clean up after cannot be listed: the next sweep retries")
        return 0, 1
    for handoff, row in due.items():
        if app.clock() > deadline:
            break
        try:
            cleaned += _clean_up(app, handoff, row, deadline)
        except Exception:
            failed += 1
            logger.exception("not cleaned up", extra={"handoff": handoff.key, "version_id": handoff.version_id})
    return cleaned, failed


def _clean_up(app: App, handoff: Handoff, row: Row | Unreadable, deadline: float) -> bool:
    if isinstance(row, Unreadable):
        reset(app, handoff, row)
        return False
    if row.state is not State.DONE or row.due_at > app.clock():  # an index is some moments behind its table
        return False
    left = row.packages
    while left and app.clock() <= deadline:
        app.bucket.remove_package(handoff, package_prefix(row.target, left[0]))
        left = left[1:]
    after = row.next(silent=True, packages=left, due_at=row.due_at if left else 0.0)
    app.state.write(Write(handoff, row, after, app.clock()))
    return not left


# -- corrupt rows (E009)


def resetting[T](app: App, handoff: Handoff, step: Callable[[], T]) -> T:
    """Do a step; where it meets a corrupt row, reset the row and do it again. Raises Unreadable: it met too many."""
    for _ in range(_MOST_ROWS):
        try:
            return step()
        except Unreadable as error:
            reset(app, handoff, error)
    return step()


def reset(app: App, handoff: Handoff, error: Unreadable) -> None:
    """Copy a corrupt row aside for an operator, then reset it: of a handoff's, what makes sense stays.

    So what is decided keeps its outcome; any other handoff is processed, again if need be. The next package of a target
    follows the newest one in the bucket; its order begins anew, so that an older intent may be applied once.
    """
    key = f"failed/state/{fitting(error.name)}.json"
    logger.error("E009: a corrupt state row was set aside", extra={"aside": key})
    app.bucket.set_aside(handoff, key, json.dumps(error.row, indent=2, default=str).encode())
    counted = Counted({STATE_CORRUPTED: 1})
    last = {"because": "E009: its row made no sense", "set_aside": key, "tally": counted.tally}
    if app.state.reset(error, app.clock(), last):
        app.note(counted)
