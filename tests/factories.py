"""Valid defaults; a test states only what matters to it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.app import App, Measured
from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred, Row, order
from conductor_loop.intents.outcome import Answer
from conductor_loop.porch import Package, PorchFailed, PorchRequest, Result, Run
from conductor_loop.rates import Memory
from conductor_loop.storage.state import DynamoDBStateTable
from tests.memory import MemoryBucket, MemoryQueues
from tests.memory_state import MemoryState
from tests.statuses import read_status

BUCKET = "handoff"
INTENT = {"intent_type": "scaling", "target": "cnf-simulator", "namespace": "oran-sim", "replicas": 3}


def intent(**fields: Any) -> bytes:
    """Give the bytes of a valid intent with these fields."""
    return json.dumps(INTENT | fields).encode()


def component(name: str) -> bytes:
    """Give a kustomize Component, as the bundled porch writes one."""
    return f"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n".encode()


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class ScriptedPorch:
    """A porch that does what its script says, one entry a run (the last one for ever); it counts its runs."""

    script: list[Cause | None] = field(default_factory=lambda: [None])
    requests: list[PorchRequest] = field(default_factory=list)
    on_run: Callable[[], None] = lambda: None

    def __call__(self, request: PorchRequest) -> Result:
        self.requests.append(request)
        self.on_run()
        cause = self.script[min(len(self.requests), len(self.script)) - 1]
        run = Run(exit_code=1 if cause else 0, stdout="", stderr="", duration_seconds=0.25)
        if cause is not None:
            raise PorchFailed(cause, run, f"porch says {cause}")
        major, minor, patch = (int(part) for part in (request.previous_version or "v1.0.-1")[1:].split("."))
        name = f"{request.document['target']}-v{major}.{minor}.{patch + 1}"
        mark = f"replicas: {request.document['replicas']} # run {len(self.requests)}\n".encode()
        files = {"Kptfile": mark, "kustomization.yaml": component(f"{name}-run-{len(self.requests)}")}
        return Result(Package(name, files), run)


@dataclass
class World:
    """An app over in-memory parts (or others), and a hand to drop intents with."""

    bucket: Any = field(default_factory=MemoryBucket)
    state: DynamoDBStateTable = field(default_factory=MemoryState)
    porch: ScriptedPorch = field(default_factory=ScriptedPorch)
    clock: Clock = field(default_factory=Clock)
    measured: list[Measured] = field(default_factory=list)
    noted: list[Counted] = field(default_factory=list)
    queues: MemoryQueues = field(default_factory=MemoryQueues)
    buckets: Any = field(default_factory=Memory)
    config: Config = field(
        default_factory=lambda: Config(state_table="state", handoff_bucket=BUCKET, priority_queues=False)
    )
    slot_takes: float = 0.0  # seconds, until an intent has a slot to run porch

    def __post_init__(self) -> None:
        self.queues.now = self.bucket.now = self.clock

    def configure(self, **changes: Any) -> None:
        """Change the configuration."""
        self.config = replace(self.config, **changes)

    @property
    def app(self) -> App:
        return App(
            config=self.config,
            bucket=self.bucket,
            state=self.state,
            queues=self.queues,
            take=self.buckets.take,
            peek=self.buckets.peek,
            run_porch=self.porch,
            observe=self.measured.append,
            note=self.noted.append,
            trace=lambda _: None,
            clock=self.clock,
            slot=self._slot,
            jitter=lambda: 1.0,
            worker_id=7,
        )

    def _slot(self, _: bool) -> AbstractContextManager[None]:
        self.clock.wait(self.slot_takes)
        return nullcontext()

    @property
    def deadline(self) -> float:
        return self.clock.now + 120

    def drop(self, file: str = "intent-a.json", body: bytes | None = None) -> Handoff:
        """Put an input into the bucket; the handoff as its event has it."""
        self.clock.wait(1)
        handoff: Handoff = self.bucket.drop(BUCKET, file, intent() if body is None else body)
        time = f"{datetime.fromtimestamp(self.clock.now, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
        return replace(handoff, event_time=time, order=order(time, "0A"))

    def row(self, handoff: Handoff) -> Row:
        """Give the handoff's row, which must be there."""
        return self.state.find([handoff])[handoff]

    def work(self) -> list[Answer | Deferred]:
        """Receive every message that is due, each once; those that come again wait as they ask to."""
        due = [entry for entry in self.queues.waiting if entry[0] <= self.clock()]
        self.queues.waiting = [entry for entry in self.queues.waiting if entry[0] > self.clock()]
        answers = []
        for _, message in due:
            answer = admit.work(self.app, message, self.deadline)
            if isinstance(answer, Deferred):
                self.queues.waiting.append((self.clock() + answer.seconds, message))
            answers.append(answer)
        return answers

    def drain(self, seconds: float = 3600) -> None:
        """Let time pass, and receive what is due, until nothing waits."""
        until = self.clock() + seconds
        while self.queues.waiting:
            assert self.clock() < until, self.queues.waiting
            self.clock.now = max(self.clock(), min(due for due, _ in self.queues.waiting))
            self.work()

    def status(self, file: str = "intent-a.json") -> dict[str, Any]:
        return read_status(self.bucket.get(BUCKET, f"status/{file}.status"))

    def listing(self) -> list[str]:
        keys: list[str] = sorted(self.bucket.keys(BUCKET))
        return keys
