"""What the functions write: log lines, and metrics for CloudWatch among them, in its embedded metric format (EMF).

Powertools' EphemeralMetrics has one set of dimensions: a decision would take five lines instead of one.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from conductor_loop.catalogue import CATALOGUE, ENVIRONMENT, NAMESPACE, Kind, Metric
from conductor_loop.config.typed import Metering
from conductor_loop.counting import CONFIG_REFUSED, PORCH, Counted
from conductor_loop.intent import Intent

if TYPE_CHECKING:
    from conductor_loop.app import Measured
    from conductor_loop.config import InvalidConfig

SERVICE = "conductor-loop"

type _Point = tuple[Metric, str, float]  # one value of one CloudWatch metric, by its label's value


@cache
def logger() -> Logger:
    """Return the logger of a function."""
    return Logger(service=SERVICE, level="INFO", utc=True, serialize_stacktrace=False)  # the text says it all


def trace(intent: Intent) -> None:
    """Have the log lines that follow name an intent's correlation id."""
    if intent.correlation_id is not None:
        logger().thread_safe_append_keys(correlation_id=intent.correlation_id)


def report_refused(error: "InvalidConfig", metering: Metering) -> None:
    """Log and count a version of the configuration that is refused."""
    logger().error("a new configuration is refused: the last good one stays in force", problems=error.problems)
    emit(Counted({CONFIG_REFUSED: 1}), metering, time.time())


def report(note: Callable[[Counted], None], measured: "Measured") -> None:
    """Log a decision, or an attempt that is made again, and note what it adds to the metrics."""
    document, porch_seconds = measured.outcome.status, measured.counted.samples.get(PORCH)
    say = logger().info if document["status"] in {"success", "skipped"} else logger().warning
    say(
        "tried" if "next_retry" in document else "decided",
        correlation_id=document.get("correlation_id"),
        principal=measured.handoff.principal or None,  # for whom: who put it, as far as S3's event says
        error_code=document.get("error_details", {}).get("code"),
        status=document["status"],
        status_message=document["message"],
        attempt=document["attempt"],
        next_retry=document.get("next_retry"),
        seconds=round(measured.seconds, 3),
        porch_seconds=None if porch_seconds is None else round(porch_seconds, 3),
    )
    note(measured.counted)


def emit(counted: Counted, metering: Metering, now: float) -> None:
    """Print what was counted, if it is to be written; ``now`` in epoch seconds."""
    for line in lines(counted, metering, now):
        sys.stdout.write(f"{json.dumps(line)}\n")  # in one piece: threads print side by side


def lines(counted: Counted, metering: Metering, now: float) -> list[dict[str, Any]]:
    """Write it as EMF documents: one, unless a label has two values."""
    made: list[tuple[dict[str, str], list[_Point]]] = []
    for point in _points(counted, metering):
        metric, value, _ = point
        label = {metric.label: value} if value else {}
        line = next((one for one in made if one[0] | label == label | one[0]), None)
        if line is None:
            made.append(line := ({}, []))
        line[0].update(label)
        line[1].append(point)
    return [_document(labels, points, metering, now) for labels, points in made]


def _points(counted: Counted, metering: Metering) -> Iterator[_Point]:
    for metric in CATALOGUE:
        if not (metric.emf and metering.has(metric.group)):
            continue
        values = counted.samples if metric.kind is Kind.HISTOGRAM else counted.tally
        for label, names in metric.counted.items():
            if found := [values[name] for name in names if name in values]:
                yield metric, label, round(sum(found), 3)


def _document(labels: Mapping[str, str], points: list[_Point], metering: Metering, now: float) -> dict[str, Any]:
    metrics: dict[str, list[dict[str, str]]] = {}  # by their label
    for metric, _, _ in points:
        metrics.setdefault(metric.label, []).append({"Name": metric.emf, "Unit": metric.unit})
    directives = [
        {"Namespace": NAMESPACE, "Dimensions": [[ENVIRONMENT, *([label] if label else [])]], "Metrics": metrics[label]}
        for label in sorted(metrics)
    ]
    about: Mapping[str, Any] = {"labels": dict(metering.labels)} if metering.labels else {}
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": directives},
        ENVIRONMENT: metering.environment,
        **labels,
        **about,  # in an object of its own, so that no label can take the place of a dimension
        **{metric.emf: value for metric, _, value in points},
    }
