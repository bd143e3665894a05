"""One scene as it is played: the parts in memory, the workers, and what may happen next."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zlib import crc32

from conductor_loop.app import App, Message
from conductor_loop.config import Config
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Conflict, Deferred, Outcome, Phase, State, Write, is_exact, order
from conductor_loop.intents.reconcile import take_turn
from conductor_loop.porch import Package, PorchFailed, PorchRequest, Result, Run
from conductor_loop.rates import Memory
from conductor_loop.retry import Policy
from tests.explorer.actor import Actor, Call, Part, Task
from tests.factories import BUCKET, component
from tests.memory import MemoryBucket
from tests.watched import WatchedState
from tests.workers import Drop

EPOCH = 1_800_000_000.0
ONCALL = "AWS:oncall-7"
INVOCATION_SECONDS = 120.0
LEASE_SECONDS = 200.0  # more than a lease lasts; a worker that slept so long has lost it
_LATEST_WRITE_SECONDS = 1100.0  # after which no worker writes any more
_ROUNDS = 40  # of deliveries and sweeps after the workers' end; more means that something never ends


@dataclass(frozen=True)
class Budget:
    """How much may go wrong in one history."""

    kills: int = 1
    pauses: int = 1  # both workers sleep until every lease has run out
    losses: int = 1  # answers lost after their effect: the worker fails, or the SDK makes the call again
    failures: int = 1  # calls that fail without an effect: one, or it and all that the worker makes after it
    total: int = 2  # of all these together

    def less(self, kind: str) -> "Budget":
        return replace(self, total=self.total - 1, **{kind: getattr(self, kind) - 1})

    def allows(self, kind: str) -> bool:
        return self.total > 0 and getattr(self, kind) > 0


_COSTS = {
    "kill": "kills",
    "pause": "pauses",
    "lose": "losses",
    "repeat": "losses",
    "fail": "failures",
    "break": "failures",
}
_METHODS = {"break": "break_off"}
_UNREAD = {"last", "expires_at", "arrival_day", "arrived"}  # of a row: no write depends on them


@dataclass(frozen=True)
class Step:
    """What happens next: a worker goes on, is killed, loses an answer, or has a call fail; or time passes."""

    kind: str
    actor: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{self.actor}" if self.kind != "pause" else self.kind


class ExploredBucket(MemoryBucket):
    """Version ids that do not depend on what was written to other keys, so that histories can meet again."""

    def __init__(self) -> None:
        super().__init__()
        self.written: Counter[str] = Counter()

    def _add(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None) -> str:
        super()._add(key, body, metadata)
        self.written[key] += 1
        version = replace(self.objects[key][-1], id=f"v{crc32(key.encode())}{self.written[key]:03}")
        self.objects[key][-1] = version
        return version.id


class ExploredState(WatchedState):
    """Knows of which handoffs an exact order was ever written down."""

    world: "Play"  # type: ignore[assignment]

    def write(self, write: Write) -> Conflict | None:
        if write.after.state is State.RUNNING:
            for (_, version), row in self.rows.items():
                if version in self.world.drops:
                    self.world.drops[version].known |= is_exact(row.order)
        return super().write(write)


class FilesOneByOne(Part):
    """Each file of a package is a call of its own, where it is written and where it is deleted."""

    def publish(self, handoff: Handoff, claim: int, files: Mapping[str, bytes]) -> None:
        bucket: Any = self._part
        refused: Exception | None = None
        for key in sorted(files):
            write = partial(bucket.publish, handoff, claim, {key: files[key]})
            try:
                self._actor.call(Call(self._name, f"publish {key.rpartition('/')[2]}", write))
            except Exception as error:  # noqa: BLE001 - one that is refused stops no other
                refused = error
        if refused is not None:
            raise refused

    def remove_package(self, handoff: Handoff, prefix: str) -> None:
        bucket: Any = self._part
        for key in sorted(key for key in bucket.objects if key.startswith(prefix)):
            remove = partial(bucket.remove_package, handoff, key)
            self._actor.call(Call(self._name, f"remove {key.rpartition('/')[2]}", remove))


@dataclass
class Play:
    """A scene from its beginning. ``tests.watched`` holds each write against what must be true."""

    config: Config = field(
        default_factory=lambda: Config(
            state_table="state",
            handoff_bucket=BUCKET,
            critical_principals=(ONCALL,),
            retry=Policy(attempts=3, delay_seconds=2.0),
        )
    )
    budget: Budget = field(default_factory=Budget)
    now: float = EPOCH
    drops: dict[str, Drop] = field(default_factory=dict)
    events: list[Handoff] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    packages: dict[str, bytes] = field(default_factory=dict)  # as each was when it was decided
    counts: Counter[str] = field(default_factory=Counter)
    steps: list[str] = field(default_factory=list)  # of the history so far, to be read
    actors: list[Actor] = field(default_factory=list)
    running: Actor | None = None
    left_events: bool = False  # whether workers left events that are delivered again, or lost
    late: list[Actor] = field(default_factory=list)  # who go on once all is decided
    in_order: list[str] = field(default_factory=list)  # version ids, as they were decided

    def __post_init__(self) -> None:
        self.bucket, self.state, self.rates = ExploredBucket(), ExploredState(self), Memory()  # type: ignore[arg-type]
        self.bucket.now = lambda: self.now

    # -- the vocabulary of scenes

    def put(self, file: str, body: bytes, *, script: tuple[Cause | None, ...] = (None,), at: float = 0.0) -> Handoff:
        """Put an intent ``at`` seconds after the one before; its handoff as the event has it."""
        self.now += at
        put = self.bucket.drop(BUCKET, file, body)
        time = f"{datetime.fromtimestamp(self.now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        handoff = replace(put, event_time=time, order=order(time, f"{len(self.drops):04X}"), principal=ONCALL)
        self.drops[put.version_id] = Drop(handoff, body, self.now + len(self.drops) * 1e-6, script)
        return handoff

    def withdraw(self, handoff: Handoff) -> None:
        """Do `aws s3 rm` of its name."""
        self.bucket.withdraw(handoff.key)
        self.drops[handoff.version_id].withdrawn = True

    def answer(self, handoff: Handoff) -> None:
        """Deliver an event, undisturbed."""
        admit.answer(self.app(), handoff, self.now + INVOCATION_SECONDS)

    def work(self, message: Message) -> None:
        """Deliver a message, undisturbed."""
        admit.work(self.app(), message, self.now + INVOCATION_SECONDS)

    def configured(self, **changes: Any) -> Config:
        return replace(self.config, **changes)

    def decide_only(self, message: Message) -> None:
        """Deliver a message to a worker that is killed once the outcome is decided."""
        actor = Actor(self, "the first worker", self.message(message))
        while not self.in_order:
            actor.go()
        actor.kill()

    def leave_late(self, message: Message) -> None:
        """Deliver a message to a worker that falls asleep before it publishes, and writes at the very end."""
        self.late.append(self.asleep(message))

    def asleep(self, message: Message) -> Actor:
        """Deliver a message to a worker that falls asleep before it publishes, until its lease has run out."""
        worker = Actor(self, "the late worker", self.message(message))
        while worker.pending is None or not worker.pending.name.startswith("publish"):
            worker.go()
        self.now += LEASE_SECONDS
        return worker

    def race(self, *workers: Actor | Task) -> None:
        """Let workers run side by side: those that sleep go on, the others begin."""
        given = enumerate(workers)
        self.actors = [one if isinstance(one, Actor) else Actor(self, f"worker {number}", one) for number, one in given]

    def event(self, handoff: Handoff) -> Task:
        """Deliver an event to a worker; one that does not come to its end leaves it to a later delivery."""
        self.events.append(handoff)
        return partial(self._answered, handoff)

    def message(self, message: Message) -> Task:
        """Deliver a message that waits already to a worker."""
        return partial(self._worked, message)

    def sweep(self) -> Task:
        return self._swept

    # -- what may happen

    def options(self) -> list[Step]:
        live = [number for number, actor in enumerate(self.actors) if actor.live]
        live = [number for number in live if self.actors[number].done][:1] or live  # it is in no other one's way
        begun = [number for number in live if self.actors[number].started]
        steps = [Step("go", number) for number in live]
        steps += [Step(kind, number) for number in begun for kind in self.actors[number].faults() if self._may(kind)]
        if self.budget.allows("pauses") and begun and self.state.in_force:  # else no lease runs out
            steps.append(Step("pause"))
        return steps

    def take(self, step: Step) -> None:
        actor = self.actors[step.actor]
        self.steps.append(self._reported(step, actor))
        match step.kind:
            case "pause":
                self.now += LEASE_SECONDS
            case _:
                getattr(actor, _METHODS.get(step.kind, step.kind))()
        if step.kind in _COSTS:
            self.budget = self.budget.less(_COSTS[step.kind])

    def fingerprint(self) -> int:
        """Give the same number where all that follows is the same."""
        parts = [self.now, self.budget, self.events, sorted(map(repr, self.messages))]
        actors = [(actor.seen, actor.started, actor.ended, actor.killed, actor.broken) for actor in self.actors]
        drops = [(drop.runs, drop.known, drop.decided) for drop in self.drops.values()]
        return hash((*map(repr, parts), *actors, repr(drops), _text(self.bucket.__dict__), _text(_fields(self.state))))

    def close(self) -> None:
        """End the workers of a play that is not played on."""
        for actor in (*self.actors, *self.late):
            if actor.live:
                actor.kill()

    # -- the end

    def finish(self, *, redelivers: bool) -> None:
        """Deliver and sweep, with nothing going wrong any more, until nothing is left to do.

        Without ``redelivers``, the events that workers have left are lost, and only the sweeper finds their handoffs.
        """
        for actor in self.actors:
            if actor.error is not None and isinstance(actor.error, AssertionError):
                raise actor.error
        if not redelivers:
            self.events.clear()
        for _ in range(_ROUNDS):
            self._deliver_all()
            while self.late and not (self.events or self.messages or self._root()):
                take_turn(self.app(), self.now + INVOCATION_SECONDS)  # which must not have been the last look
                self._go_on(self.late.pop())
            if not (self.events or self.messages or self._root() or self.state.unclean):
                return
            self.now += _LATEST_WRITE_SECONDS
            if not (self.events or self.messages):
                self._swept(self.app())
        raise AssertionError(f"never settled: {self._root()}, {self.state.unclean}, {self.state.rows}")

    def decided(self, handoff: Handoff, outcome: Outcome) -> None:
        drop = self.drops[handoff.version_id]
        drop.decided.append(outcome)
        self.in_order.append(handoff.version_id)
        assert len(drop.decided) == 1, f"decided twice: {handoff}"
        if outcome.phase is not Phase.SUCCEEDED:
            return
        assert self.running is not None
        prefix = outcome.status["package"]["prefix"]
        mine = {prefix + path: body for path, body in self.running.package.items()}
        there = {key: self.bucket.get(BUCKET, key) for key in mine if self.bucket.objects.get(key)}
        assert there == mine, f"decided with files that are not its own: {handoff}"
        assert not mine.keys() & self.packages.keys(), f"two intents share a package: {handoff}"
        self.packages |= mine

    def count(self, what: str) -> None:
        self.counts[what] += 1

    # -- the parts

    def app(self, actor: Actor | None = None) -> App:
        """Give the app as a worker has it; without one, calls are made at once."""
        own: Actor = actor or Actor(self, "at once", self._swept)
        bucket, state, queues, porch = self.bucket, self.state, _Queues(self), _Porch(self, own)
        parts: dict[str, Any] = {"bucket": bucket, "state": state, "queues": queues}
        take: Any = self.rates.take
        if actor is None:
            self.running = own
        else:
            parts = {"bucket": FilesOneByOne(actor, "bucket", bucket), "state": Part(actor, "state", state)}
            parts |= {"queues": Part(actor, "queues", queues)}
            take = Part(actor, "rates", self.rates).take
            porch = Part(actor, "porch", porch).run  # type: ignore[assignment]
        return App(
            config=self.config,
            **parts,
            take=take,
            peek=self.rates.peek,
            run_porch=porch if callable(porch) else porch.run,
            observe=lambda _: None,
            note=lambda _: None,
            trace=lambda _: None,
            clock=lambda: self.now,
            slot=lambda _: nullcontext(),
            jitter=lambda: 1.0,
            worker_id=7,
        )

    def _answered(self, handoff: Handoff, app: App) -> Callable[[], None]:
        admit.answer(app, handoff, self.now + INVOCATION_SECONDS)
        return partial(_remove, self.events, handoff)

    def _worked(self, message: Message, app: App) -> Callable[[], None]:
        result = admit.work(app, message, self.now + INVOCATION_SECONDS)
        return partial(_remove, [] if isinstance(result, Deferred) else self.messages, message)

    def _swept(self, app: App) -> Callable[[], None]:
        take_turn(app, self.now + INVOCATION_SECONDS)
        return lambda: None

    def _deliver_all(self) -> None:
        for handoff in list(self.events):
            self._once(partial(self._answered, handoff))
        for message in list(self.messages):
            self._once(partial(self._worked, message))

    @staticmethod
    def _go_on(late: Actor) -> None:
        while late.live:
            late.go()

    def _once(self, deliver: Task) -> None:
        try:
            deliver(self.app())()
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - it is delivered again; what never ends is seen by ``finish``
            self.steps.append(f"later: {error!r}")

    def _root(self) -> list[str]:
        """Give what is not settled; what was withdrawn before it had a row stays as it is."""
        found, _ = self.bucket.unsettled(BUCKET, None, 1)
        return [one.handoff.key for one in found if not one.withdrawn or self.state.find([one.handoff])]

    @staticmethod
    def _reported(step: Step, actor: Actor) -> str:
        if step.kind == "pause":
            return f"{LEASE_SECONDS:.0f} s pass: every lease has run out"
        call = actor.pending or "begins"
        what = {
            "go": f"{call}",
            "kill": f"is killed before {call}",
            "lose": f"{call}, and its answer is lost",
            "repeat": f"{call}, whose answer is lost, and the SDK makes it again",
            "fail": f"{call} fails",
            "break": f"{call} fails, and so does every call after it",
        }
        return f"{actor.name}: {what[step.kind]}"

    def _may(self, kind: str) -> bool:
        return self.budget.allows(_COSTS[kind])


class _Queues:
    def __init__(self, play: Play) -> None:
        self._play = play

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del group, delay_seconds
        self._play.messages.append(message)


class _Porch:
    def __init__(self, play: Play, actor: Actor) -> None:
        self._play, self._actor = play, actor

    def run(self, request: PorchRequest) -> Result:
        drops = self._play.drops.values()
        drop = next(one for one in drops if one.body == json.dumps(dict(request.document)).encode())
        cause = drop.next_cause()
        run = Run(exit_code=1 if cause else 0, stdout="", stderr="", duration_seconds=0.5)
        if cause is not None:
            raise PorchFailed(cause, run, f"porch: {cause}")
        patch = int(request.previous_version.rpartition(".")[2]) + 1 if request.previous_version else 0
        name = f"{request.document['target']}-v1.0.{patch}"
        mark = f"{drop.handoff.key} {drop.handoff.version_id} run {drop.runs}"
        files = {"Kptfile": b"constant", "kustomization.yaml": component(mark)}
        files |= {f"note-{drop.handoff.version_id}.yaml": mark.encode()}
        self._actor.package = files
        return Result(Package(name, files), run)


def _remove[T](waiting: list[T], delivered: T) -> None:
    if delivered in waiting:
        waiting.remove(delivered)


def _fields(state: ExploredState) -> dict[str, Any]:
    rows = {key: sorted((name, item[name]) for name in item.keys() - _UNREAD) for key, item in state.items.items()}
    return {"rows": rows, "in_force": state.in_force, "applied": state.applied}


def _text(state: dict[str, Any]) -> str:
    return repr([(name, _sorted(value)) for name, value in sorted(state.items()) if not callable(value)])


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return sorted(value.items(), key=repr)
        case set():
            return sorted(value)
    return value
