"""The calls to AWS that one intent costs on each path, counted by hooks in the SDK's clients; AWS is moto here.

Depth is the longest chain of calls each of which begins after the one before has ended. So that calls side by side are
seen as such, every call is made to take CALL_SECONDS. On the queued path the chain goes through the message: what the
first invocation still does after sending it keeps no caller waiting.
"""

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws

from bench import units
from bench.function import (
    BUCKET,
    PORCH,
    REGION,
    TABLE,
    clients,
    environment,
    function,
    intent,
    invoke,
    put_record,
    received_record,
)
from bench.lines import Line, bounded, reported
from conductor_loop.audit.entries import Shard, change, link

CALL_SECONDS = 0.03
WITHOUT_LIVE_TREE = "queued, without the live tree"
MOST_CALLS = {WITHOUT_LIVE_TREE: 10}  # and one for each file of the package
MOST_DEPTH = {WITHOUT_LIVE_TREE: 9}
PACKAGE_FILE = "package file"
_SHARD = "shardId-00000001795400000000-0123abcd"  # as long as they are
_FAILS_ONCE = """#!/bin/sh
if [ ! -e "{mark}" ]; then : > "{mark}"; echo "no route to the cluster" >&2; exit 4; fi
exec "{porch}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what it was, and when, in seconds.

    ``units`` are DynamoDB's, to read or to write; ``audit_bytes`` those of the entries that record it.
    """

    service: str
    operation: str
    key: str
    begun: float
    ended: float
    units: int = 0
    invocation: int = 0
    audit_bytes: int = 0

    @property
    def kind(self) -> str:
        """Name the call, the files of a package apart."""
        return PACKAGE_FILE if self.key.startswith("packages/") else self.operation


@dataclass
class Watch:
    """Hooks of the function's clients: what is called, when, and what DynamoDB would bill."""

    plain: Any  # a client of DynamoDB that is not watched
    calls: list[Call] = field(default_factory=list)
    invocation: int = 0
    _open: threading.local = field(default_factory=threading.local)

    def over(self, watched: list[Any]) -> None:
        """Watch these clients."""
        for client in watched:
            events = client.meta.events
            events.register_first("provide-client-params", self._before)
            events.register("before-call", self._wait)
            events.register("after-call", self._after)
            events.register("after-call-error", self._after)

    def _before(self, params: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - botocore's events
        self._open.items = {json.dumps(key): self._item(key) for key in _keys(params)}
        self._open.key, self._open.begun = str(params.get("Key", "")), time.perf_counter()

    def _wait(self, **_: Any) -> None:  # noqa: ANN401 - botocore's events
        time.sleep(CALL_SECONDS)

    def _after(self, model: Any = None, **_: Any) -> None:  # noqa: ANN401 - botocore's events
        ended, name = time.perf_counter(), model.name
        transaction = name == "TransactWriteItems"
        pairs = [(before, self._item(json.loads(key))) for key, before in self._open.items.items()]
        if name in {"GetItem", "BatchGetItem"}:
            billed = sum(units.strong_reads(before) for before, _ in pairs) or 1
        else:
            billed = sum(units.writes(before, after, transaction=transaction) for before, after in pairs)
        bytes_ = sum(_audit_bytes(before, after) for before, after in pairs)
        service = model.service_model.service_name
        self.calls.append(Call(service, name, self._open.key, self._open.begun, ended, billed, self.invocation, bytes_))

    def _item(self, key: Any) -> units.Item:  # noqa: ANN401 - DynamoDB's key
        found: units.Item = self.plain.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item", {})
        return found


def _audit_bytes(before: units.Item, after: units.Item) -> int:
    found = change(before, after)
    return len(link(_SHARD, Shard(entries=10_000, digest="0" * 64), found).text) if found else 0  # entries are ASCII


def _keys(params: dict[str, Any]) -> list[Any]:
    if "TransactItems" in params:
        return [item["Update"]["Key"] for item in params["TransactItems"]]
    return [params["Key"]] if isinstance(params.get("Key"), dict) else []


@dataclass(frozen=True, slots=True)
class Way:
    """What one intent cost on one path."""

    name: str
    calls: tuple[Call, ...]
    depth: int
    invocations: int
    printed_bytes: int

    @property
    def files(self) -> int:
        """Count the files of the package."""
        return self.kinds[PACKAGE_FILE]

    @property
    def kinds(self) -> Counter[str]:
        """Count the calls by kind, in the order of their first."""
        return Counter(call.kind for call in self.calls)


@dataclass
class World:
    """AWS as moto plays it, and a hand to drop intents and to take messages with."""

    session: Any

    def __post_init__(self) -> None:
        self.s3, self.sqs, self.dynamodb = (self.session.client(name) for name in ("s3", "sqs", "dynamodb"))
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.url = self.sqs.create_queue(QueueName="normal")["QueueUrl"]
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )

    def drop(self, key: str, body: bytes, bucket: str = BUCKET) -> dict[str, Any]:
        """Put an input; the record of its event."""
        version = self.s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
        record = put_record(key, version, len(body))
        record["s3"]["bucket"]["name"] = bucket
        return record

    def received(self) -> list[dict[str, Any]]:
        """Take every message that may be received now, as Lambda's poller does."""
        answer = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        return [received_record(message) for message in answer.get("Messages", [])]

    def work(self, record: dict[str, Any]) -> bool:
        """Hand a message over, and delete it if it is done with; whether it is."""
        if invoke(record)["batchItemFailures"]:
            return False
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])
        return True


@contextmanager
def moto_world() -> Iterator[World]:
    """Play AWS in this process."""
    with mock_aws():
        yield World(boto3.session.Session(region_name=REGION))


def chain(calls: list[Call]) -> int:
    """Count the longest chain of calls that waited for one another."""
    length, until = 0, 0.0
    for call in sorted(calls, key=lambda call: call.ended):
        if call.begun >= until:
            length, until = length + 1, call.ended
    return length


def counted(name: str, body: bytes, **variables: str) -> Way:
    """Take one intent to its end, after another one has warmed everything up."""
    with moto_world() as world, function(environment(world.url, **variables)) as printed:
        watch = Watch(world.dynamodb)
        _through(world, watch, "intent-warm.json", intent())
        watch.over(clients())
        watch.calls, watch.invocation, before = [], 0, len(printed.getvalue())
        _through(world, watch, "intent-counted.json", body)
        assert world.s3.list_objects_v2(Bucket=BUCKET, Prefix="intent-")["KeyCount"] == 0, "not settled"
        return _way(name, watch, printed.getvalue()[before:])


def _way(name: str, watch: Watch, printed: str) -> Way:
    return Way(name, tuple(watch.calls), _depth(watch.calls), watch.invocation, len(printed.encode()))


def _depth(calls: list[Call]) -> int:
    """Chain the invocations by their messages: a chain ends with the call that the next one waits for."""
    total = 0
    for number in sorted({call.invocation for call in calls}):
        mine = [call for call in calls if call.invocation == number]
        sent = next((call.ended for call in mine if call.operation == "SendMessage"), float("inf"))
        total += chain([call for call in mine if call.ended <= sent])
    return total


def _through(world: World, watch: Watch, key: str, body: bytes) -> None:
    watch.invocation = 1
    invoke(world.drop(key, body))
    deadline = time.monotonic() + 20
    while world.s3.list_objects_v2(Bucket=BUCKET, Prefix="intent-")["KeyCount"] and time.monotonic() < deadline:
        for record in world.received():
            watch.invocation += 1
            world.work(record)
        time.sleep(0.1)


def paths() -> dict[str, Way]:
    """Count every path."""
    with tempfile.TemporaryDirectory() as folder:
        flaky = Path(folder) / "porch"
        flaky.write_text(_FAILS_ONCE.format(mark=Path(folder) / "failed", porch=PORCH))
        flaky.chmod(0o755)
        (Path(folder) / "failed").touch()
        found = [
            counted("inline", intent(priority="critical")),
            counted("queued", intent()),
            counted(WITHOUT_LIVE_TREE, intent(), CONDUCTOR_PROCESSING_LIVE_TREE="false"),
            counted("rejected", b"{"),
            _retried(flaky, Path(folder) / "failed"),
        ]
    return {path.name: path for path in found}


def _retried(porch: Path, mark: Path) -> Way:
    """Count an intent whose first attempt meets a network error."""
    with moto_world() as world:
        variables = environment(world.url, CONDUCTOR_PORCH_PATH=str(porch), CONDUCTOR_PROCESSING_RETRY_DELAY="1s")
        with function(variables) as printed:
            watch = Watch(world.dynamodb)
            _through(world, watch, "intent-warm.json", intent())
            watch.over(clients())
            watch.calls, watch.invocation, before = [], 0, len(printed.getvalue())
            mark.unlink()
            _through(world, watch, "intent-retried.json", intent())
            return _way("retried", watch, printed.getvalue()[before:])


def run(found: dict[str, Way]) -> list[Line]:
    """Hold the counts against their targets."""
    lines = []
    for name, path in found.items():
        kinds = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in path.kinds.items())
        own = len(path.calls) - path.files
        if name in MOST_CALLS:
            lines.append(bounded("calls", f"{name}, and {path.files} files", own, MOST_CALLS[name], note=kinds))
            lines.append(bounded("calls", f"{name}, depth from event to settled", path.depth, MOST_DEPTH[name]))
        else:
            what = f"{name}, and {path.files} files" if path.files else name
            lines.append(reported("calls", what, str(own), own, f"depth {path.depth}: {kinds}"))
    return lines
