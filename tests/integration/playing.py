"""Intents played to their end on moto: deliveries, redeliveries and sweeps, until nothing is left to do."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from conductor_loop import messages, pipeline
from conductor_loop.app import Message
from conductor_loop.audit.verifying import Witness, verify
from conductor_loop.aws.dynamodb import StateTable
from conductor_loop.aws.rows import intent_key
from conductor_loop.aws.sqs import Queues
from conductor_loop.aws.writing import Writing
from conductor_loop.claiming import LATEST_WRITE_SECONDS
from conductor_loop.delivery import Later
from conductor_loop.errors import Cause, Overtaken, StillHeld
from conductor_loop.intent import Handoff, Priority
from conductor_loop.lifecycle import Applied, Claim, Outcome, Pause, Refusal, Row, State
from conductor_loop.sweep import take_turn
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.watched import assert_follows

_ROUNDS = 40  # more means that something never ends
_LONGEST_VISIBILITY_SECONDS = 43_000
ONCALL = "AWS:oncall-7"
LATE = "/late.yaml"  # a file that a late worker wrote


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@dataclass(frozen=True)
class Received:
    """A message, and what it can be hidden by."""

    message: Message
    record: dict[str, str]


class MotoQueues(Queues):
    """The real adapter; a message comes at once, and whoever takes it too early is told when to come again."""

    def __init__(self, client: Any, url: str) -> None:
        super().__init__(client, dict.fromkeys(Priority, url))
        self._mine, self._url = client, url

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del delay_seconds  # the tests have a clock of their own
        super().send(message, group)

    def hide(self, record: Mapping[str, Any], seconds: float) -> None:
        del seconds  # likewise: it is hidden for longer than a test takes
        super().hide(record, _LONGEST_VISIBILITY_SECONDS)

    def receive(self) -> list[Received]:
        """Take every message that waits. Not one of the system's own calls."""
        received = []
        asked = {"QueueUrl": self._url, "MaxNumberOfMessages": 10, "VisibilityTimeout": _LONGEST_VISIBILITY_SECONDS}
        while found := self._mine.receive_message(**asked).get("Messages", []):
            for one in found:
                record = {
                    "receiptHandle": one["ReceiptHandle"],
                    "eventSourceARN": f"arn:{self._url.rpartition('/')[2]}",
                }
                received.append(Received(messages.read(one["Body"]), record))
        return received

    def delete(self, received: Received) -> None:
        """Do what Lambda does with a message that is done with."""
        self._mine.delete_message(QueueUrl=self._url, ReceiptHandle=received.record["receiptHandle"])


class WatchedWriting(Writing):
    """Holds each write against the transitions."""

    def write(self, *updates: Any) -> Refusal | None:
        keys = [update["Key"] for update in updates if update["Key"]["pk"]["S"].startswith("intent#")]
        before = [_state(key) for key in keys]
        try:
            return super().write(*updates)
        finally:  # a call that fails, or kills, may have had its effect
            for was, key in zip(before, keys, strict=True):
                now = _state(key)
                if now is not None and now is not was:
                    assert_follows(was, now)


class WatchedTable(StateTable):
    """Holds each claim against those in force, never two live owners, and each write against the transitions."""

    in_force: tuple[Claim, ...] = ()

    def __init__(self, client: Any, table: str, keep_seconds: float, jitter: Callable[[], float]) -> None:
        super().__init__(client, table, keep_seconds, jitter)
        self._writing = WatchedWriting(client, table, jitter)

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        refusal = super().claim(claim, now, seen)
        if refusal is None:
            rivals = [one for one in self.in_force if one.target == claim.target or one.handoff == claim.handoff]
            assert all(one.lease_until <= now for one in rivals), f"two live owners: {rivals} and {claim}"
            self.in_force = (*(one for one in self.in_force if one not in rivals), claim)
        return refusal

    def postpone(self, claim: Claim, pause: Pause, now: float) -> Refusal | None:
        self.in_force = tuple(one for one in self.in_force if one != claim)
        return super().postpone(claim, pause, now)

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        self.in_force = tuple(one for one in self.in_force if one != claim)
        return super().decide(claim, outcome, applied, now)


@dataclass
class Path:
    """One way through the system: what is dropped, what porch does, and how it must end."""

    ends: str  # status
    folder: str = "processed"
    body: bytes | None = None
    script: tuple[Cause | None, ...] = (None,)
    queued: bool = True
    event: bool = True  # whether S3's event arrives
    fields: dict[str, str] = field(default_factory=dict)  # of its body; {} is its number
    before: Callable[["Play"], None] = lambda _: None  # that is there already


@dataclass
class Play:
    """One intent on its path, under a name and for a target that no other one has."""

    world: World
    path: Path
    number: int
    events: list[Handoff] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    others: int = 0  # intents that were decided before it
    deliveries: int = 0
    redelivers: bool = True  # whether an event comes again after a kill; else only the sweeper knows
    packages: dict[str, bytes] = field(default_factory=dict)  # as they were once decided
    late: Callable[[], None] = lambda: None  # what a worker of it writes when all is decided
    handoff: Handoff = field(init=False)

    @property
    def file(self) -> str:
        return f"intent-{self.number}.json"

    @property
    def body(self) -> bytes:
        fields = {name: value.format(self.number) for name, value in self.path.fields.items()}
        return self.path.body or intent(**({"target": f"target-{self.number}"} | fields))

    def prepare(self) -> None:
        self.world.configure(
            priority_queues=self.path.queued, handoff_bucket=BUCKET, critical_principals=(ONCALL,), high_per_minute=60
        )
        self.world.porch.script, self.world.porch.requests = [*self.path.script], []
        self.handoff = self.drop(self.file, self.body)
        self.path.before(self)
        self.world.porch.requests = []
        self.events = [self.handoff] if self.path.event else []

    def drop(self, file: str, body: bytes) -> Handoff:
        clock = self.world.clock
        clock.now = max(clock.now, time.time()) + 10
        put: Handoff = self.world.bucket.drop(BUCKET, file, body)
        return replace(
            put,
            event_time=f"{datetime.fromtimestamp(clock.now, UTC):%Y-%m-%dT%H:%M:%S}.000Z",
            sequencer="A",
            principal=ONCALL,
        )

    def finish(self) -> None:
        """Deliver whatever waits, and sweep, until the root of the bucket is empty, and nothing waits or is untidy."""
        for _ in range(_ROUNDS):
            for handoff in list(self.events):
                self._once(partial(self._answer, handoff))
            self._receive()
            for received in list(self.messages):
                self._once(partial(self._work, received))
            self._receive()
            settled = not (self.events or self.messages or self._root())
            if settled and not self._is_untidy():
                return
            if settled:
                self.late()
                self.late = lambda: None
            self.world.clock.wait(LATEST_WRITE_SECONDS if settled else 90)
            if not self.events and not self.messages:
                self._once(lambda: take_turn(self.world.app, self.world.deadline))
        raise AssertionError(f"never settled, or tidied up: {self._root()}")

    def check(self) -> None:
        world = self.world
        assert world.bucket.get(BUCKET, f"{self.path.folder}/{self.file}") == self.body
        status, row = world.status(self.file), world.row(self.handoff)
        assert row.outcome is not None
        assert status == row.outcome.status
        assert status["status"] == self.path.ends
        self._check_trail(row)
        package = status.get("package")
        published = [key for key in world.listing() if key.startswith("packages/")]
        prefixes = {key.rpartition("/")[0] for key in published if f"/target-{self.number}/" in key}
        assert prefixes <= {package["prefix"].rstrip("/")} if package else not prefixes, "packages of nobody"
        assert not [key for key in world.listing() if key.endswith(LATE)], "what a late worker wrote"
        files = self.package()
        told = [f"{package['prefix']}{path}" for path in package["files"]] if package else []
        assert sorted(files) == told
        assert not self.packages or files == self.packages, "a decided package was replaced"
        self._check_live()
        _forget_rows()

    def _check_live(self) -> None:
        """Hold the live tree against what was applied last to each target of this play."""
        world = self.world
        for name in (f"target-{self.number}{ending}" for ending in ("", "-other", "-shared")):
            live, version = f"live/oran-sim/{name}/kustomization.yaml", world.state.target(f"oran-sim/{name}").version
            if version is None:
                assert live not in world.listing()
            else:
                applied = f"packages/oran-sim/{name}/{name}-{version}/kustomization.yaml"
                assert world.bucket.get(BUCKET, live) == world.bucket.get(BUCKET, applied)

    def _check_trail(self, row: Row) -> None:
        """Hold the audit entries against one another, and against their end as the status knows it."""
        assert row.outcome is not None
        seal = row.outcome.status["audit"]
        chain = [one for one in row.entries if json.loads(one)["chain"] == seal["chain"]]
        verdict = verify(chain, [Witness(seal["chain"], seal["entries"], seal["sha256"])])
        assert verdict.entries == row.head.seq == len(chain)
        assert not verdict.findings, verdict.findings

    def package(self) -> dict[str, bytes]:
        """Give the files of its package as they are, if its outcome is known."""
        row = self.world.state.find([self.handoff]).get(self.handoff)
        package = row.outcome.status.get("package") if row is not None and row.outcome is not None else None
        keys = [key for key in self.world.listing() if package and key.startswith(package["prefix"])]
        return {key: self.world.bucket.get(BUCKET, key) for key in keys}

    def _once(self, deliver: Callable[[], object]) -> None:
        self.deliveries += 1
        try:
            deliver()
        except Killed:
            self.packages = {key: body for key, body in self.package().items() if not key.endswith(LATE)}
            if not self.redelivers:
                self.events.clear()
        except (Overtaken, StillHeld):
            pass

    def _answer(self, handoff: Handoff) -> None:
        pipeline.answer(self.world.app, handoff, self.world.deadline)
        self.events.remove(handoff)

    def _work(self, received: Received) -> None:
        queues: Any = self.world.queues
        result = pipeline.work(self.world.app, received.message, self.world.deadline)
        if isinstance(result, Later):
            queues.hide(received.record, result.seconds)
            self.world.clock.wait(result.seconds)
        else:
            queues.delete(received)
            self.messages.remove(received)

    def _receive(self) -> None:
        queues: Any = self.world.queues
        self.messages += queues.receive()
        self.events += self.world.redelivered
        self.world.redelivered.clear()

    def _root(self) -> list[str]:
        withdrawn = [self.file] if self.world.bucket.lies(self.file) else []
        return [key for key in self.world.listing() if "/" not in key] + withdrawn

    def _is_untidy(self) -> bool:
        return "active" in _attributes(intent_key(self.handoff).item)


def _forget_rows() -> None:
    """Drop all rows but the counters, once they are checked: moto copies the whole table for each transaction."""
    rows: Any = dynamodb_backends["123456789012"]["us-east-1"].tables[TABLE].items
    for name in [name for name in rows if not name.value.startswith("counter#")]:
        del rows[name]


def _state(key: Any) -> State | None:
    attributes = _attributes(key)
    return State(attributes["state"].value) if attributes else None


def _attributes(key: Any) -> Mapping[str, Any]:
    """Look into moto itself, past everything that watches or breaks calls."""
    item: Any = dynamodb_backends["123456789012"]["us-east-1"].get_item(TABLE, key)
    return item.attrs if item else {}


def counted(client: Any, table: str) -> Counter[str]:
    """Add up the counters of all shards: how many decisions of each kind there were."""
    counts: Counter[str] = Counter()
    for item in client.scan(TableName=table)["Items"]:
        if item["pk"]["S"].startswith("counter#"):
            counts.update({name[6:]: int(value["N"]) for name, value in item.items() if name.startswith("files_")})
    return counts
