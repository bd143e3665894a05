"""The adapters that an intent's life uses; ``bootstrap`` makes an ``App``."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intent import Handoff, Intent, Priority
from conductor_loop.intents.model import Outcome, Target
from conductor_loop.porch import PorchRequest, Result
from conductor_loop.rates import Peek, Take

if TYPE_CHECKING:
    from conductor_loop.storage.bucket import S3Bucket
    from conductor_loop.storage.queues import SQSQueues
    from conductor_loop.storage.state import DynamoDBStateTable


@dataclass(frozen=True, slots=True)
class Message:
    """What a queue carries: which handoff, and the way it was put on."""

    handoff: Handoff
    priority: Priority = Priority.NORMAL
    note: str = ""  # a clause for the status
    target: str = ""  # "namespace/name" that the intent names
    swept: bool = False  # sent by the sweeper, which has not read the intent

    @property
    def body(self) -> str:
        """Write it as a queue has it."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, body: str) -> "Message":
        """Read it. Raises ValueError: it is none of ours."""
        try:
            document = dict(json.loads(body))
            handoff, priority = Handoff(**document["handoff"]), Priority(document["priority"])
            return cls(**document | {"handoff": handoff, "priority": priority})
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a message of ours: {body[:200]!r}") from error


_UNREAD = Intent({})  # of a delivery that is not read yet, or is no intent


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handoff that is delivered to one invocation. Times are epoch seconds."""

    message: Message
    started: float  # when the invocation began
    deadline: float  # when the invocation ends
    queued: bool = False  # whether it came from a queue
    newest: str = ""  # id of the newest version of its name, as the bucket was read; empty if unknown
    read_target: Callable[[], Target] | None = None  # begun beside the read of the input, where its message names it
    intent: Intent = _UNREAD

    @property
    def handoff(self) -> Handoff:
        """What is delivered."""
        return self.message.handoff

    def of(self, handoff: Handoff) -> "Delivery":
        """Give the delivery with what is known of its handoff by now."""
        return replace(self, message=replace(self.message, handoff=handoff))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a listing of versions goes on: after this one."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A version in the root of the bucket: its answer, if it has one, is not settled."""

    handoff: Handoff
    withdrawn: bool = False  # its owner has deleted the name since, without deleting this version for good


@dataclass(frozen=True, slots=True)
class Measured:
    """What one decision, or one attempt that is made again, looked like."""

    handoff: Handoff
    outcome: Outcome
    counted: Counted  # what it adds to the metrics
    seconds: float  # from the beginning of the invocation to here


@dataclass(frozen=True, slots=True)
class App:
    """Everything with an effect, passed in: tests pass adapters in memory."""

    config: Config
    bucket: "S3Bucket"
    state: "DynamoDBStateTable"
    queues: "SQSQueues"
    take: Take
    peek: Peek
    run_porch: Callable[[PorchRequest], Result]
    observe: Callable[[Measured], None]
    note: Callable[[Counted], None]  # what is counted beside decisions and attempts
    trace: Callable[[Intent], None]  # called with each intent that is read, for the log lines that follow
    clock: Callable[[], float]  # epoch seconds
    slot: Callable[[bool], AbstractContextManager[None]]  # to run porch: exclusive, or beside others
    jitter: Callable[[], float]  # evenly spread from 0 to 1
    worker_id: int  # of this execution environment
