"""Sweeping: what fell through. An input that lies in the root has no settled answer, whatever anybody believes."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from conductor_loop import status
from conductor_loop.app import App, Cursor, Message, Unsettled
from conductor_loop.cleanup import clean_up
from conductor_loop.config import Config
from conductor_loop.counting import age
from conductor_loop.delivery import Delivery
from conductor_loop.errors import Rejected, Unreadable
from conductor_loop.intent import Handoff, Priority
from conductor_loop.lifecycle import Beside, Outcome, Row, State, Superseded, judge
from conductor_loop.order import is_exact, known, order
from conductor_loop.processing import conclude
from conductor_loop.repairing import repair
from conductor_loop.settling import Answer, settle
from conductor_loop.validation import check_name

logger = logging.getLogger("conductor-loop")

OVERDUE_SECONDS = 3600.0  # by then the longest retries are over, and a queue that is not stuck has moved
_PAGES = 2  # of 1,000 versions, that one sweep looks at
_CLEAN_UP_SECONDS = 10.0  # of a sweep, after which it cleans nothing more up
_STOP_SECONDS = 5.0  # before its end, a sweep begins nothing new
_GRACE_SECONDS = 60.0  # for whoever is at it: to settle, or for a message to come back
_MESSAGE_GRACE_SECONDS = 900.0  # for a message that may be there, behind a backlog
_LONGEST_PAUSE_SECONDS = 6 * 3600.0  # between two sweeps of the same handoff
_DOUBLINGS = 16  # of a pause; more only overflow
_QUEUE_KEEPS_SECONDS = 14 * 86_400.0  # after that SQS has dropped the message
_GROUP = "swept"  # of messages whose namespace nobody has read yet


@dataclass(slots=True)
class Swept:
    """What one sweep did, and where the next one goes on."""

    seen: int = 0
    overdue: int = 0  # put so long ago that something is wrong
    settled: int = 0
    redelivered: int = 0
    rejected: int = 0
    withdrawn: int = 0  # ended, since their owner has removed them
    left: int = 0  # answered, but S3 does not let them be moved
    failed: int = 0  # could not be looked after this time
    cleaned: int = 0  # decided, and without the packages of its other attempts by now
    oldest: Mapping[Priority, float] = field(default_factory=dict)  # age in seconds of the oldest one without an answer
    cursor: Cursor | None = None


def take_turn(app: App, deadline: float) -> Swept | None:
    """Sweep the next stretch, and leave a note where the one after it begins; ``None`` while another sweep runs.

    Args:
        app: The parts to do it with.
        deadline: Epoch seconds at which this invocation ends, and with it its right to sweep.

    """
    turn = app.state.begin_sweep(app.new_owner(), deadline, app.clock())
    if turn is None:
        return None
    try:
        done = clean_up(app, app.clock() + _CLEAN_UP_SECONDS)
        swept = sweep(app, turn.cursor, deadline - _STOP_SECONDS)
    except Exception:
        app.state.end_sweep(replace(turn, cursor=None))  # at the beginning: the cursor itself may be to blame
        raise
    app.state.end_sweep(replace(turn, cursor=swept.cursor))
    return replace(swept, cleaned=done.cleaned, failed=swept.failed + done.failed)


def sweep(app: App, cursor: Cursor | None, deadline: float) -> Swept:
    """Look after one stretch of the unsettled handoffs, each for itself; safe beside everything else.

    It does not amplify: whatever has a message, or was looked after before, is left alone for a time that doubles each
    time.
    """
    found, after = app.bucket.unsettled(app.config.handoff_bucket, cursor, _PAGES)
    rows = app.state.read(one.handoff for one in found)
    swept = Swept(cursor=cursor, oldest=_oldest([one.handoff for one in found if not one.withdrawn], rows, app.clock()))
    for one in found:
        if app.clock() > deadline:
            return swept
        handoff, row = one.handoff, rows.get(one.handoff)
        swept.seen += not one.withdrawn
        swept.overdue += not one.withdrawn and age(handoff, app.clock()) > OVERDUE_SECONDS
        try:
            _look_after(app, one, row, swept)
        except Exception:
            swept.failed += 1
            logger.exception("not looked after", extra={"handoff": handoff.key, "version_id": handoff.version_id})
        swept.cursor = Cursor(handoff.key, handoff.version_id)
    swept.cursor = after
    return swept


def _oldest(
    handoffs: Iterable[Handoff], rows: Mapping[Handoff, Row | Unreadable], now: float
) -> Mapping[Priority, float]:
    """Say how long the oldest handoff without an answer has waited, by the priority it is treated with.

    Critical ones count as high, as the queue does that they wait in; one that nobody has read yet counts as normal.
    """
    oldest = {Priority.HIGH: 0.0, Priority.NORMAL: 0.0, Priority.LOW: 0.0}
    for handoff in handoffs:
        row = rows.get(handoff)
        known = row if isinstance(row, Row) else Row(State.ADMITTED)
        if known.outcome is None:
            priority = Priority.HIGH if known.priority == Priority.CRITICAL else known.priority or Priority.NORMAL
            oldest[Priority(priority)] = max(oldest[Priority(priority)], age(handoff, now))
    return oldest


def is_due(row: Row, now: float, config: Config) -> bool:
    """Say whether nobody seems to be at a handoff any more. Times are epoch seconds."""
    pause = min(_GRACE_SECONDS * 2.0 ** min(row.sweeps, _DOUBLINGS), _LONGEST_PAUSE_SECONDS)
    has_message = now - row.queued_at <= _QUEUE_KEEPS_SECONDS
    match row.state:
        case State.QUEUED:
            return now - row.since > _QUEUE_KEEPS_SECONDS
        case State.ADMITTED:
            return now - row.since > _MESSAGE_GRACE_SECONDS + pause
        case State.RETRYING if has_message:
            return False
        case State.RETRYING:
            return now - row.held_until > pause + (_MESSAGE_GRACE_SECONDS if config.priority_queues else 0)
        case State.PROCESSING:
            return now - row.held_until > pause
    return now - max(row.since, row.swept_at) > pause


def _look_after(app: App, one: Unsettled, row: Row | Unreadable | None, swept: Swept) -> None:
    handoff = one.handoff
    if isinstance(row, Unreadable):
        repair(app, handoff, row)
        row = app.state.find([handoff]).get(handoff)
    if _waits(app, one, row):
        return
    if row is not None:
        handoff = known(handoff, row.order)
    if row is not None and row.outcome is not None:
        app.state.note_sweep(handoff, app.clock())  # first: what cannot be settled may take all the time there is
        _count(swept, settle(app, handoff, row.outcome))
    elif one.withdrawn:
        _end(app, handoff, status.withdrawn, handoff.version_id if is_exact(order(handoff)) else "")
        swept.withdrawn += 1
    elif (rejection := _wrong_name(handoff)) is not None:
        _end(app, handoff, lambda who: status.rejected(who, rejection))
        swept.rejected += 1
    else:
        _hand_over(app, handoff, row)
        swept.redelivered += 1


def _waits(app: App, one: Unsettled, row: Row | None) -> bool:
    """Say whether it is left alone for now. What its owner has removed needs no message, but for what is decided."""
    now = app.clock()
    if one.withdrawn and (row is None or row.outcome is None):
        return row is None or now - row.held_until <= _GRACE_SECONDS
    return age(one.handoff, now) <= app.config.sweep_after_seconds if row is None else not is_due(row, now, app.config)


def _end(app: App, handoff: Handoff, tell: Callable[[status.Author], Outcome], newest: str = "") -> None:
    now = app.clock()
    conclude(app, Delivery(Message(handoff), now, now, newest=newest), tell)


def _count(swept: Swept, answer: Answer) -> None:
    if answer is Answer.LEFT:
        swept.left += 1
    else:
        swept.settled += 1


def _hand_over(app: App, handoff: Handoff, row: Row | None) -> None:
    """Give it to a worker again, then note that: in the other order, a crash between would leave it to nobody."""
    state = State.QUEUED if app.config.priority_queues else State.ADMITTED  # with the order that the row has, if any
    if app.config.priority_queues:
        app.queues.send(Message(handoff, swept=True, rev=row.rev + 1 if row else 1), _GROUP)
    else:
        app.redeliver(handoff)
    now = app.clock()
    refusal = app.state.register(handoff, state, now, row, beside=Beside({"because": "found by the sweeper"}))
    match judge(refusal, order(handoff), now) if refusal else None:
        case Superseded(by):  # not noted, so that every sweep would hand it over
            _end(app, handoff, lambda who: status.superseded(who, by, None))


def _wrong_name(handoff: Handoff) -> Rejected | None:
    try:
        check_name(handoff.file)
    except Rejected as rejection:
        return rejection
    return None
