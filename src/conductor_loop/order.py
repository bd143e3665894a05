"""The order in which handoffs were put, as strings that sort.

It is exact where S3's event told it. A handoff whose event was lost has a time to the second, and may have been put at
any moment of it; once it was read as the newest version of its name, no other version of that name is behind it.

    2026-11-23T03:00:00           somewhere in this second
    2026-11-23T03:00:00.100Z#0A…  exact: time and sequencer
    2026-11-23T03:00:00~          somewhere in this second, and behind all others of its name in it
"""

from dataclasses import replace

from conductor_loop.intent import Handoff

_NEWEST = "~"  # sorts behind everything else in the second
_SECOND = len("2026-11-23T03:00:00")


def order(handoff: Handoff) -> str:
    """Give the order of a handoff.

    Sequencers of different lengths compare after right-padding with zeros (S3's rule).
    """
    if handoff.sequencer in {"", _NEWEST}:
        return handoff.event_time[:_SECOND] + handoff.sequencer
    return f"{handoff.event_time}#{handoff.sequencer:0<32}"


def is_exact(order: str) -> bool:
    """Say whether an order came from S3's event."""
    return "#" in order


def earliest(order: str) -> str:
    """Give the first moment at which it may have been put."""
    return order.removesuffix(_NEWEST)


def latest(order: str) -> str:
    """Give the last moment at which it may have been put."""
    return order if is_exact(order) else earliest(order) + _NEWEST


def known(handoff: Handoff, row_order: str) -> Handoff:
    """Give the handoff with the better of two orders: its own, and the one that its row has (may be empty)."""
    if not row_order or (is_exact(order(handoff)) and not is_exact(row_order)):
        return handoff
    time, _, sequencer = row_order.partition("#")
    if not sequencer:
        time, sequencer = f"{row_order[:_SECOND]}.000Z", row_order[_SECOND:]
    return replace(handoff, event_time=time, sequencer=sequencer)


def newest(handoff: Handoff) -> Handoff:
    """Give a handoff that was read as the newest version of its name; an exact order stays as it is."""
    return handoff if handoff.sequencer else replace(handoff, sequencer=_NEWEST)


def applied(before: str, mine: str) -> str:
    """Give the order of a target's last applied intent, after ``mine`` was applied behind ``before``.

    An order that is known to the second does not replace an exact one of that second.
    """
    if is_exact(mine):
        return mine
    return max(before, earliest(mine)) if before[:_SECOND] == mine[:_SECOND] else earliest(mine)
