"""A burst through an embedded AWS: intents dropped at once, every one followed to its answer.

Prints rates, what was not settled in its time, and of the settled ones what was lost, or run or decided twice. The
critical ones are dropped last, into the full backlog.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.burst_outcome import BurstOutcome, Seen, allowed_seconds, classify, wait_until_settled
from bench.lines import Line, bounded, reported, text
from dev.stack import Stack, free_port

_THREADS = 16
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

    def waiting(self) -> frozenset[str]:
        """List the inputs that have no settled answer."""
        return frozenset(self.keys(f"intent-{self.name}-"))

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
            ConsistentRead=True,
        )
        return [row for page in pages for row in page["Items"]]

    def decided(self) -> int:
        """Sum the counters of what AuditFunction has counted."""
        counters = [json.loads(row["progress"])["counters"] for row in self.rows("counter#")]
        return sum(value for one in counters for name, value in one.items() if name.startswith("files_"))

    def packages(self) -> dict[str, frozenset[str]]:
        """List the packages of each file's target."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for key in self.keys(f"packages/{self.name}/"):
            _, _, target, package, *_ = key.split("/")
            found[f"{target}.json"].add(package)
        return {file: frozenset(packages) for file, packages in found.items()}

    def attempts(self) -> dict[str, tuple[int, ...]]:
        """Read the attempts of each row, by file."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for row in self.rows(f"intent#intent-{self.name}-"):
            found[row["pk"].removeprefix("intent#")].append(int(row["attempt"]))
        return {file: tuple(attempts) for file, attempts in found.items()}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a burst."""

    dropped_seconds: float
    settled_seconds: float
    outcome: BurstOutcome
    critical_rank: int  # median place of the critical ones in the order of answers


def burst(target: Target, count: int, critical: int) -> Result:
    """Drop a burst, wait until it is settled, and read once what became of it."""
    one = Burst(count, critical, target.s3, target.bucket, target.table, f"b{int(time.time())}")
    decided, started = one.decided(), time.monotonic()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(one.drop, one.files()))
    dropped = time.monotonic() - started
    wait_until_settled(lambda: len(one.waiting()), allowed_seconds(count), time.monotonic, time.sleep)
    settled, waiting = time.monotonic() - started, one.waiting()
    statuses = one.statuses()
    # What is not counted yet is counted within seconds.
    left = partial(_left, one, decided + count)
    wait_until_settled(left, allowed_seconds(count), time.monotonic, time.sleep)
    seen = Seen(
        waiting=waiting,
        statuses={file: status["status"] for file, status in statuses.items()},
        packages=one.packages(),
        attempts=one.attempts(),
        decided=one.decided() - decided,
    )
    ranks = critical_places({file: status["timestamp"] for file, status in statuses.items()})
    return Result(dropped, settled, classify(one.files(), seen), ranks[len(ranks) // 2] if ranks else 0)


def _left(one: Burst, decided: int) -> int:
    return max(decided - one.decided(), 0)


def critical_places(answered: dict[str, str]) -> list[int]:
    """Give the places of the critical ones in the order of answers; of those of the same second they are the last."""
    order = sorted(answered, key=lambda file: (answered[file], "critical" in file))
    return [place for place, file in enumerate(order, 1) if "critical" in file]


def run(target: Target, count: int, critical: int = 20) -> list[Line]:
    """Drop a burst, and hold it against what must never be."""
    result = burst(target, count, critical)
    outcome = result.outcome
    rate = f"{(count - outcome.unsettled) / result.settled_seconds:.1f}/s"
    note = f"dropped in {result.dropped_seconds:.0f} s; the embedded AWS starts a process for each function"
    what = f"a burst of {count:,}"
    return [
        reported("scale", f"{what}, settled", f"{result.settled_seconds:.0f} s, {rate}", note=note),
        bounded(
            "scale", f"{what}, not settled", outcome.unsettled, 0, note=f"in at most {allowed_seconds(count):,.0f} s"
        ),
        bounded("scale", f"{what}, lost", outcome.lost, 0),
        bounded("scale", f"{what}, run or decided twice", outcome.doubled, 0),
        reported("scale", f"{what}, median answer of the critical ones", f"{result.critical_rank} of {count}"),
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
    """Run the burst through the running stack, or one of its own; exit 1 if anything is unsettled, lost or doubled."""
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
