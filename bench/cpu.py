"""The handler's CPU outside porch and network: whole, in parts, and against the bare SDK calls that it makes.

AWS is canned answers and porch a package that is there already. Both sides alternate in one run; the bare calls are
those that the handler made, made again one after the other with nothing around them, by clients as the SDK makes them.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import boto3

from bench.function import (
    REGION,
    clients,
    environment,
    function,
    intent,
    invoke,
    message_body,
    put_record,
    queue_record,
)
from bench.lines import Line, bounded, reported
from bench.wire import VERSION, Wire
from conductor_loop import handlers, metrics
from conductor_loop.intents import admit
from conductor_loop.intents import outcome as status
from conductor_loop.porch import Package, Result, Run
from conductor_loop.storage.bucket import S3Bucket
from conductor_loop.storage.queues import SQSQueues
from conductor_loop.storage.state import DynamoDBStateTable

MOST_TIMES = 1.3
ROUNDS, EACH = 15, 20
_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/normal"
_FILES = {"Kptfile": 300, "kustomization.yaml": 600}  # bytes, about


@dataclass(frozen=True, slots=True)
class Cpu:
    """Milliseconds of CPU for one intent on the queued path, and how many times that is of the bare calls'."""

    whole: float
    bare: float
    ratio: float
    own_ratio: float  # to the same calls by our own clients
    parts: dict[str, float]


def canned_porch(seconds: float = 0.0) -> Callable[[object], Result]:
    """Make a porch whose package is there already, or after so many seconds."""
    result = Result(
        Package("cnf-simulator-v1.0.0", {name: b"#" * size for name, size in _FILES.items()}),
        Run(0, "Package successfully created: cnf-simulator-v1.0.0", "", 0.05),
    )

    def porch(_: object) -> Result:
        time.sleep(seconds)
        return result

    return porch


def with_porch(porch: Callable[[Any], Result]) -> None:
    """Have the function that is started run this porch."""
    app = replace(handlers._app("bench"), run_porch=porch)  # noqa: SLF001 - the one place where its parts come together
    handlers._built = lambda *_: app  # type: ignore[assignment] # noqa: SLF001
    handlers._built.cache_clear = lambda: None  # type: ignore[method-assign] # noqa: SLF001


def queued_records(key: str = "intent-a.json", body: bytes | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the event and the message of one intent."""
    event = put_record(key, VERSION, len(body or intent()))
    return event, queue_record(message_body(event))


def measure() -> Cpu:
    """Measure the queued path."""
    built = handlers._built  # noqa: SLF001 - put back below
    try:
        with function(environment(_QUEUE)):
            return _measured()
    finally:
        handlers._built = built  # noqa: SLF001


def _measured() -> Cpu:
    with_porch(canned_porch())
    body = intent()
    wire = Wire(lambda _: body)
    wire.under(clients())
    event, message = queued_records()

    def one() -> None:
        invoke(event)
        assert not invoke(message)["batchItemFailures"]

    one()
    wire.record = True
    one()
    wire.record = False

    session = boto3.session.Session(region_name=REGION)
    plain = {client: session.client(client.meta.service_model.service_name) for client in clients()}
    wire.under(list(plain.values()))

    def repeated(clients_of: Callable[[Any], Any]) -> Callable[[], None]:
        def bare() -> None:
            for client, name, params in wire.calls:
                answer = clients_of(client)._make_api_call(name, params)  # noqa: SLF001 - what every method is
                if name == "GetObject":
                    answer["Body"].read()

        return bare

    times = _alternately(one, repeated(lambda client: plain[client]), repeated(lambda client: client))
    whole, bare, own = (min(column) for column in zip(*times, strict=True))  # what disturbs only adds
    return Cpu(whole, bare, whole / bare, whole / own, _parts(one))


def _alternately(*actions: Callable[[], None]) -> list[tuple[float, ...]]:
    """Give each round's milliseconds of CPU of each action, once."""
    for action in actions:
        action()
    rounds = []
    for _ in range(ROUNDS):
        row = []
        for action in actions:
            begun = time.process_time()
            for _ in range(EACH):
                action()
            row.append((time.process_time() - begun) * 1e3 / EACH)
        rounds.append(tuple(row))
    return rounds


@dataclass
class Clock:
    """CPU by part, each without what it calls of the others; threads count for themselves."""

    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _stack: threading.local = field(default_factory=threading.local)

    def of(self, part: str, called: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function that belongs to a part."""

        @wraps(called)
        def timed(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
            stack = self._stack.__dict__.setdefault("stack", [])
            stack.append(0.0)
            begun = time.thread_time()
            try:
                return called(*given, **named)
            finally:
                took = time.thread_time() - begun
                self.spent[part] += took - stack.pop()
                if stack:
                    stack[-1] += took

        return timed


def _parts(one: Callable[[], None]) -> dict[str, float]:
    """Split the CPU of an intent; the wrappers cost some themselves, so these are shares more than figures."""
    clock, undo = Clock(), []

    def wrap(part: str, owner: Any, *names: str) -> None:  # noqa: ANN401 - a module, a class or an object
        for name in names:
            undo.append((owner, name, owner.__dict__.get(name)))
            setattr(owner, name, clock.of(part, getattr(owner, name)))

    for client in clients():
        wrap("SDK", client, "_make_api_call")
    wrap("validation", admit, "validate")
    wrap("state", DynamoDBStateTable, "write", "target")
    wrap("bucket", S3Bucket, "read", "publish", "put_status", "archive", "remove")
    wrap("JSON and status", status, "succeeded")
    wrap("queue", SQSQueues, "send")
    wrap("logging and metrics", metrics, "emit")
    wrap("logging and metrics", metrics.logger(), "info")
    begun = time.process_time()
    for _ in range(EACH * 5):
        one()
    whole = time.process_time() - begun
    for owner, name, value in reversed(undo):
        with suppress(AttributeError):
            delattr(owner, name)
        if value is not None:
            setattr(owner, name, value)
    clock.spent["the rest: intents, threads"] = whole - sum(clock.spent.values())
    return {part: spent * 1e3 / EACH / 5 for part, spent in clock.spent.items()}


def run(cpu: Cpu) -> list[Line]:
    """Hold the figures against their target."""
    parts = ", ".join(f"{part} {spent:.2f}" for part, spent in sorted(cpu.parts.items(), key=lambda one: -one[1]))
    what = "handler CPU outside porch and network, of its bare SDK calls"
    note = f"{cpu.whole:.1f} ms against {cpu.bare:.1f} ms; {cpu.own_ratio:.2f} x of calls by our own clients"
    return [bounded("CPU", what, cpu.ratio, MOST_TIMES, " x", note), reported("CPU", "in parts, ms", parts)]
