"""Which way an intent takes: its effective priority, and why it is not the one asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.rates import Rate

HIGH = "priority-high"  # the bucket of its rate limit
_MINUTE = 60  # seconds


@dataclass(frozen=True, slots=True)
class Route:
    """The priority an intent has, and a clause for its status where that is not the one it asked for."""

    priority: Priority
    note: str = ""


def high_rate(per_minute: int) -> Rate:
    """Give the rate limit of the priority high."""
    return Rate(per_minute, _MINUTE, per_minute)


def note_swept(intent: Intent) -> str:
    """Give the clause for an intent that the sweeper found: it goes by ``normal``, whatever the intent asks for."""
    if intent.priority is Priority.NORMAL:
        return ""
    return f" (found by the sweeper: priority {intent.priority} treated as normal)"


def route(
    intent: Intent, handoff: Handoff, critical_principals: tuple[str, ...], take_high: Callable[[], bool]
) -> Route:
    """Settle the priority (specification, "Priority Handling").

    ``critical`` needs a principal that matches one of the patterns, ``high`` a token of its rate limit, which
    ``take_high`` takes; without, an intent is treated as ``normal``.
    """
    asked = intent.priority
    if asked is Priority.CRITICAL and not any(fnmatchcase(handoff.principal, one) for one in critical_principals):
        return Route(
            Priority.NORMAL, f" (priority critical refused to {handoff.principal or 'nobody'}: treated as normal)"
        )
    if asked is Priority.HIGH and not take_high():
        return Route(Priority.NORMAL, " (priority high is over its rate limit: treated as normal)")
    return Route(asked)
