"""Sweeping: what fell through. An input that lies in the root has no settled answer, whatever anybody believes."""

from dataclasses import dataclass
from datetime import datetime

from conductor_loop import status
from conductor_loop.app import App, Cursor, Message
from conductor_loop.config import Config
from conductor_loop.errors import Rejected
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Row, State
from conductor_loop.processing import Delivery, author, conclude
from conductor_loop.settling import settle
from conductor_loop.validation import check_name

_PAGES = 2  # of 1,000 versions, that one sweep looks at
_GRACE_SECONDS = 60.0  # for whoever is at it: to settle, or for a message to come back
_MESSAGE_GRACE_SECONDS = 900.0  # for a message that is due, behind a backlog
_LONGEST_PAUSE_SECONDS = 6 * 3600.0  # between two sweeps of the same handoff
_QUEUE_KEEPS_SECONDS = 14 * 86_400.0  # after that SQS has dropped the message
_GROUP = "swept"  # of messages whose namespace nobody has read yet


@dataclass(slots=True)
class Swept:
    """What one sweep did, and where the next one goes on."""

    seen: int = 0
    settled: int = 0
    redelivered: int = 0
    rejected: int = 0
    cursor: Cursor | None = None


def sweep(app: App, cursor: Cursor | None, deadline: float) -> Swept:
    """Look after one stretch of the unsettled handoffs; safe beside everything else, and beside itself.

    It does not amplify: whatever has a message, or was handed over before, is left alone for a time that doubles with
    each hand-over.
    """
    handoffs, after = app.bucket.unsettled(app.config.handoff_bucket, cursor, _PAGES)
    rows = app.state.find(handoffs)
    swept = Swept(cursor=after)
    for handoff in handoffs:
        if app.clock() > deadline:
            swept.cursor = cursor  # this stretch again
            break
        swept.seen += 1
        _look_after(app, handoff, rows.get(handoff), swept)
    return swept


def is_due(row: Row | None, put_at: float, now: float, config: Config) -> bool:
    """Say whether nobody seems to be at a handoff any more. Times are epoch seconds."""
    if row is None:
        return now - put_at > config.sweep_after_seconds
    pause = min(_GRACE_SECONDS * 2.0**row.sweeps, _LONGEST_PAUSE_SECONDS)
    match row.state:
        case State.QUEUED:
            return now - row.since > _QUEUE_KEEPS_SECONDS
        case State.ADMITTED:
            return now - row.since > _MESSAGE_GRACE_SECONDS + pause
        case State.RETRYING:
            return now - row.held_until > pause + (_MESSAGE_GRACE_SECONDS if config.priority_queues else 0)
        case State.PROCESSING:
            return now - row.held_until > pause
    return now - row.since > _GRACE_SECONDS


def _look_after(app: App, handoff: Handoff, row: Row | None, swept: Swept) -> None:
    now = app.clock()
    put_at = datetime.fromisoformat(handoff.event_time).timestamp()
    if not is_due(row, put_at, now, app.config):
        return
    if row is not None and row.outcome is not None:
        settle(app, handoff, row.outcome)
        swept.settled += 1
    elif (rejection := _wrong_name(handoff)) is not None:
        delivery = Delivery(Message(handoff), now, now)
        conclude(app, delivery, status.rejected(author(app, delivery), rejection))
        swept.rejected += 1
    else:
        _hand_over(app, handoff, row)
        swept.redelivered += 1


def _hand_over(app: App, handoff: Handoff, row: Row | None) -> None:
    """Give it to a worker again, then note that: in the other order, a crash between would leave it to nobody."""
    if app.config.priority_queues:
        app.queues.send(Message(handoff), _GROUP)
        app.state.register(handoff, State.QUEUED, app.clock(), row)
    else:
        app.redeliver(handoff)
        app.state.register(handoff, State.ADMITTED, app.clock(), row)


def _wrong_name(handoff: Handoff) -> Rejected | None:
    try:
        check_name(handoff.file)
    except Rejected as rejection:
        return rejection
    return None
