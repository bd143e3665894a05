"""Metrics for CloudWatch, in its embedded metric format (EMF): log lines, no call.

Powertools' EphemeralMetrics has one set of dimensions: a decision would take five lines instead of one.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_loop.catalogue import CATALOGUE, ENVIRONMENT, NAMESPACE, Metric
from conductor_loop.config.typed import Metering
from conductor_loop.counting import Counted


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one CloudWatch metric."""

    metric: Metric
    label: str  # its label's value; empty without one
    value: float


@dataclass(slots=True)
class _Line:
    labels: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)

    def takes(self, point: Point) -> bool:
        """Take a point, if no other one of this line has another value of its label."""
        if self.labels.get(point.metric.label, point.label) != point.label:
            return False
        if point.label:
            self.labels[point.metric.label] = point.label
        self.points.append(point)
        return True


def emit(counted: Counted, metering: Metering, now: float) -> None:
    """Print what was counted, if it is to be written; ``now`` in epoch seconds."""
    for line in lines(counted, metering, now):
        sys.stdout.write(f"{json.dumps(line)}\n")  # in one piece: threads print side by side


def points(counted: Counted) -> Iterator[Point]:
    """Give the values of CloudWatch's metrics that something adds to."""
    for metric in CATALOGUE:
        if not metric.emf:
            continue
        for label, names in metric.counted.items():
            if found := [counted.tally[name] for name in names if name in counted.tally]:
                yield Point(metric, label, sum(found))
        for label, prefix in metric.samples.items():
            if prefix in counted.samples:
                yield Point(metric, label, round(counted.samples[prefix], 3))


def lines(counted: Counted, metering: Metering, now: float) -> list[dict[str, Any]]:
    """Write it as EMF documents: one, unless a label has two values."""
    made: list[_Line] = []
    for point in points(counted):
        if metering.has(point.metric.group) and not any(line.takes(point) for line in made):
            made.append(_Line())
            made[-1].takes(point)
    return [_document(line, metering, now) for line in made]


def _document(line: _Line, metering: Metering, now: float) -> dict[str, Any]:
    dimensions = sorted({point.metric.label for point in line.points})
    directives = [_directive(line, label) for label in dimensions]
    about: Mapping[str, Any] = {"labels": dict(metering.labels)} if metering.labels else {}
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": directives},
        ENVIRONMENT: metering.environment,
        **line.labels,
        **about,  # in an object of its own, so that no label can take the place of a dimension
        **{point.metric.emf: point.value for point in line.points},
    }


def _directive(line: _Line, label: str) -> dict[str, Any]:
    return {
        "Namespace": NAMESPACE,
        "Dimensions": [[ENVIRONMENT, *([label] if label else [])]],
        "Metrics": [
            {"Name": point.metric.emf, "Unit": point.metric.unit}
            for point in line.points
            if point.metric.label == label
        ],
    }
