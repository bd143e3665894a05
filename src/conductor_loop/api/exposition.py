"""Metrics for Prometheus (specification, "Metrics Endpoints"): what the catalogue names, in its text format."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from conductor_loop import __version__, counting
from conductor_loop.api.http import Request, Response
from conductor_loop.api.services import Services
from conductor_loop.catalogue import BUILD_INFO, CATALOGUE, Group, Kind, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(services: Services, request: Request) -> Response:
    """Answer a scrape with one reading of the counters. Raises NotAnswering."""
    del request
    return Response(HTTPStatus.OK, generate_latest(_Scrape(services)).decode(), {"Content-Type": CONTENT_TYPE})


class _Scrape(Collector):
    """One scrape, as Prometheus's library collects it: the stack's metrics, and those of the process that answers."""

    def __init__(self, services: Services) -> None:
        self._metering = services.config.metering
        self._values = _values(services)

    def collect(self) -> Iterator[Family]:
        """Give each metric, its samples with the labels of the configuration."""
        labels = dict(self._metering.labels)
        for family in self._families():
            family.samples = [one._replace(labels=one.labels | labels) for one in family.samples]
            yield family

    def _families(self) -> Iterator[Family]:
        for metric in CATALOGUE:
            if metric.prometheus and self._metering.has(metric.group) and (family := _family(metric, self._values)):
                yield family
        build = GaugeMetricFamily(BUILD_INFO, "The version that answers.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        if self._metering.has(Group.SYSTEM):
            registry = CollectorRegistry()  # the library's own register themselves
            for make in (ProcessCollector, PlatformCollector, GCCollector):
                make(registry=registry)
            yield from registry.collect()


def _values(services: Services) -> dict[str, float]:
    with ThreadPoolExecutor(max_workers=3) as pool:
        asked = pool.submit(services.state.counts, services.clock())
        table, depths = pool.submit(services.state.table_size), pool.submit(services.queues.each)
    counts, most = asked.result(), services.config.serving.max_workers
    return {
        **counts.counters,
        **counts.gauges,
        **table.result(),
        **services.local.vitals(),
        **{f"queue_{name}": waiting for name, waiting in depths.result().items()},
        **({} if most is None else {counting.MAX_WORKERS: most}),
        counting.ACTIVE_WORKERS: counts.counters.get(counting.RUNNING, 0),
        counting.LAG: counts.lag,
    }


def _family(metric: Metric, values: Mapping[str, float]) -> Family | None:
    name = metric.prometheus.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.prometheus
    family = Family(name, f"{metric.meaning}.", metric.kind)
    for label, names in metric.counted.items():
        labels = {metric.label: label} if metric.label else {}
        if metric.kind is Kind.HISTOGRAM:
            _add_histogram(family, labels, names[0], values)
        elif metric.kind is not Kind.GAUGE or any(one in values for one in names):
            family.add_sample(metric.prometheus, labels, sum(values.get(one, 0) for one in names))
    return family if family.samples else None


def _add_histogram(family: Family, labels: Mapping[str, str], prefix: str, values: Mapping[str, float]) -> None:
    total = 0.0
    for bound in (*map(str, counting.bounds(prefix)), "inf"):
        total += values.get(f"{prefix}{bound}", 0)
        edge = "+Inf" if bound == "inf" else bound
        family.add_sample(f"{family.name}_bucket", {**labels, "le": edge}, total)
    family.add_sample(f"{family.name}_count", dict(labels), total)
    family.add_sample(f"{family.name}_sum", dict(labels), values.get(f"{prefix}sum", 0))
