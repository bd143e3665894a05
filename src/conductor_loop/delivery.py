"""A delivery: one handoff handed to one invocation, and who answers it."""

from dataclasses import dataclass, replace

from conductor_loop import status
from conductor_loop.app import App, Message
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Failure


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: somebody else holds it, or it is tried again. Waiting costs no attempt."""

    seconds: float
    elsewhere: bool = False  # in another invocation: this one has no time left for it

    def __str__(self) -> str:
        """Say so, as the log does."""
        return f"not now, in {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handoff handed to one invocation. Times are epoch seconds."""

    message: Message
    started: float
    deadline: float  # when the invocation ends
    queued: bool = False  # whether it came from a queue
    newest: str = ""  # the newest version of its name, as the bucket was read; empty where nobody knows

    @property
    def handoff(self) -> Handoff:
        """What was delivered."""
        return self.message.handoff

    def of(self, handoff: Handoff) -> "Delivery":
        """Give the delivery with what is known of its handoff by now."""
        return replace(self, message=replace(self.message, handoff=handoff))


def author(app: App, delivery: Delivery, attempt: int, failure: Failure | None = None) -> status.Author:
    """Say who writes a status now, after which attempt, and what was the last thing that one of them said."""
    return status.Author(
        handoff=delivery.handoff,
        worker_id=app.worker_id,
        mode=app.config.mode,
        porch_path=app.config.porch_path,
        started=delivery.started,
        now=app.clock(),
        config_version=app.config.version,
        attempt=attempt,
        note=delivery.message.note,
        failure=failure,
    )
