"""A delivery: one handoff handed to one invocation, and who answers it."""

from dataclasses import dataclass

from conductor_loop import status
from conductor_loop.app import App, Message
from conductor_loop.audit.chain import Head
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Row


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: somebody else holds it, or it is tried again. Waiting costs no attempt."""

    seconds: float

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

    @property
    def handoff(self) -> Handoff:
        """What was delivered."""
        return self.message.handoff


def author(app: App, delivery: Delivery, attempt: int = 0) -> status.Author:
    """Say who writes a status now, and about which attempt."""
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
    )


def head_of(seen: Row | None) -> Head:
    """Give the end of a handoff's audit entries, as its row has it."""
    return seen.head if seen else Head()
