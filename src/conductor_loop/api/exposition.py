"""Metrics for Prometheus (specification, "Metrics Endpoints"): the counters of the state table, in its text format."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from conductor_loop import __version__, counting
from conductor_loop.api.http import Response
from conductor_loop.api.parts import Counts, Parts, TableSize, Vitals
from conductor_loop.api.route import Call
from conductor_loop.errors import Cause

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUSES = ("success", "failed", "timeout", "skipped")
MODES = ("direct", "structured")
DIRECTORIES = ("handoff", "processed", "failed")
CODES = tuple(sorted({cause.code for cause in Cause} | {f"E{number:03}" for number in range(1, 13)}))
_STATE_CORRUPTED = "E009"


@dataclass(frozen=True, slots=True, eq=False)  # the registry of Prometheus's library keeps it by its identity
class Scrape:
    """Everything that one scrape tells of the stack, and of the process that answers it."""

    counts: Counts
    table: TableSize
    queue_size: int
    active_workers: int
    max_workers: int | None
    vitals: Vitals

    def collect(self) -> "Iterator[Metric]":
        """Give each metric; Prometheus's library calls it."""
        yield from _files(self.counts.counters, self)
        yield from _state(self.counts.counters, self.table)
        yield from _porch(self.counts.counters)
        yield from _file_manager(self.counts)
        yield from _system(self)


def metrics(parts: Parts, call: Call) -> Response:
    """Answer a scrape with one consistent reading of the counters. Raises NotAnswering."""
    del call
    return Response(HTTPStatus.OK, text(_scrape(parts)), {"Content-Type": CONTENT_TYPE})


def text(scrape: Scrape) -> str:
    """Write a scrape in Prometheus's text format."""
    # Imported here: no other route pays for it.
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(scrape)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return generate_latest(registry).decode()


def _scrape(parts: Parts) -> Scrape:
    """Ask for everything side by side."""
    measures, now = parts.measures, parts.clock()
    questions: tuple[Callable[[], object], ...] = (
        measures.counts,
        measures.table_size,
        measures.queue_size,
        lambda: measures.active_workers(now),
    )
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        counts, table, queue, active = (one.result() for one in [pool.submit(question) for question in questions])
    most, vitals = parts.config.serving.max_workers, parts.local.vitals()
    return Scrape(counts, table, queue, active, most, vitals)  # type: ignore[arg-type]  # as the questions are typed


def _files(counters: Mapping[str, float], scrape: Scrape) -> "Iterator[Metric]":
    yield _counter("conductor_files_processed", "Intents that were decided, by status.", "status", {
        status: counters.get(f"{counting.FILES}{status}", 0) for status in STATUSES
    })  # fmt: skip
    yield _histogram(
        "conductor_files_processing_duration_seconds",
        "Seconds from reading an intent to its decision.",
        counting.PROCESSING,
        counters,
    )
    yield _gauge("conductor_queue_size", "Messages that wait in the queues.", scrape.queue_size)
    yield _gauge("conductor_active_workers", "Intents that are worked on.", scrape.active_workers)
    if scrape.max_workers is not None:
        yield _gauge("conductor_max_workers", "Intents that may be worked on at once.", scrape.max_workers)
    yield _counter("conductor_errors", "Attempts that failed, by error code.", "code", {
        code: counters.get(f"{counting.ERRORS}{code}", 0) for code in CODES
    })  # fmt: skip


def _state(counters: Mapping[str, float], table: TableSize) -> "Iterator[Metric]":
    from prometheus_client.core import Metric  # noqa: PLC0415 - see text

    # Not a gauge: Prometheus's conventions keep _total for counters, and the name is the specification's.
    entries = Metric("conductor_state_entries_total", "Rows of the state table, as counted every six hours.", "unknown")
    entries.add_sample("conductor_state_entries_total", {}, table.entries)
    yield entries
    attempts = counters.get(counting.DECIDED, 0) + counters.get(counting.RETRIED, 0)
    yield _counter("conductor_state_operations", "Operations on rows of intents.", "operation", {
        "load": attempts,  # each attempt begins with its row
        "save": attempts,  # and ends with it
        "cleanup": counters.get(f"{counting.ERRORS}{_STATE_CORRUPTED}", 0),  # rows that made no sense, made anew
    })  # fmt: skip
    yield _gauge(
        "conductor_state_file_size_bytes", "Size of the state table, as measured every six hours.", table.bytes
    )


def _porch(counters: Mapping[str, float]) -> "Iterator[Metric]":
    yield _histogram(
        "conductor_porch_execution_duration_seconds", "Seconds that a run of porch took.", counting.PORCH, counters
    )
    yield _counter("conductor_porch_timeout", "Runs of porch that ran out of time.", "", {
        "": counters.get(counting.TIMEOUTS, 0)
    })  # fmt: skip
    yield _counter("conductor_porch_executions", "Runs of porch, by mode.", "mode", {
        mode: counters.get(f"{counting.RUNS}{mode}", 0) for mode in MODES
    })  # fmt: skip


def _file_manager(counts: Counts) -> "Iterator[Metric]":
    counters = counts.counters
    yield _counter("conductor_file_operations", "Inputs that were moved, or removed from the root.", "operation", {
        "move_processed": counters.get(f"{counting.MOVES}processed", 0),
        "move_failed": counters.get(f"{counting.MOVES}failed", 0),
        "cleanup": counters.get(counting.DECIDED, 0),  # each one is removed from the root once it is answered
    })  # fmt: skip
    known = {name: counts.directories[name] for name in DIRECTORIES if name in counts.directories}
    if known:
        yield _labelled_gauge("conductor_directory_files", "Files, as the sweeper saw them last.", "directory", known)


def _system(scrape: Scrape) -> "Iterator[Metric]":
    yield _labelled_gauge("conductor_build_info", "The version that answers.", "version", {__version__: 1})
    yield _gauge("process_memory_bytes", "Memory of the process that answers.", scrape.vitals.memory_bytes)
    yield _gauge("python_threads", "Threads of the process that answers.", scrape.vitals.threads)


def _gauge(name: str, help_text: str, value: float) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see text

    return GaugeMetricFamily(name, help_text, value=value)


def _labelled_gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see text

    family = GaugeMetricFamily(name, help_text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family


def _counter(name: str, help_text: str, label: str, values: Mapping[str, float]) -> "Metric":
    """Make a counter; an empty ``label`` is for one without any."""
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see text

    family = CounterMetricFamily(name, help_text, labels=[label] if label else [])
    for label_value, value in values.items():
        family.add_metric([label_value] if label else [], value)
    return family


def _histogram(name: str, help_text: str, prefix: str, counters: Mapping[str, float]) -> "HistogramMetricFamily":
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - see text

    total, buckets = 0.0, []
    bounds: Sequence[str] = (*map(str, counting.BUCKETS), "inf")
    for bound in bounds:
        total += counters.get(f"{prefix}{bound}", 0)
        buckets.append(("+Inf" if bound == "inf" else bound, total))
    return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=counters.get(f"{prefix}sum", 0))
