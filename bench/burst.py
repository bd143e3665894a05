"""A burst through an embedded AWS: intents dropped at once, every one followed to its answer.

Prints rates and what was lost or run twice. The critical ones are dropped last, into the full backlog.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.lines import Line, bounded, text, told
from dev.stack import Stack, free_port

_THREADS = 16
_WAIT_SECONDS = 900
_STILL_SECONDS = 120  # without one more answer: something is broken
_CONFIG = Config(max_pool_connections=_THREADS, retries={"total_max_attempts": 5})


@dataclass(frozen=True, slots=True)
class Target:
    """A running stack, as a burst sees it; ``build`` is what `sam build` made for it."""

    s3: Any
    bucket: str
    table: Any
    build: Path = Path()


@dataclass
class Burst:
    """One burst, each intent for a Deployment of its own, so that each must make exactly one package."""

    count: int
    critical: int
    s3: Any
    bucket: str
    table: Any
    name: str

    def files(self) -> list[str]:
        """Name the files in the order in which they are dropped."""
        kinds = ["normal"] * (self.count - self.critical) + ["critical"] * self.critical
        return [f"intent-{self.name}-{kind}-{number}.json" for number, kind in enumerate(kinds)]

    def body(self, file: str) -> bytes:
        """Write one."""
        target = file.removesuffix(".json")
        intent = {"intent_type": "scaling", "target": target, "namespace": self.name, "replicas": 3}
        intent["priority"] = "critical" if "critical" in file else "normal"
        return json.dumps(intent).encode()

    def drop(self, file: str) -> None:
        """Drop one."""
        self.s3.put_object(Bucket=self.bucket, Key=file, Body=self.body(file))

    def waiting(self) -> int:
        """Count the inputs that have no settled answer."""
        return len(self.keys(f"intent-{self.name}-"))

    def keys(self, prefix: str) -> list[str]:
        """List keys."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Read every status."""

        def read(key: str) -> tuple[str, dict[str, Any]]:
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            return key.removeprefix("status/").removesuffix(".status"), json.loads(body)

        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(pool.map(read, self.keys(f"status/intent-{self.name}-")))

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """Read the state table's rows whose partition key begins so."""
        pages = self.table.meta.client.get_paginator("scan").paginate(
            TableName=self.table.name,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": prefix},
        )
        return [row for page in pages for row in page["Items"]]

    def decided(self) -> int:
        """Sum the counters, which each decision adds to in its own transaction."""
        return sum(
            int(value) for row in self.rows("counter#") for name, value in row.items() if name.startswith("files_")
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a burst."""

    count: int
    dropped_seconds: float
    settled_seconds: float
    left: int
    lost: int
    doubled: int
    succeeded: int
    critical_rank: int  # median place of the critical ones in the order of answers

    @property
    def good(self) -> bool:
        """Say whether every intent had its answer, once."""
        return not (self.left or self.lost or self.doubled)


def burst(target: Target, count: int, critical: int) -> Result:
    """Drop a burst, and wait until it is settled."""
    one = Burst(count, critical, target.s3, target.bucket, target.table, f"b{int(time.time())}")
    decided, started = one.decided(), time.monotonic()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(one.drop, one.files()))
    dropped = time.monotonic() - started
    _wait(one, started)
    return _result(one, dropped, time.monotonic() - started, one.decided() - decided)


def _wait(one: Burst, started: float) -> None:
    """Wait until everything is settled, or nothing has been for a while."""
    left, moved = one.waiting(), time.monotonic()
    while left and time.monotonic() - moved < _STILL_SECONDS and time.monotonic() - started < _WAIT_SECONDS:
        time.sleep(1)
        before, left = left, one.waiting()
        moved = time.monotonic() if left != before else moved


def _result(one: Burst, dropped: float, settled: float, decided: int) -> Result:
    statuses, files = one.statuses(), one.files()
    packages = {key.rpartition("/")[0] for key in one.keys(f"packages/{one.name}/")}
    succeeded = sum(status["status"] == "success" for status in statuses.values())
    again = sum(int(row["attempt"]) > 1 for row in one.rows(f"intent#intent-{one.name}-"))
    ranks = critical_places({file: status["timestamp"] for file, status in statuses.items()})
    return Result(
        count=one.count,
        dropped_seconds=dropped,
        settled_seconds=settled,
        left=one.waiting(),
        lost=sum(file not in statuses for file in files),
        doubled=abs(len(packages) - succeeded) + abs(decided - len(statuses)) + again,
        succeeded=succeeded,
        critical_rank=ranks[len(ranks) // 2] if ranks else 0,
    )


def critical_places(answered: dict[str, str]) -> list[int]:
    """Give the places of the critical ones in the order of answers; of those of the same second they are the last."""
    order = sorted(answered, key=lambda file: (answered[file], "critical" in file))
    return [place for place, file in enumerate(order, 1) if "critical" in file]


def run(target: Target, count: int, critical: int = 20) -> list[Line]:
    """Drop a burst, and hold it against what must never be."""
    result = burst(target, count, critical)
    rate = f"{count / result.settled_seconds:.1f}/s"
    note = f"dropped in {result.dropped_seconds:.0f} s; the embedded AWS starts a process for each function"
    what = f"a burst of {count:,}"
    return [
        told("scale", f"{what}, settled", f"{result.settled_seconds:.0f} s, {rate}", note=note),
        bounded("scale", f"{what}, lost", result.lost + result.left, 0),
        bounded("scale", f"{what}, run or decided twice", result.doubled, 0),
        told("scale", f"{what}, median answer of the critical ones", f"{result.critical_rank} of {count}"),
    ]


def deployed() -> Target:
    """Find the running stack that `. .local/env` names."""
    s3 = boto3.client("s3", config=_CONFIG)
    table = boto3.resource("dynamodb").Table(os.environ["STATE_TABLE"])
    return Target(s3, os.environ["HANDOFF_BUCKET"], table)


@contextmanager
def started() -> Iterator[Target]:
    """Start a stack for the length of a benchmark."""
    stack = Stack(free_port())
    try:
        outputs = stack.up()
        session = stack.session()
        s3 = session.client("s3", endpoint_url=stack.endpoint, config=_CONFIG)
        table = session.resource("dynamodb", endpoint_url=stack.endpoint).Table(outputs["StateTable"])
        yield Target(s3, outputs["HandoffBucket"], table, stack.home / "build")
    finally:
        stack.down()


def main() -> None:
    """Run the burst through the running stack, or one of its own; exit 1 if anything was lost or run twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--critical", type=int, default=20)
    arguments = parser.parse_args()
    with nullcontext(deployed()) if "HANDOFF_BUCKET" in os.environ else started() as target:
        lines = run(target, arguments.count, arguments.critical)
    print(text(lines))
    if any(line.met is False for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
