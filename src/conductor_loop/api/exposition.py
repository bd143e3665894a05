"""Metrics for Prometheus (specification, "Metrics Endpoints"): what the catalogue names, in its text format."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest

from conductor_loop import __version__, counting
from conductor_loop.api.http import Response
from conductor_loop.api.parts import Parts
from conductor_loop.api.route import Call
from conductor_loop.catalogue import BUILD_INFO, CATALOGUE, Group, Kind, Metric
from conductor_loop.config.metering import Metering
from conductor_loop.storage.measures import Counts, TableSize

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, eq=False)  # the registry of Prometheus's library keeps it by its identity
class Scrape:
    """Everything that one scrape tells of the stack, and of the process that answers it."""

    values: Mapping[str, float]  # by the names of ``counting``, and of the measures
    metering: Metering

    def collect(self) -> Iterator[Family]:
        """Give each metric; Prometheus's library calls it."""
        for metric in CATALOGUE:
            if metric.prometheus and self.metering.has(metric.group) and (family := _family(metric, self.values)):
                yield family
        yield _build_info()


def metrics(parts: Parts, call: Call) -> Response:
    """Answer a scrape with one reading of the counters. Raises NotAnswering."""
    del call
    return Response(HTTPStatus.OK, text(Scrape(_values(parts), parts.config.metering)), {"Content-Type": CONTENT_TYPE})


def text(scrape: Scrape) -> str:
    """Write a scrape in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Labelled([scrape], scrape.metering.labels))
    if scrape.metering.has(Group.SYSTEM):
        scratch = CollectorRegistry()  # the library's own register themselves
        own = [make(registry=scratch) for make in (ProcessCollector, PlatformCollector, GCCollector)]
        registry.register(_Labelled(own, scrape.metering.labels))
    return generate_latest(registry).decode()


class _Labelled:
    """Gives the samples of collectors the labels of the configuration."""

    def __init__(self, collectors: Iterable[object], labels: Mapping[str, str]) -> None:
        self._collectors, self._labels = collectors, dict(labels)

    def collect(self) -> Iterator[Family]:
        """Give each metric."""
        for collector in self._collectors:
            for family in collector.collect():  # type: ignore[attr-defined]  # every collector can
                family.samples = [one._replace(labels=one.labels | self._labels) for one in family.samples]
                yield family


def _values(parts: Parts) -> dict[str, float]:
    """Ask for everything side by side."""
    measures, now = parts.measures, parts.clock()
    questions: tuple[Callable[[], object], ...] = (
        lambda: measures.counts(now),
        measures.table_size,
        measures.queue_depths,
        measures.active_workers,
    )
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        counts, table, depths, active = (one.result() for one in [pool.submit(question) for question in questions])
    return _named(counts, table, depths) | _ours(parts, active)  # type: ignore[arg-type]  # as the questions are typed


def _named(counts: Counts, table: TableSize, depths: Mapping[str, float]) -> dict[str, float]:
    return (
        dict(counts.counters)
        | {f"directory_{name}": files for name, files in counts.directories.items()}
        | ({} if counts.overdue is None else {counting.OVERDUE: counts.overdue})
        | dict(counts.oldest)
        | {counting.LAG: counts.lag}
        | {f"queue_{name}": waiting for name, waiting in depths.items()}
        | {"state_entries": table.entries, "state_bytes": table.bytes}
    )


def _ours(parts: Parts, active: float) -> dict[str, float]:
    most, vitals = parts.config.serving.max_workers, parts.local.vitals()
    return (
        {counting.ACTIVE_WORKERS: active}
        | ({} if most is None else {counting.MAX_WORKERS: most})
        | {"memory_bytes": vitals.memory_bytes, "heap_bytes": vitals.heap_bytes}
        | {"stack_bytes": vitals.stack_bytes, "threads": vitals.threads}
    )


def _family(metric: Metric, values: Mapping[str, float]) -> Family | None:
    """Make a metric of the values; ``None`` for a gauge that was not measured."""
    name = metric.prometheus.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.prometheus
    family = Family(name, f"{metric.meaning}.", metric.kind)
    for label, names in metric.counted.items():
        if metric.kind in {Kind.COUNTER, Kind.UNKNOWN} or any(one in values for one in names):
            labels = {metric.label: label} if metric.label else {}
            family.add_sample(metric.prometheus, labels, sum(values.get(one, 0) for one in names))
    for label, prefix in metric.samples.items():
        _add_histogram(family, {metric.label: label} if metric.label else {}, prefix, values)
    return family if family.samples else None


def _add_histogram(family: Family, labels: Mapping[str, str], prefix: str, values: Mapping[str, float]) -> None:
    total = 0.0
    for bound in (*map(str, counting.bounds(prefix)), "inf"):
        total += values.get(f"{prefix}{bound}", 0)
        edge = "+Inf" if bound == "inf" else bound
        family.add_sample(f"{family.name}_bucket", {**labels, "le": edge}, total)
    family.add_sample(f"{family.name}_count", dict(labels), total)
    family.add_sample(f"{family.name}_sum", dict(labels), values.get(f"{prefix}sum", 0))


def _build_info() -> Family:
    family = GaugeMetricFamily(BUILD_INFO, "The version that answers.", labels=["version"])
    family.add_metric([__version__], 1)
    return family
