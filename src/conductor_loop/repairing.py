"""Repairing: rows of the state table that make no sense (E009) are set aside, and made anew from what is known."""

import json
import logging
import re
from collections.abc import Callable

from conductor_loop.app import App
from conductor_loop.counting import STATE_CORRUPTED, Counted
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.settling import fitting

logger = logging.getLogger("conductor-loop")

_MOST_ROWS = 6  # that one step meets: of the handoff, its target, name and id, and some that others mend meanwhile
_PACKAGE = re.compile(r"/[^/]+-v([0-9]+)\.([0-9]+)\.([0-9]+)/")


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
    Its last version, if lost, is that of the newest package in the bucket, so that no package is replaced; its last
    order, if lost, begins anew with the next intent that is applied.
    """
    key = f"failed/state/{fitting(error.name)}.json"
    logger.error("E009: an unreadable state row was set aside", extra={"aside": key, "fields": error.fields})
    app.bucket.set_aside(handoff, key, json.dumps(error.row, indent=2, default=str).encode())
    version = _newest_version(app, handoff, error.name.partition("/")[2]) if "version" in error.fields else None
    last = {"because": "E009: its row made no sense", "set_aside": key}
    if app.state.mend(error, version, now=app.clock(), last=last):
        app.note(Counted({STATE_CORRUPTED: 1}))


def _newest_version(app: App, handoff: Handoff, target: str) -> str | None:
    """Find the version of the newest package of a target; behind very many, one that no other package can have."""
    packages, is_all = app.bucket.packages(handoff.bucket, f"packages/{target}/")
    versions = [tuple(map(int, found.groups())) for key in packages if (found := _PACKAGE.search(key))]
    if not versions:
        return None
    major, minor, patch = max(versions)
    return f"v{major}.{minor}.{patch if is_all else int(app.clock())}"  # more seconds than there are packages
