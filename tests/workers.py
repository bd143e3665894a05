"""Workers of the simulator: threads of which one runs at a time, and the parts as each of them has them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conductor_loop.app import App, Message
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Outcome
from tests.memory import MemoryBucket

if TYPE_CHECKING:
    from tests.schedules import Schedule


_LONGEST_INVOCATION_SECONDS = 900.0  # that Lambda allows, however slow a worker is


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class ServiceFault(Exception):  # noqa: N818 - reads as what it is
    """AWS refuses a call, or its answer is lost."""


@dataclass
class Drop:
    """One version that an operator put, and all that is to happen to it."""

    handoff: Handoff
    body: bytes
    put_at: float
    script: tuple[Cause | None, ...] = (None,)
    runs: int = 0
    reported: int = 0  # failures that porch has reported
    withdrawn: bool = False  # `aws s3 rm` of its name came after it
    deleted: bool = False  # this version was deleted for good
    spoiled: bool = False  # its row was made corrupt
    dead: bool = False  # an event or a message of it used up its deliveries
    known: bool = False  # an event of it was handled: its order is known from then on
    decided: list[Outcome] = field(default_factory=list)

    @property
    def second(self) -> str:
        """The second in which it was put, as S3 lists it."""
        return self.handoff.event_time[:19]

    def is_reported(self, bucket: MemoryBucket) -> bool:
        """Say whether its final status is there: under its name, in that one's history, or beside it."""
        name = self.handoff.file
        keys = (f"status/{name}.status", f"status/{name}@{self.handoff.version_id}.status")
        return self.decided[0].document in [one.body for key in keys for one in bucket.objects.get(key, [])]

    def next_cause(self) -> Cause | None:
        self.runs += 1
        return self.script[min(self.runs, len(self.script)) - 1]


@dataclass
class Due:
    """An event or a message that waits to be delivered."""

    at: float
    handoff: Handoff
    message: Message | None = None  # None: an event
    received: int = 0


class Worker:
    """One invocation in a thread of its own that runs only while it has the baton, and hands it back at effects."""

    def __init__(self, world: "Schedule", offset: float, task: Callable[["Worker", App], object]) -> None:
        self.world, self.offset, self.wake_at = world, offset, world.now
        self._ends_at = world.now + _LONGEST_INVOCATION_SECONDS
        self.done = False
        self.package: dict[str, bytes] = {}
        self._task: Callable[[Worker, App], object] = task
        self._baton = threading.Lock()
        self._baton.acquire()
        self.result: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def clock(self) -> float:
        return self.world.now + self.offset

    def step(self) -> bool:
        """Let it run until it hands the baton back; whether it has ended. Called by the scheduler."""
        self._baton.release()
        self.world.baton.acquire()
        return self.done

    def sleep(self, seconds: float) -> None:
        """Hand the baton back and be woken later. Called by the worker."""
        self.wake_at = self.world.now + seconds
        self.world.baton.release()
        self._baton.acquire()
        if self.world.now > self._ends_at:
            raise Killed

    def effect(self) -> None:
        """A point at which anything may come between: the moment before or after an effect."""
        world, dice = self.world, self.world.dice
        if world.draining:
            return
        roll = dice.random()
        if roll < world.kill_rate:
            world.count("kills")
            raise Killed
        if roll < world.kill_rate + world.stall_rate:
            world.count("stalls")
            self.sleep(dice.uniform(20, 400))
        elif roll < 0.4:
            self.sleep(dice.uniform(0, 2))

    def fail(self, how: str) -> None:
        """Fail a call, rarely."""
        world = self.world
        if not world.draining and world.dice.random() < world.fault_rate:
            world.count(how)
            raise ServiceFault

    def _main(self) -> None:
        self._baton.acquire()
        try:
            self.result = self._task(self, self.world.app(self))
        except BaseException as error:  # noqa: BLE001 - a killed worker's too: the scheduler judges them
            self.error = error
        self.done = True
        self.world.baton.release()


class Parts:
    """The parts as one worker has them: it may stall before and after every call, and a call may fail either way."""

    def __init__(self, worker: Worker, part: object) -> None:
        self._worker, self._part = worker, part

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._part, name)

        def call(*given: Any, **named: Any) -> Any:
            self._worker.effect()
            self._worker.fail("calls refused")
            answer = method(*given, **named)
            self._worker.effect()
            self._worker.fail("answers lost")
            return answer

        return call


class StallingBucket(Parts):
    """The files of a package are uploaded side by side: in any order."""

    def publish(self, handoff: Handoff, claim: int, files: Mapping[str, bytes]) -> None:
        bucket: Any = self._part
        for key in self._worker.world.shuffled(files):
            self._worker.effect()
            bucket.publish(handoff, claim, {key: files[key]})
        self._worker.effect()
