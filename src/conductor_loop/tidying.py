"""Tidying: what a late worker has written, although others had decided. Looked for once it cannot write any more."""

import logging
from dataclasses import dataclass

from conductor_loop.app import App
from conductor_loop.lifecycle import Outcome, Untidy
from conductor_loop.publishing import take_back

logger = logging.getLogger("conductor-loop")

_MOST = 20  # handoffs that one sweep tidies up; most sweeps have none
_AGAIN_SECONDS = 600.0  # until the next try where one fails; and no two sweeps are at the same handoff


@dataclass(slots=True)
class Tidied:
    """What became of the handoffs that were due."""

    tidied: int = 0
    failed: int = 0  # are tried again


def tidy(app: App, deadline: float) -> Tidied:
    """Tidy up the handoffs that are due, each for itself; doing it twice changes nothing.

    Args:
        app: The parts to do it with.
        deadline: Epoch seconds, after which none is begun.

    """
    done = Tidied()
    try:
        due = app.state.untidy(app.config.handoff_bucket, app.clock(), _MOST)
    except Exception:
        logger.exception("nobody knows what is to be tidied up: the next sweep asks again")
        return Tidied(failed=1)
    for one in due:
        if app.clock() > deadline:
            break
        try:
            done.tidied += _tidy(app, one)
        except Exception:
            done.failed += 1
            logger.exception("not tidied up", extra={"handoff": one.handoff.key, "version_id": one.handoff.version_id})
    return done


def _tidy(app: App, one: Untidy) -> bool:
    """Take back what the handoff's attempts have published, but for the package that was decided on."""
    now = app.clock()
    if not app.state.put_off(one.handoff, now + _AGAIN_SECONDS, now):  # first: what fails must not keep others waiting
        return False
    if one.outcome is None:
        logger.error("not tidied up: its row makes no sense", extra={"handoff": one.handoff.key})
    else:
        take_back(app, one.handoff, keep=_decided_on(one.outcome))
    app.state.tidied(one.handoff)
    return True


def _decided_on(outcome: Outcome) -> frozenset[str]:
    package = outcome.status.get("package")
    return frozenset(f"{package['prefix']}{path}" for path in package["files"]) if package else frozenset()
