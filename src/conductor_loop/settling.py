"""Settling: the effects of a decided outcome, applied as often as it takes."""

import hashlib
from enum import StrEnum

from conductor_loop import live
from conductor_loop.app import App
from conductor_loop.counting import SETTLING, Counted
from conductor_loop.errors import Gone, Illegible
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Outcome
from conductor_loop.order import known

_LONGEST_NAME = 900  # bytes of a name that fit into all of our keys; a key has at most 1,024


class Answer(StrEnum):
    """What became of one delivery of a handoff."""

    SETTLED = "settled"  # decided, by this or an earlier delivery, and settled
    QUEUED = "queued"  # a message for it waits in a queue
    DUPLICATE = "duplicate"  # an earlier delivery settled it: nothing was done
    LEFT = "left"  # decided and told, but S3 will not move the input: it stays where it is
    GONE = "gone"  # the object vanished before anybody read it: there is nothing to answer


def settle(app: App, handoff: Handoff, outcome: Outcome, component: bytes | None = None) -> Answer:
    """Write the status object and the live tree, archive the input, and remove it last.

    Doing it twice changes nothing: the outcome is fixed, and only the handoff's own version is removed. An input that
    lies in the root still is what says that there is something to settle. The ``component`` of an applied intent spares
    reading it from its package.
    """
    handoff, file = known(handoff, outcome.order), fitting(handoff.file)
    name = app.bucket.put_status(handoff, file, outcome.document, final=True)
    live.write(app, handoff, outcome, component)
    try:
        app.bucket.archive(handoff, f"{outcome.archive}/{name}")
    except Gone:
        return Answer.SETTLED  # it is removed last, so somebody has settled it just now
    except Illegible:
        return Answer.LEFT  # as its status says: nothing is lost
    app.bucket.remove(handoff)
    return Answer.SETTLED


def settle_decided(app: App, handoff: Handoff, outcome: Outcome, component: bytes | None = None) -> Answer:
    """Settle what was decided just now, and measure how long that takes."""
    began = app.clock()
    answer = settle(app, handoff, outcome, component)
    app.note(Counted(samples={SETTLING: max(app.clock() - began, 0.0)}))
    return answer


def fitting(name: str) -> str:
    """Shorten a name that is too long for a key of ours; what makes it unique stays."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    return f"{encoded[:800].decode(errors='ignore')}-{hashlib.sha256(encoded).hexdigest()[:16]}"
