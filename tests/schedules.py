"""A seeded simulator: workers that really interleave, one running at a time, over the in-memory parts."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from conductor_loop.app import App, Message, Unsettled
from conductor_loop.config import Config
from conductor_loop.errors import Cause, Gone, LeaseLost
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred, Outcome, Phase, is_exact, order
from conductor_loop.intents.reconcile import sweep, take_turn
from conductor_loop.porch import Package, PorchFailed, PorchRequest, Result, Run
from conductor_loop.rates import Memory
from conductor_loop.retry import Policy
from tests.factories import BUCKET, component, intent
from tests.memory import UNREADABLE, MemoryBucket
from tests.watched import WatchedState
from tests.workers import Drop, Due, Killed, Parts, ServiceFault, StallingBucket, Worker

EPOCH = 1_800_000_000.0
ONCALL = "AWS:oncall-7"
_INVOCATION_SECONDS = 120.0
_VISIBILITY_SECONDS = 180.0  # of a message that a worker took and never spoke of again
_FOR_A_WHILE = (Cause.NETWORK_ERROR, Cause.PROCESSING_TIMEOUT, Cause.QUOTA_EXCEEDED)
_MOST_RECEIVES = 5  # of a message whose queue is impatient: then it is among the dead letters
_ROUNDS = 60  # of draining; more means that something never ends


type Deed = tuple[float, Callable[[], None]]  # when, and what


class Schedule:
    """One random history of a few intents, from the first drop until nothing is left to do."""

    def __init__(self, seed: int, counts: Counter[str]) -> None:
        self.dice, self.counts = random.Random(seed), counts  # noqa: S311 - to be repeated, not to be secret
        self.now, self.draining = EPOCH, False
        self.baton = threading.Lock()
        self.baton.acquire()
        self.kill_rate = self.dice.choice((0.0, 0.01, 0.03))
        self.stall_rate = self.dice.choice((0.0, 0.02, 0.06, 0.1))
        self.fault_rate = self.dice.choice((0.0, 0.0, 0.01, 0.03))
        self.skew = self.dice.choice((0.0, 0.0, 20.0))
        self.drops: dict[str, Drop] = {}
        self.bucket, self.state, self.buckets = MemoryBucket(now=lambda: self.now), WatchedState(self), Memory()
        self.config = Config(
            state_table="state",
            handoff_bucket=BUCKET,
            priority_queues=self.dice.random() < 0.6,
            critical_principals=(ONCALL,),
            retry=Policy(attempts=3, delay_seconds=self.dice.choice((2.0, 30.0))),
        )
        self.waiting: list[Due] = []
        self.workers: list[Worker] = []
        self.packages: dict[str, bytes] = {}  # key to content, of each decided package as it was decided
        self.sweeps_at = [EPOCH + self.dice.uniform(60, 1500) for _ in range(self.dice.randint(0, 5))]
        self.sweeps_at += [at for at in self.sweeps_at for _ in range(2) if self.dice.random() < 0.3]  # all at once
        self.impatient = self.dice.random() < 0.3  # its queues, which lose patience with a message soon
        self.to_do = sorted(
            [*self._puts(), *self._withdrawals(), *self._changes(), *self._spoils()], key=lambda one: one[0]
        )

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def shuffled[T](self, some: Mapping[T, Any]) -> list[T]:
        return self.dice.sample(list(some), len(some))

    # -- what is to happen

    def _puts(self) -> list[Deed]:
        targets = [f"target-{number}" for number in range(self.dice.choice((2, 3)))]
        at, plan = EPOCH, []
        for number in range(self.dice.randint(4, 8)):
            at += self.dice.choice((0.01, 0.1, 0.3, 1.0, 10.0, 40.0))
            plan.append((at, self._drop_of(number, self.dice.choice(targets))))
        return plan

    def _withdrawals(self) -> list[Deed]:
        count = self.dice.choice((0, 0, 1, 2, 3))
        return [(EPOCH + self.dice.choice((5, 60, 400)) * self.dice.random(), self._withdraw) for _ in range(count)]

    def _changes(self) -> list[Deed]:
        count = self.dice.choice((0, 0, 1, 3))
        return [(EPOCH + self.dice.uniform(0, 600), self._reconfigure) for _ in range(count)]

    def _spoils(self) -> list[Deed]:
        count = self.dice.choice((0, 0, 0, 1, 3))
        return [(EPOCH + self.dice.uniform(0, 1200), self._spoil) for _ in range(count)]

    def _drop_of(self, number: int, target: str) -> Callable[[], None]:
        dice = self.dice
        fields = {"target": target, "replicas": number, "timeout": dice.choice(("5s", "30s"))}
        name = dice.choice((f"intent-{number}.json", "intent-again.json", f"intent-{number}.json"))
        if dice.random() < 0.1:
            fields["correlation_id"] = "c-1"
        fields["priority"] = dice.choice(("normal", "normal", "low", "high", "critical"))
        body = dice.choice((b"not JSON", UNREADABLE)) if dice.random() < 0.15 else intent(**fields)
        kind = dice.random()
        script: tuple[Cause | None, ...] = (None,)
        if kind < 0.25:
            script = (*(dice.choice(_FOR_A_WHILE) for _ in range(dice.randint(1, 4))), None)
        elif kind < 0.35:
            script = (dice.choice((Cause.PORCH_FAILED, Cause.NETWORK_ERROR)),)
        principal = dice.choice((ONCALL, "AWS:stranger"))
        return lambda: self._drop(name, body, script, principal)

    def _drop(self, name: str, body: bytes, script: tuple[Cause | None, ...], principal: str) -> None:
        last = max((drop.put_at for drop in self.drops.values()), default=0.0)
        self.now = round(max(self.now, last + 0.001), 3)  # S3's times are of milliseconds, and no two are the same here
        put = self.bucket.drop(BUCKET, name, body)
        time = f"{datetime.fromtimestamp(self.now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        handoff = replace(put, event_time=time, order=order(time, f"{len(self.drops):04X}"), principal=principal)
        self.drops[put.version_id] = Drop(handoff, body, self.now, script)
        self.count("drops")
        copies = self.dice.choice((0, 1, 1, 1, 1, 2, 3))
        self.count("events lost" if copies == 0 else "events")
        for _ in range(copies):
            self.waiting.append(Due(self.now + self.dice.choice((0.1, 1, 5, 60, 500)) * self.dice.random(), handoff))
        self.counts["events repeated"] += max(copies - 1, 0)

    def _withdraw(self) -> None:
        """Remove a name from the root, or one of its versions for good."""
        there = [one.handoff for one in self.bucket.unsettled(BUCKET, None, 1)[0] if not one.withdrawn]
        if not there:
            return
        chosen = self.dice.choice(there)
        if self.dice.random() < 0.3:
            self.count("versions deleted")
            self.bucket.remove(chosen)
            self.drops[chosen.version_id].deleted = True
            return
        self.count("withdrawals")
        for one in there:
            self.drops[one.version_id].withdrawn |= one.key == chosen.key
        self.bucket.withdraw(chosen.key)

    def _spoil(self) -> None:
        """Make a row corrupt: what can be read of it stays."""
        rows = sorted(key for key in self.state.rows if not self.drops[key[1]].spoiled)
        if rows:
            self.count("rows made corrupt")
            name, version = self.dice.choice(rows)
            self.drops[version].spoiled = True
            self.state.spoil(name, version)

    def _reconfigure(self) -> None:
        self.count("changes of the configuration")
        dice = self.dice
        self.config = replace(
            self.config,
            priority_queues=dice.random() < 0.6,
            retry=Policy(attempts=dice.choice((0, 1, 3)), delay_seconds=dice.choice((2.0, 30.0))),
            unique_correlation_ids=dice.random() < 0.7,
            rules=replace(self.config.rules, max_replicas=dice.choice((2, 5, 100))),
        )

    # -- the parts

    def app(self, worker: Worker) -> App:
        bucket: Any = StallingBucket(worker, self.bucket)
        state: Any = Parts(worker, self.state)
        queues: Any = Parts(worker, self)
        buckets: Any = Parts(worker, self.buckets)
        return App(
            config=self.config,
            bucket=bucket,
            state=state,
            queues=queues,
            take=buckets.take,
            peek=buckets.peek,
            run_porch=lambda request: self._porch(worker, request),
            observe=lambda _: None,
            note=lambda _: None,
            trace=lambda _: None,
            clock=worker.clock,
            slot=lambda _: nullcontext(),
            jitter=self.dice.random,
            worker_id=7,
        )

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del group
        self.count("messages sent")
        self.waiting.append(Due(self.now + delay_seconds + self.dice.random(), message.handoff, message))

    def _porch(self, worker: Worker, request: PorchRequest) -> Result:
        worker.effect()
        worker.package = {}
        drop = next(one for one in self.drops.values() if one.body == json.dumps(dict(request.document)).encode())
        seconds = self.dice.uniform(0, request.timeout_seconds)
        cause = drop.next_cause()
        worker.sleep(seconds)
        worker.effect()
        self.count("porch runs")
        if cause is not None:
            self.count("porch failures")
            raise PorchFailed(
                cause, Run(exit_code=1, stdout="", stderr="", duration_seconds=seconds), f"porch: {cause}"
            )
        patch = int(request.previous_version.rpartition(".")[2]) + 1 if request.previous_version else 0
        name = f"{request.document['target']}-v1.0.{patch}"
        mark = f"{drop.handoff} run {drop.runs}".encode()
        written = component(f"{drop.handoff.version_id}-run-{drop.runs}")
        files = {"Kptfile": b"constant", "kustomization.yaml": written, f"note-{drop.handoff.version_id}.yaml": mark}
        worker.package = files
        return Result(Package(name, files), Run(0, "", "", seconds))

    # -- what happened

    def decided(self, handoff: Handoff, outcome: Outcome) -> None:
        self.count(f"decided {outcome.phase}")
        drop = self.drops[handoff.version_id]
        drop.decided.append(outcome)
        if outcome.phase is not Phase.SUCCEEDED:
            return
        prefix = outcome.status["package"]["prefix"]
        mine = {prefix + path: body for path, body in self.running.package.items()}
        there = {key: self.bucket.get(BUCKET, key) for key in mine}
        assert there == mine, f"decided with files that are not its own: {handoff}"
        assert not mine.keys() & self.packages.keys(), f"two intents share a package: {handoff}"
        self.packages |= mine

    # -- the scheduler

    def run(self) -> None:
        while self._pending() and self.now < EPOCH + 3000:
            self._advance()
        self.draining = True
        for round_ in range(_ROUNDS):
            while self._pending():
                self._advance()
            if not self._unsettled() and not self.state.unclean:
                return
            self.now += 600 * 1.25**round_
            self._start_sweep()
        raise AssertionError(f"never settled: {self._unsettled()}, {self.state.unclean}")

    def _unsettled(self) -> list[Unsettled]:
        """Give what the sweeper has to bring to an end.

        Of what was withdrawn before anybody saw it, nothing is known; what is unreadable stays, once it is reported.
        """
        found, _ = self.bucket.unsettled(BUCKET, None, 1)
        return [one for one in found if not (self._unseen(one) or self._left(one))]

    def _unseen(self, one: Unsettled) -> bool:
        return one.withdrawn and (one.handoff.key, one.handoff.version_id) not in self.state.rows

    def _left(self, one: Unsettled) -> bool:
        drop = self.drops[one.handoff.version_id]
        return drop.body == UNREADABLE and bool(drop.decided) and drop.is_reported(self.bucket)

    def _pending(self) -> bool:
        return bool(self.to_do or self.waiting or self.workers or (self.sweeps_at and not self.draining))

    def _advance(self) -> None:
        """Do one of the things that are due, any of them; where nothing is, let time pass until something is."""
        moments = self._moments()
        due = [act for at, act in moments if at <= self.now]
        if not due:
            self.now = max(self.now, min(at for at, _ in moments))
            due = [act for at, act in moments if at <= self.now]
        self.now += self.dice.choice((0.0, 0.05, 0.3))
        self.dice.choice(due)()

    def _moments(self) -> list[tuple[float, Callable[[], None]]]:
        moments: list[tuple[float, Callable[[], None]]] = []
        moments += [(worker.wake_at, partial(self._step, worker)) for worker in self.workers]
        moments += [(due.at, partial(self._deliver, due)) for due in self.waiting]
        if self.to_do:
            moments.append((self.to_do[0][0], self._do_next))
        if not self.draining:
            moments += [(at, partial(self._sweep_as_planned, at)) for at in self.sweeps_at]
        return moments

    def _do_next(self) -> None:
        self.to_do.pop(0)[1]()

    def _sweep_as_planned(self, at: float) -> None:
        self.sweeps_at.remove(at)
        self._start_sweep()

    def _step(self, worker: Worker) -> None:
        self.running = worker
        if worker.step():
            self.workers.remove(worker)
            if worker.error is not None and not isinstance(worker.error, Killed | ServiceFault | LeaseLost | Gone):
                raise worker.error

    def _start(self, task: Callable[[Worker, App], object]) -> None:
        self.workers.append(Worker(self, self.dice.uniform(-self.skew, self.skew), task))

    def _start_sweep(self) -> None:
        """Sweep as the function does; or from the beginning."""
        self.count("sweeps")
        if self.draining or self.dice.random() < 0.5:
            self._start(lambda worker, app: take_turn(app, worker.clock() + _INVOCATION_SECONDS))
        else:
            self._start(lambda worker, app: sweep(app, None, worker.clock() + _INVOCATION_SECONDS))

    def _deliver(self, due: Due) -> None:
        due.received += 1
        if due.message is None:
            self.waiting.remove(due)
            self._start(lambda worker, app: self._answer(worker, app, due))
            return
        self.count("deliveries of messages")
        due.at = self.now + _VISIBILITY_SECONDS
        if due.received > 1:
            self.count("deliveries of messages again")
        if not self.draining and self.dice.random() < 0.1:
            due.at = self.now + self.dice.uniform(0, 20)  # at least once: SQS may hand it out twice
        self._start(lambda worker, app: self._work(worker, app, due))

    def _answer(self, worker: Worker, app: App, due: Due) -> None:
        try:
            admit.answer(app, due.handoff, worker.clock() + _INVOCATION_SECONDS)
            self.drops[due.handoff.version_id].known |= is_exact(due.handoff.order)
        except (Killed, ServiceFault, LeaseLost, Gone) as error:
            self.count(f"left to a later delivery: {type(error).__name__}")
            if due.received <= 2:  # Lambda delivers it two times more
                due.at = self.now + 60 * due.received
                self.waiting.append(due)
            else:
                self.drops[due.handoff.version_id].dead = True

    def _work(self, worker: Worker, app: App, due: Due) -> None:
        assert due.message is not None
        try:
            result = admit.work(app, due.message, worker.clock() + _INVOCATION_SECONDS)
        except (ServiceFault, LeaseLost, Gone) as error:
            self.count(f"left to a later delivery: {type(error).__name__}")
            result = Deferred(2.0**due.received)
        if isinstance(result, Deferred):
            self.count("messages delayed")
            due.at = self.now + result.seconds
            if self.impatient and due.received >= _MOST_RECEIVES and due in self.waiting and not self.draining:
                self.count("messages among the dead letters")
                self.waiting.remove(due)
                self.drops[due.handoff.version_id].dead = True
        elif due in self.waiting and (self.draining or self.dice.random() < 0.9):
            self.waiting.remove(due)  # else the deletion is lost, and it comes again
