"""A site whose history a test writes down: what is put, delivered and withdrawn, and what is reported in the end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.errors import Cause, LeaseLost
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred, order
from conductor_loop.intents.reconcile import sweep
from tests.factories import BUCKET, World, intent


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class Site:
    """Puts at chosen moments, and deliveries when the test says so."""

    world: World
    puts: int = 0

    @classmethod
    def open(cls, **config: Any) -> "Site":
        site = cls(World())
        site.world.configure(**({"priority_queues": True} | config))
        return site

    # -- what senders do

    def put(self, file: str, body: bytes | None = None, *, at: float = 0.0, **fields: Any) -> Handoff:
        """Put an intent, ``at`` seconds after the last whole one; the handoff as its event describes it."""
        clock = self.world.clock
        clock.now = max(clock.now, clock.now // 1 + at)
        self.puts += 1
        put: Handoff = self.world.bucket.drop(BUCKET, file, intent(**fields) if body is None else body)
        time = f"{datetime.fromtimestamp(clock.now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        return replace(put, event_time=time, order=order(time, f"{self.puts:04X}"))

    def withdraw(self, file: str) -> None:
        """Do `aws s3 rm`."""
        self.world.bucket.withdraw(file)

    def delete(self, handoff: Handoff) -> None:
        """Delete one version for good."""
        self.world.bucket.remove(handoff)

    # -- what AWS does

    def event(self, *handoffs: Handoff) -> None:
        """Deliver events; a failed delivery is not made again."""
        for handoff in handoffs:
            with suppress(Killed, LeaseLost):
                admit.answer(self.world.app, handoff, self.world.deadline)

    def receive(self, file: str = "", version: Handoff | None = None) -> None:
        """Hand over each message that is due, once: all, or those of one file or version."""
        queues, now = self.world.queues, self.world.clock()
        due = [one for one in queues.waiting if one[0] <= now and file in {"", one[1].handoff.key}]
        due = [one for one in due if version is None or one[1].handoff.version_id == version.version_id]
        queues.waiting = [one for one in queues.waiting if one not in due]
        for entry in due:
            try:
                answer = admit.work(self.world.app, entry[1], self.world.deadline)
            except (Killed, LeaseLost):
                answer = Deferred(180)  # its visibility timeout
            if isinstance(answer, Deferred):
                queues.waiting.append((self.world.clock() + answer.seconds, entry[1]))

    def lose_messages(self) -> None:
        """Let every message use up its receives."""
        self.world.queues.waiting.clear()

    def sweep(self, after: float = 1000.0) -> None:
        """Let time pass, and sweep."""
        self.wait(after)
        sweep(self.world.app, None, self.world.deadline)

    def wait(self, seconds: float) -> None:
        self.world.clock.wait(seconds)

    def settle(self) -> None:
        """Deliver, sweep and let time pass until nothing is left to do."""
        for _ in range(40):
            self.receive()
            self.sweep(after=200)

    # -- what porch does

    def porch(self, *script: Cause | Callable[[], None] | None) -> None:
        """Say what each run of porch comes to, from now on: a failure, a death, something, or success; then success."""
        steps = [*script]

        def run() -> None:
            step = steps.pop(0) if steps else None
            self.world.porch.script = [step if isinstance(step, Cause) else None]
            if step is not None and not isinstance(step, Cause):
                step()

        self.world.porch.on_run = run

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Which file porch ran for, and the number of replicas passed to it."""
        return [(one.file, one.document["replicas"]) for one in self.world.porch.requests]

    # -- what is reported

    def status(self, file: str) -> dict[str, Any]:
        """Give the status object."""
        return self.world.status(file)

    def outcome(self, handoff: Handoff) -> tuple[str, str] | None:
        """Give how a version ended, and the message; ``None`` where it has not."""
        row = self.world.state.find([handoff]).get(handoff)
        if row is None or row.outcome is None:
            return None
        return row.outcome.status["status"], row.outcome.status["message"]

    def replicas(self, target: str = "cnf-simulator") -> int | None:
        """Give what was last applied."""
        return self.world.state.target(f"oran-sim/{target}").replicas


def die() -> None:
    """Do what a worker does whose memory has run out."""
    raise Killed


@dataclass
class Waiting:
    """While it is entered, each intent waits for a slot, for some seconds."""

    site: Site
    seconds: float

    def __enter__(self) -> None:
        self.site.world.slot_takes = self.seconds

    def __exit__(self, *_: object) -> None:
        self.site.world.slot_takes = 0.0
