"""A burst through the running stack (make up): intents dropped at once, every one followed to its answer.

Prints rates and what was lost or run twice. The critical ones are dropped last, into the full backlog.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

_THREADS = 16
_WAIT_SECONDS = 900


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

    def drop(self, file: str) -> None:
        """Drop one."""
        target = file.removesuffix(".json")
        intent = {"intent_type": "scaling", "target": target, "namespace": self.name, "replicas": 3}
        intent["priority"] = "critical" if "critical" in file else "normal"
        self.s3.put_object(Bucket=self.bucket, Key=file, Body=json.dumps(intent).encode())

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


def main() -> None:
    """Run the burst; exit 1 if anything was lost or run twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--critical", type=int, default=20)
    arguments = parser.parse_args()
    if "HANDOFF_BUCKET" not in os.environ:
        sys.exit("no stack: make up, then . .local/env")
    s3 = boto3.client("s3", config=Config(max_pool_connections=_THREADS, retries={"total_max_attempts": 5}))
    table = boto3.resource("dynamodb").Table(os.environ["CONDUCTOR_STATE_TABLE"])
    bucket, name = os.environ["HANDOFF_BUCKET"], f"b{int(time.time())}"
    burst = Burst(arguments.count, arguments.critical, s3, bucket, table, name)
    decided = burst.decided()
    started = time.monotonic()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(burst.drop, burst.files()))
    dropped = time.monotonic() - started
    while burst.waiting() and time.monotonic() - started < _WAIT_SECONDS:
        time.sleep(1)
    _report(burst, dropped, time.monotonic() - started, burst.decided() - decided)


def _report(burst: Burst, dropped: float, settled: float, decided: int) -> None:
    statuses, files = burst.statuses(), burst.files()
    packages = {key.rpartition("/")[0] for key in burst.keys(f"packages/{burst.name}/")}
    lost = [file for file in files if file not in statuses]
    succeeded = sum(status["status"] == "success" for status in statuses.values())
    again = sum(int(row["attempt"]) > 1 for row in burst.rows(f"intent#intent-{burst.name}-"))
    doubled = (len(packages) - succeeded) + (decided - len(statuses)) + again
    order = sorted(statuses, key=lambda file: statuses[file]["timestamp"])
    ranks = [position for position, file in enumerate(order) if "critical" in file]
    rows = {
        "dropped": f"{burst.count} in {dropped:.1f} s",
        "settled": f"{burst.count - burst.waiting()} after {settled:.1f} s",
        "succeeded": succeeded,
        "lost": len(lost),
        "packages; decisions counted; run more than once": f"{len(packages)}; {decided}; {again}",
        "critical ones, median place in the order of answers": f"{ranks[len(ranks) // 2]} of {len(order)}"
        if ranks
        else "",
    }
    for name, value in rows.items():
        print(f"{name:54}{value}")
    if lost or doubled or burst.waiting():
        sys.exit("something was lost, run twice or left")


if __name__ == "__main__":
    main()
