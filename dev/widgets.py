"""What the dashboard's definition shows of points: CloudWatch's own rules, as far as our dashboard uses them."""

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

type Source = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions with their values
type Points = Mapping[Source, Sequence[tuple[float, float]]]  # epoch seconds, value
type Values = "np.ndarray[tuple[int], np.dtype[np.float64]]"  # of the buckets; NaN: nothing

_SEARCH = re.compile(r"""SEARCH\('\{(\w+),([\w,]+)\} MetricName="(\w+)" (\w+)="([\w-]+)"', '(\w+)', \d+\)""")
_IN = re.compile(r"""(\w+) in \[([^]]*)\]""")
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric of a widget, as its definition has it."""

    source: Source
    stat: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a widget."""

    label: str
    color: str | None
    values: Values


@dataclass(frozen=True, slots=True)
class Buckets:
    """Periods side by side: ``seconds`` each, ``number`` of them, from ``start`` (epoch seconds) on."""

    start: float
    seconds: float
    number: int

    def of(self, points: Iterable[tuple[float, float]], stat: str) -> Values:
        """Reduce points to one value a bucket."""
        found: list[list[float]] = [[] for _ in range(self.number)]
        for at, value in points:
            index = int((at - self.start) // self.seconds)
            if 0 <= index < self.number:
                found[index].append(value)
        return np.array([_statistic(some, stat) for some in found])


def of_lines(lines: Iterable[Mapping[str, Any]]) -> dict[Source, list[tuple[float, float]]]:
    """Make the points of metric lines (EMF)."""
    points: dict[Source, list[tuple[float, float]]] = {}
    for line in lines:
        for way in line["_aws"]["CloudWatchMetrics"]:
            for names in way["Dimensions"]:
                dimensions = frozenset((name, str(line[name])) for name in names)
                for metric in way["Metrics"]:
                    value = (line["_aws"]["Timestamp"] / 1000, float(line[metric["Name"]]))
                    points.setdefault((way["Namespace"], metric["Name"], dimensions), []).append(value)
    return points


def metrics(widget: Mapping[str, Any]) -> Iterator[Shown]:
    """List what a widget names; not its expressions."""
    for entry in widget["properties"].get("metrics", ()):
        if isinstance(entry[0], str):
            namespace, name, *dimensions = entry[:-1]
            source = (namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True)))
            yield Shown(source, entry[-1]["stat"], entry[-1])


def searches(widget: Mapping[str, Any]) -> Iterator[re.Match[str]]:
    """List what a widget searches for: namespace, dimensions, name, the given dimension, its value, statistic."""
    for entry in widget["properties"].get("metrics", ()):
        if not isinstance(entry[0], str):
            yield from _SEARCH.finditer(entry[0]["expression"])


def series(widget: Mapping[str, Any], points: Points, buckets: Buckets) -> Iterator[Series]:
    """Give the lines of a widget."""
    named: dict[str, Values] = {}
    for one in metrics(widget):
        values = buckets.of(points.get(one.source, ()), one.stat)
        named[one.options.get("id", "")] = values
        if one.options.get("visible", True):
            yield Series(one.options["label"], one.options.get("color"), values)
    for found in searches(widget):
        yield from _found(found, points, buckets)
    for entry in widget["properties"]["metrics"]:
        if not isinstance(entry[0], str) and not _SEARCH.search(entry[0]["expression"]):
            values = _calculated(ast.parse(entry[0]["expression"], mode="eval").body, named)
            yield Series(entry[0]["label"], entry[0].get("color"), values)


def rows(query: str, events: Iterable[tuple[float, str, str]]) -> list[list[str]]:
    """Give what a log query finds in events: log group, epoch seconds and text of each. First its fields' names."""
    groups = set(re.findall(r"SOURCE '([^']+)'", query))
    (fields,) = re.findall(r"\| fields ([^|]+?) \|", query)
    (wanted,) = re.findall(r"\| filter ([^|]+?) \|", query)
    (most,) = re.findall(r"\| sort @timestamp desc \| limit (\d+)$", query)
    names = fields.split(", ")
    filters = {name: json.loads(f"[{values}]") for name, values in _IN.findall(wanted)}
    found = []
    for at, group, text in sorted(events, reverse=True):
        if group in groups and text.startswith("{"):
            line = json.loads(text) | {"@timestamp": at}
            if all(line.get(name) in values for name, values in filters.items()):
                found.append([_field(line, name) for name in names])
    return [names, *found[: int(most)]]


def _field(line: Mapping[str, Any], name: str) -> str:
    value: Any = line
    for part in [name] if name in line else name.split("."):
        if isinstance(value, list):
            value = value[int(part)] if len(value) > int(part) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def _found(search: re.Match[str], points: Points, buckets: Buckets) -> Iterator[Series]:
    namespace, names, metric, given, value, stat = search.groups()
    free = (set(names.split(",")) - {given}).pop()
    for source in sorted(points, key=lambda one: (*one[:2], sorted(one[2]))):
        dimensions = dict(source[2])
        if source[:2] == (namespace, metric) and set(dimensions) == {given, free} and dimensions[given] == value:
            yield Series(dimensions[free], None, buckets.of(points[source], stat))


def _calculated(node: ast.expr, named: Mapping[str, Values]) -> Values:
    match node:
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_calculated(node.left, named), _calculated(node.right, named))  # type: ignore[no-any-return]
        case ast.Name():
            return named[node.id]
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type,return-value]
    raise ValueError(f"{ast.unparse(node)}: is no sum, product or quotient; teach dev/widgets.py what it means")


def _statistic(some: list[float], stat: str) -> float:
    if not some:
        return math.nan
    if stat.startswith("p"):
        return float(np.percentile(some, float(stat[1:])))
    return float({"Sum": sum, "Maximum": max, "SampleCount": len}[stat](some))  # type: ignore[operator]
