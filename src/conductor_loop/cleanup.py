"""Clean-up: packages that attempts may have written and no decision names are deleted, once nothing can write there."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from conductor_loop.app import App
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Row
from conductor_loop.publishing import package_prefix

logger = logging.getLogger("conductor-loop")

# After a decision, until no worker of an earlier attempt writes any more. It began before the decision was made, and
# Lambda ends it, killed or not, within 15 minutes; then S3 may be at what it has received, and clocks may differ.
#
#   earlier attempt           decision                     clean_up_at
#     |--- lease ---|............|..............|               |
#     |--- invocation, at most 900 s -----------| last write -> |
LATEST_WRITE_SECONDS = 900.0 + 120.0
_MOST = 100  # handoffs that one sweep cleans up after; most sweeps have none


@dataclass(slots=True)
class Cleaned:
    """How many of the handoffs that were due are cleaned up after."""

    cleaned: int = 0
    failed: int = 0  # are tried again by the next sweep


def clean_up_at(now: float, reserved: Collection[int]) -> float:
    """Say when packages that are reserved for other attempts than the decided one go; 0 where there are none."""
    return now + LATEST_WRITE_SECONDS if reserved else 0.0


def clean_up(app: App, deadline: float) -> Cleaned:
    """Clean up after the handoffs that are due, each for itself; doing it twice changes nothing.

    Args:
        app: The parts to do it with.
        deadline: Epoch seconds; what is left then is left to the next sweep.

    """
    done = Cleaned()
    try:
        due = app.state.read(app.state.uncleaned(app.config.handoff_bucket, app.clock(), _MOST))
    except Exception:
        logger.exception("what is to be cleaned up is unknown: the next sweep asks again")
        return Cleaned(failed=1)
    for handoff, row in due.items():
        if app.clock() > deadline:
            break
        try:
            done.cleaned += _clean_up(app, handoff, row, deadline)
        except Exception:
            done.failed += 1
            logger.exception("not cleaned up", extra={"handoff": handoff.key, "version_id": handoff.version_id})
    return done


def _clean_up(app: App, handoff: Handoff, row: Row | Unreadable, deadline: float) -> bool:
    if isinstance(row, Unreadable):
        logger.error("not cleaned up: its row makes no sense", extra={"handoff": handoff.key})
        app.state.cleaned(handoff)
        return True
    left = row.reserved
    while left and app.clock() <= deadline:
        app.bucket.remove_package(handoff, package_prefix(row.target, left[0]))
        left = left[1:]
    app.state.cleaned(handoff, left)
    return not left
