"""Write docs/cost.md: run `.venv/bin/python -m dev.cost` after a change of template, catalogue or figures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.cost import ANSWER_SECONDS, PRICES_OF, Prices, Usage, dollars_per_million
from conductor_loop.catalogue import CATALOGUE, Group
from dev.catalogue import billed
from dev.stack import ROOT
from dev.template import RESOURCES

DOCUMENT = ROOT / "docs/cost.md"
_FIGURES = ROOT / "docs/performance.md"
_SWEEPS = 60 * 24 * 30
_SWEEPER_MEMORY = 512  # MB: the template's
_SCHEDULE = 1.00  # dollars for a million invocations by EventBridge Scheduler
_SSM_SECONDS = 0.010  # for its answer, which is free
# A sweep that finds nothing, and the count of its time; tests/integration/test_handlers.py counts its calls.
SWEEP = Usage(
    s3_writes=4, write_units=2, read_units=4, log_bytes=1_600,
    waiting_seconds=4 * ANSWER_SECONDS["s3"] + 6 * ANSWER_SECONDS["dynamodb"] + _SSM_SECONDS, cpu_seconds=0.010,
    audits=1, audit_cpu_seconds=0.003,
)  # fmt: skip
# A look at the live tree and a put, for each applied intent.
LIVE = Usage(invocations=0, s3_writes=1, s3_reads=1, waiting_seconds=2 * ANSWER_SECONDS["s3"])
# What Lambda's poller asks a queue for that is empty: five times side by side, each for 20 seconds.
_EMPTY_RECEIVES = 5 * _SWEEPS * 3
_TENTH = 0.1
_PATHS = {"queued": "through a queue", "inline": "in one invocation (`PriorityQueues=false`, or `critical`)",
          "rejected": "refused", "retried": "tried three times"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fixed:
    """Something that costs the same every month, whatever comes."""

    what: str
    count: int
    dollars: float  # for each one, in us-east-1
    counted: str  # where the count is from


def fixed() -> tuple[Fixed, ...]:
    """List what a stack with the template's defaults has."""
    metrics = sum(_analyzed(one["Properties"]) for one in RESOURCES.values() if one["Type"] == "AWS::CloudWatch::Alarm")
    return (
        Fixed("custom metrics, once everything has happened", len(list(billed())), 0.30, "[the catalogue](metrics.md)"),
        Fixed("metrics that alarms look at", metrics, 0.10, "the alarms of `monitoring.yaml`"),
        Fixed("composite alarms", _count("AWS::CloudWatch::CompositeAlarm"), 0.50, "`monitoring.yaml`"),
        Fixed("dashboards", _count("AWS::CloudWatch::Dashboard"), 3.00, "`monitoring.yaml`"),
        Fixed("secrets", _count("AWS::SecretsManager::Secret"), 0.40, "`template.yaml`"),
        Fixed(
            "thousands of sweeps: lists of the bucket, rows, an invocation, a log line", _SWEEPS // 1000,
            (dollars_per_million(SWEEP, _SWEEPER_MEMORY) + _SCHEDULE) / 1000, "one a minute",
        ),
        Fixed(
            "thousands of empty receives, by Lambda's pollers", _queues() * _EMPTY_RECEIVES // 1000,
            Prices().sqs * 1000, "5 pollers for each queue, 3 times a minute",
        ),
    )  # fmt: skip


def _queues() -> int:
    events = RESOURCES["ConductorFunction"]["Properties"]["Events"].values()
    return sum(event["Type"] == "SQS" for event in events)


def _count(kind: str) -> int:
    return sum(one["Type"] == kind for one in RESOURCES.values())


def _analyzed(alarm: dict[str, list[dict[str, object]]]) -> int:
    """Count the metrics of an alarm: one on an expression is paid for each metric in it."""
    return sum("MetricStat" in one for one in alarm.get("Metrics", ())) or 1


def _files() -> str:
    (files,) = re.findall(r"^\| calls \| inline, and (\d+) files", _FIGURES.read_text(), re.MULTILINE)
    return str(files)


_HEAD = f"""# What it costs

Made by `.venv/bin/python -m dev.cost`; do not edit it by hand. List prices of us-east-1, {PRICES_OF}, without
free tiers: [CloudWatch](https://aws.amazon.com/cloudwatch/pricing/), [Secrets
Manager](https://aws.amazon.com/secrets-manager/pricing/), [KMS](https://aws.amazon.com/kms/pricing/), and those
below [the figures](performance.md).

## An intent

Dollars for a million, by [the cost model](performance.md#the-cost-model), with 1,024 MB and {_files()} files in a
package:

| way | dollars |
|---|---|
"""
_REST = """
Most of it is S3, and most of that the files of the package, since each is a put. A request to the API is $3.50
a million for API Gateway beside the function's time. The dashboard's *Cost per thousand intents* is an estimate
by less: seconds and invocations of ConductorFunction, and 0.04 USD for all that a thousand queued intents put,
read and log.

## A month without an intent

| | count | each | a month | counted in |
|---|---|---|---|---|
"""
_TAIL = """
Not in it: storage, which goes with what is kept; a KMS key of your own, $1 a month and $0.03 for 10,000 uses.
Metrics of a stack that nothing happens to are not written, and not charged.

## To pay less

| turn | what it saves, and what it takes |
|---|---|
| a porch of your own that writes fewer files | $5 a million for each file less |
| `PriorityQueues=false` | the difference of the first two rows above; without priorities |
"""
_SETTINGS = """| `MemorySize` | see [right-sizing](performance.md#right-sizing) |
| `RetentionDays`, `LogRetentionDays`, `AuditRetentionDays` | storage; what is gone cannot be looked up |
| `LogLevel=warn` | most of the log lines; metrics are written all the same |
| `AuditLock=none` (the default) | a second copy of the audit trail |
| `Tracing=false` (the default) | $5 for a million traces |
| `OutcomeEvents=false` (the default) | $1 for a million events, some seven an intent: one for each write and removal |
"""


def document() -> str:
    """Give the text of the document."""
    return _HEAD + "".join(_ways()) + _REST + "".join(_monthly()) + _TAIL + _live() + "".join(_groups()) + _SETTINGS


def _ways() -> Iterator[str]:
    """Take the figures of `make bench`: the second of the four sizes of memory is the default."""
    text = _FIGURES.read_text()
    for name, way in _PATHS.items():
        (row,) = re.findall(
            rf"^\| dollars \| {name}, at 768 / 1024 / 1769 / 3008 MB \|  \| ([^|]+) \|", text, re.MULTILINE
        )
        yield f"| {way} | {row.split(' / ')[1]} |\n"


def _monthly() -> Iterator[str]:
    for one in fixed():
        each = f"{one.dollars:.2f}" if one.dollars >= _TENTH else f"{one.dollars:.2g}"
        yield f"| {one.what} | {one.count} | ${each} | ${one.count * one.dollars:.2f} | {one.counted} |\n"
    yield f"| together | | | ${sum(one.count * one.dollars for one in fixed()):.2f} | |\n"


def _live() -> str:
    saved = f"${dollars_per_million(LIVE):.2f} a million applied intents, and 50 ms of each"
    return f"| `LiveTree=false` | {saved}; GitOps tools have no path that stays |\n"


def _groups() -> Iterator[str]:
    """Say what each group of metrics costs that can be switched off."""
    for group in Group:
        count = sum(len(one.values) for one in CATALOGUE if one.group is group and one.emf)
        if group and count:
            saved = f"{count} metrics, ${count * 0.30:.2f} a month"
            yield f"| `metrics.{group}`: false | {saved}; alarms on them see nothing |\n"


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document())
    print(f"{DOCUMENT.relative_to(ROOT)}: {len(fixed())} fixed costs")


if __name__ == "__main__":
    main()
