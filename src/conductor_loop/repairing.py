"""Repairing: rows of the state table that make no sense (E009) are set aside, and made anew from what is known."""

import json
import logging
from collections.abc import Callable

from conductor_loop.app import App
from conductor_loop.counting import STATE_CORRUPTED, Counted
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.settling import fitting

logger = logging.getLogger("conductor-loop")

_MOST_ROWS = 6  # that one step meets: of the handoff, its target, name and id, and some that others mend meanwhile


def repairing[T](app: App, handoff: Handoff, step: Callable[[], T]) -> T:
    """Do a step; where it meets a row that makes no sense, repair the row and do it again.

    Raises:
        Unreadable: it met too many.

    """
    for _ in range(_MOST_ROWS):
        try:
            return step()
        except Unreadable as error:
            repair(app, handoff, error)
    return step()


def repair(app: App, handoff: Handoff, error: Unreadable) -> None:
    """Keep a copy of the row for an operator, then let the table drop what makes no sense of it.

    A handoff without a row is a new one: it is processed, again if need be. A target keeps the fields that can be read.
    Where its next number or its last version is lost, it goes on with the time, which neither can have had: more
    seconds than it had attempts. Its last order, if lost, begins anew with the next intent that is applied.
    """
    key = f"failed/state/{fitting(error.name)}.json"
    logger.error("E009: an unreadable state row was set aside", extra={"aside": key, "fields": error.fields})
    app.bucket.set_aside(handoff, key, json.dumps(error.row, indent=2, default=str).encode())
    is_lost = not {"reserved", "version"}.isdisjoint(error.fields)
    last = {"because": "E009: its row made no sense", "set_aside": key}
    if app.state.mend(error, int(app.clock()) if is_lost else None, now=app.clock(), last=last):
        app.note(Counted({STATE_CORRUPTED: 1}))
