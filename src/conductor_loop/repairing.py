"""Repairing: rows of the state table that make no sense (E009) are set aside, and made anew from what is known."""

import json
import logging
from collections.abc import Callable

from conductor_loop.app import App
from conductor_loop.audit import entries
from conductor_loop.audit.chain import Entry, Head
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
    if app.state.mend(error, int(app.clock()) if is_lost else None, entry=_mended(app, handoff, error, key)):
        app.note(Counted({STATE_CORRUPTED: 1}))


def _mended(app: App, handoff: Handoff, error: Unreadable, aside: str) -> Entry | None:
    """Note it in the handoff's chain; where the row does not even say how that ends, begin another one."""
    if not error.name.startswith("intent/"):
        return None
    now, attribute = app.clock(), error.row.get("audit_head")
    try:
        head = Head.read(attribute["S"])  # type: ignore[index] # whatever it is, it is tried
    except (KeyError, TypeError, ValueError):
        head = Head()
    head = head if head.seq else Head(restart=str(int(now * 1000)))
    return entries.mended(handoff, head, now, aside)
