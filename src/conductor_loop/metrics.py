"""Metrics for CloudWatch, in its embedded metric format (EMF): log lines, no call.

Powertools' EphemeralMetrics has one set of dimensions: a decision would take five lines instead of one.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_loop.catalogue import CATALOGUE, ENVIRONMENT, NAMESPACE, Kind, Metric
from conductor_loop.config.typed import Metering
from conductor_loop.counting import Counted

type _Point = tuple[Metric, str, float]  # one value of one CloudWatch metric, by its label's value


@dataclass(slots=True)
class _Line:
    labels: dict[str, str] = field(default_factory=dict)
    points: list[_Point] = field(default_factory=list)


def emit(counted: Counted, metering: Metering, now: float) -> None:
    """Print what was counted, if it is to be written; ``now`` in epoch seconds."""
    for line in lines(counted, metering, now):
        sys.stdout.write(f"{json.dumps(line)}\n")  # in one piece: threads print side by side


def lines(counted: Counted, metering: Metering, now: float) -> list[dict[str, Any]]:
    """Write it as EMF documents: one, unless a label has two values."""
    made: list[_Line] = []
    for point in _points(counted, metering):
        metric, value, _ = point
        label = {metric.label: value} if value else {}
        line = next((one for one in made if one.labels | label == label | one.labels), None)
        if line is None:
            made.append(line := _Line())
        line.labels |= label
        line.points.append(point)
    return [_document(line, metering, now) for line in made]


def _points(counted: Counted, metering: Metering) -> Iterator[_Point]:
    for metric in CATALOGUE:
        if not (metric.emf and metering.has(metric.group)):
            continue
        values = counted.samples if metric.kind is Kind.HISTOGRAM else counted.tally
        for label, names in metric.counted.items():
            if found := [values[name] for name in names if name in values]:
                yield metric, label, round(sum(found), 3)


def _document(line: _Line, metering: Metering, now: float) -> dict[str, Any]:
    metrics: dict[str, list[dict[str, str]]] = {}  # by their label
    for metric, _, _ in line.points:
        metrics.setdefault(metric.label, []).append({"Name": metric.emf, "Unit": metric.unit})
    directives = [
        {"Namespace": NAMESPACE, "Dimensions": [[ENVIRONMENT, *([label] if label else [])]], "Metrics": metrics[label]}
        for label in sorted(metrics)
    ]
    about: Mapping[str, Any] = {"labels": dict(metering.labels)} if metering.labels else {}
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": directives},
        ENVIRONMENT: metering.environment,
        **line.labels,
        **about,  # in an object of its own, so that no label can take the place of a dimension
        **{metric.emf: value for metric, _, value in line.points},
    }
