"""Write docs/metrics.md: run `.venv/bin/python -m dev.catalogue` after a change of the catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conductor_loop.catalogue import (
    BUILD_INFO,
    CATALOGUE,
    ENVIRONMENT,
    NAMESPACE,
    Group,
    Metric,
)
from dev.stack import ROOT

DOCUMENT = ROOT / "docs/metrics.md"


@dataclass(frozen=True, slots=True)
class OfAws:
    """A metric that a service of AWS writes, and that our dashboard or an alarm shows."""

    namespace: str
    name: str
    dimension: str
    unit: str
    meaning: str


OF_LIBRARY: Mapping[str, str] = {  # by prometheus_client, which has no list of them; about the process that answers
    "process_cpu_seconds_total": "Processor time",
    "process_max_fds": "Files that may be open",
    "process_open_fds": "Files that are open",
    "process_resident_memory_bytes": "Memory, as process_memory_bytes",
    "process_start_time_seconds": "When it began, in epoch seconds",
    "process_virtual_memory_bytes": "Memory that is addressed",
    "python_gc_collections_total": "Runs of the garbage collector",
    "python_gc_objects_collected_total": "Objects that it collected",
    "python_gc_objects_uncollectable_total": "Objects that it could not collect",
    "python_info": "The version of Python",
}
OF_AWS: tuple[OfAws, ...] = (
    OfAws("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "Count", "Messages that wait"),
    OfAws("AWS/Lambda", "Invocations", "FunctionName", "Count", "Invocations of a function"),
    OfAws("AWS/Lambda", "Errors", "FunctionName", "Count", "Invocations that failed"),
    OfAws("AWS/Lambda", "Throttles", "FunctionName", "Count", "Invocations that found no place"),
    OfAws("AWS/Lambda", "Duration", "FunctionName", "Milliseconds", "How long an invocation took"),
    OfAws("AWS/Lambda", "IteratorAge", "FunctionName", "Milliseconds", "How old the last record of a stream was"),
)


def billed() -> Iterator[tuple[str, str]]:
    """List the CloudWatch metrics that a stack can write: each value of each dimension is one, and is paid for."""
    yield from ((metric.emf, value) for metric in CATALOGUE if metric.emf for value in metric.values)


_HEAD = f"""# Metrics

Made from `src/conductor_loop/catalogue.py` by `.venv/bin/python -m dev.catalogue`; do not edit it by hand.

The same counts reach two places. **Prometheus** reads [`/metrics`](api.md#metrics): counters of the whole stack since
it was made, each counted once from the stream of the state table, usually within seconds; what is not counted yet,
`conductor_counters_lag_seconds` says. **CloudWatch** reads log lines in its embedded metric format, in the namespace
`{NAMESPACE}`: written right after the row is, so a function that is killed between the two leaves one line out.

Every CloudWatch metric has the dimension `{ENVIRONMENT}`, the stack's name, and the label of the tables below. Each
value of a dimension is a metric that is billed: {len(list(billed()))} in all, once everything has happened.
No dimension is an id, a namespace or a target.

`metrics.custom_labels` of the [configuration](configuration.md) are labels of every sample at `/metrics`, and `labels`
of every metric line, where Logs Insights finds them; they make no CloudWatch metrics. `metrics.<group>` switches a
group off, in both places: alarms on its metrics then see nothing. Metrics without a group are written unless
`metrics.enabled` is false; the function that publishes audit entries and counts reads no configuration, and writes its
own anyway.
"""


def document() -> str:
    """Give the text of the document."""
    return "\n".join((_HEAD, *_groups(), *_library(), *_aws())) + "\n"


def _groups() -> Iterator[str]:
    for group in Group:
        yield f"## {f'`metrics.{group}`' if group else 'Without a group'}\n"
        yield "| Prometheus | CloudWatch | unit | label | what | counted in |\n|---|---|---|---|---|---|"
        yield from (_row(metric) for metric in CATALOGUE if metric.group is group)
        yield ""


def _row(metric: Metric) -> str:
    names = [f"`{name}`" if name else "-" for name in (metric.prometheus, metric.emf)]
    label = f"`{metric.label}`: {', '.join(metric.values)}" if metric.label else "-"
    kind = f"{metric.unit} ({metric.kind})"
    return f"| {names[0]} | {names[1]} | {kind} | {label} | {metric.meaning} | {metric.source} |"


def _library() -> Iterator[str]:
    yield "## Beside them, at `/metrics`\n"
    yield "About the copy of the function that answers, which may be another one each time; `metrics.system_metrics`.\n"
    yield "| Prometheus | what |\n|---|---|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in OF_LIBRARY.items())
    yield f"| `{BUILD_INFO}` | `version`: join it to the others; always there |\n"


def _aws() -> Iterator[str]:
    yield "## Beside them, in CloudWatch\n"
    yield "Written by AWS, at no charge; the alarms and the dashboard use them.\n"
    yield "| namespace | metric | dimension | unit | what |\n|---|---|---|---|---|"
    yield from (
        f"| {one.namespace} | `{one.name}` | `{one.dimension}` | {one.unit} | {one.meaning} |" for one in OF_AWS
    )


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document())
    print(f"{DOCUMENT.relative_to(ROOT)}: {len(CATALOGUE)} metrics, {len(list(billed()))} of them billed")


if __name__ == "__main__":
    main()
