"""Every metric there is: what CloudWatch (metrics), Prometheus (api.exposition) and docs/metrics.md are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from conductor_loop import counting as c
from conductor_loop.errors import Cause
from conductor_loop.intent import Priority

NAMESPACE = "ConductorLoop"
ENVIRONMENT = "environment"  # the dimension of every CloudWatch metric: the stack's name
CODES = tuple(sorted({cause.code for cause in Cause} | {f"E{number:03}" for number in range(1, 13)}))
PRIORITIES = tuple(Priority)
STATUSES = ("success", "failed", "timeout", "skipped")
MODES = ("direct", "structured")
DIRECTORIES = ("handoff", "processed", "failed")
QUEUES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


class Kind(StrEnum):
    """What Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UNKNOWN = "unknown"


class Group(StrEnum):
    """What switches it off: ``metrics.<group>`` (specification, "Custom Metrics Configuration")."""

    FILES = "file_processing"
    STATE = "state_management"
    PORCH = "porch_integration"
    MANAGER = "file_manager"
    SYSTEM = "system_metrics"
    ALWAYS = ""  # only metrics.enabled does: an alarm watches it, and it has no place among the specification's


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    ``counted`` has what it is the sum of, by the value of its label: names of the tally, or of the measures; for a
    histogram, the prefix of such names. A metric without a label has one value, "".
    """

    meaning: str
    source: str  # where it is counted
    group: Group
    kind: Kind
    counted: Mapping[str, tuple[str, ...]]
    prometheus: str = ""  # empty: not at /metrics
    emf: str = ""  # empty: not in CloudWatch
    label: str = ""
    unit: str = "Count"  # as CloudWatch writes it

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that the label can have."""
        return tuple(self.counted)


def _each(prefix: str, values: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {str(value): (f"{prefix}{value}",) for value in values}


def _sum(*names: str) -> dict[str, tuple[str, ...]]:
    return {"": names}


def _errors(*numbers: int) -> dict[str, tuple[str, ...]]:
    return _sum(*(f"{c.ERRORS}E{number:03}" for number in numbers))


_DECISION = "the row of the decision, by its stream"
_ATTEMPT = "the row as an attempt ends, by its stream"
_ENDS = (c.DECIDED, c.RETRIED)
_SCRAPE = "at the scrape"
_SWEEP = "each sweep"
_FILES, _STATE, _PORCH, _MANAGER, _SYSTEM, _ALWAYS = Group
_COUNTER, _GAUGE, _HISTOGRAM, _UNKNOWN = Kind
CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "Intents that were decided, by status", _DECISION, _FILES, _COUNTER, _each(c.FILES, STATUSES),
        "conductor_files_processed_total", "FilesProcessed", label="status",
    ),
    Metric(
        "Attempts that failed and are made again", _ATTEMPT, _FILES, _COUNTER, _sum(c.RETRIED),
        "conductor_attempts_retried_total", "AttemptsRetried",
    ),
    Metric(
        "Attempts that failed, and intents that were refused, by error code", f"{_ATTEMPT}; the API, as it refuses one",
        _FILES, _COUNTER, _each(c.ERRORS, CODES), "conductor_errors_total", "Errors", label="code",
    ),
    Metric(
        "Errors E001 to E004: the intent is wrong", "as Errors", _FILES, _COUNTER, _errors(1, 2, 3, 4),
        emf="ValidationErrors",
    ),
    Metric(
        "Errors E005 to E008 and E021: an operator must act", "as Errors", _FILES, _COUNTER, _errors(5, 6, 7, 8, 21),
        emf="ConfigurationErrors",
    ),
    Metric(
        "Errors E010 to E012: something is used up", "as Errors", _FILES, _COUNTER, _errors(10, 11, 12),
        emf="ResourceErrors",
    ),
    Metric(
        "Intents that broke a security rule", "as Errors", _FILES, _COUNTER, _sum(c.SECURITY),
        "conductor_security_violations_total", "SecurityViolations",
    ),
    Metric(
        "Intents that were refused for a rule that honest text may break (docs/validation.md), once for each rule",
        "as Errors", _FILES, _COUNTER, _each(c.REFUSALS, c.RULES), "conductor_refusals_total", "Refusals", label="rule",
    ),
    Metric(
        "Intents that were treated as normal, by the priority they ask for", _DECISION, _FILES, _COUNTER,
        _each(c.DEMOTED, (Priority.CRITICAL, Priority.HIGH)), "conductor_priority_demotions_total", "Demotions",
        label="priority",
    ),
    Metric(
        "Seconds from the start of an invocation to its decision", _DECISION, _FILES, _HISTOGRAM, _sum(c.PROCESSING),
        "conductor_files_processing_duration_seconds", "ProcessingDuration", unit="Seconds",
    ),
    Metric(
        "Seconds from the put to the invocation that makes the first attempt, by the priority the intent has",
        "the row as the first attempt ends, by its stream", _FILES, _HISTOGRAM,
        {str(one): (f"{c.QUEUEING}{one}_",) for one in PRIORITIES}, "conductor_queueing_duration_seconds",
        "QueueingDuration", label="priority", unit="Seconds",
    ),
    Metric(
        "Seconds from the decision to the removed input", "log line, after the last write: the table has no later one",
        _FILES, _HISTOGRAM, _sum(c.SETTLING), emf="SettlingDuration", unit="Seconds",
    ),
    Metric(
        "Messages that wait in the queues", _SCRAPE, _FILES, _GAUGE, _sum(*(f"queue_{one}" for one in QUEUES)),
        "conductor_queue_size",
    ),
    Metric(
        "Messages that wait, by priority", _SCRAPE, _FILES, _GAUGE, _each("queue_", QUEUES), "conductor_queue_messages",
        label="priority",
    ),
    Metric(
        "Messages that failed too often", _SCRAPE, _FILES, _GAUGE, _sum("queue_dead"), "conductor_dead_letters",
    ),
    Metric(
        "Intents that are worked on", f"{_SCRAPE}; {_SWEEP}", _FILES, _GAUGE, _sum(c.ACTIVE_WORKERS),
        "conductor_active_workers", "ActiveWorkers",
    ),
    Metric(
        "Intents that may be worked on at once", f"{_SCRAPE}; {_SWEEP}", _FILES, _GAUGE, _sum(c.MAX_WORKERS),
        "conductor_max_workers", "MaxWorkers",
    ),
    Metric(
        "Inputs in the root, as one sweep saw them", _SWEEP, _STATE, _GAUGE, _sum(c.UNSETTLED), emf="UnsettledHandoffs",
    ),
    Metric(
        "Inputs that have been in the root for more than an hour", _SWEEP, _STATE, _GAUGE, _sum(c.OVERDUE),
        "conductor_overdue_handoffs", "OverdueHandoffs",
    ),
    Metric(
        "Seconds that the oldest intent without an answer has waited, by priority; critical counts as high", _SWEEP,
        _ALWAYS, _GAUGE, _each(c.OLDEST, QUEUES), "conductor_oldest_unanswered_seconds", "OldestUnanswered",
        label="priority", unit="Seconds",
    ),
    Metric(
        "Handoffs that the sweeper handed over again", _SWEEP, _STATE, _COUNTER, _sum(c.REDELIVERED),
        emf="RedeliveredHandoffs",
    ),
    Metric(
        "Handoffs that the sweeper could not reconcile", _SWEEP, _ALWAYS, _COUNTER, _sum(c.SWEEP_FAILURES),
        emf="SweepFailures",
    ),
    Metric(
        "Rows of the state table; DynamoDB counts every six hours", _SCRAPE, _STATE, _UNKNOWN, _sum("state_entries"),
        "conductor_state_entries_total",
    ),
    Metric(
        "load and save: attempts that began with, and ended by writing, their row; cleanup: rows that made no sense, "
        "made anew (E009)",
        f"{_ATTEMPT}; the row that was reset, likewise", _STATE, _COUNTER,
        {"load": _ENDS, "save": _ENDS, "cleanup": (c.STATE_CORRUPTED,)}, "conductor_state_operations_total",
        label="operation",
    ),
    Metric(
        "Size of the state table; DynamoDB measures every six hours", _SCRAPE, _STATE, _GAUGE, _sum("state_bytes"),
        "conductor_state_file_size_bytes", unit="Bytes",
    ),
    Metric(
        "Seconds that a run of porch took", _ATTEMPT, _PORCH, _HISTOGRAM, _sum(c.PORCH),
        "conductor_porch_execution_duration_seconds", "PorchExecutionDuration", unit="Seconds",
    ),
    Metric(
        "Runs of porch that ran out of time", _ATTEMPT, _PORCH, _COUNTER, _sum(c.TIMEOUTS),
        "conductor_porch_timeout_total", "PorchTimeouts",
    ),
    Metric(
        "Runs of porch, by mode", _ATTEMPT, _PORCH, _COUNTER, _each(c.RUNS, MODES), "conductor_porch_executions_total",
        "PorchExecutions", label="mode",
    ),
    Metric(
        "Inputs that were moved to processed/ and failed/; cleanup: removed from the root", _DECISION, _MANAGER,
        _COUNTER,
        {"move_processed": (f"{c.MOVES}processed",), "move_failed": (f"{c.MOVES}failed",), "cleanup": (c.DECIDED,)},
        "conductor_file_operations_total", label="operation",
    ),
    Metric(
        "Files, as the sweeper counted them last; absent until it has", _SWEEP, _MANAGER, _GAUGE,
        _each("directory_", DIRECTORIES), "conductor_directory_files", label="directory",
    ),
    Metric(
        "Seconds that the counters here are behind what has happened", _SCRAPE, _ALWAYS, _GAUGE, _sum(c.LAG),
        "conductor_counters_lag_seconds", unit="Seconds",
    ),
    Metric(
        "Versions of the configuration that were refused", "as one is found", _ALWAYS, _COUNTER, _sum(c.CONFIG_REFUSED),
        emf="ConfigurationsRefused",
    ),
    Metric(
        "Entries of the audit trail that could not be written", "as it fails", _ALWAYS, _COUNTER,
        _sum(c.AUDIT_FAILURES), emf="AuditFailures",
    ),
    Metric(
        "Requests that the API could not answer: 500, or 503 since a service is down", "as it fails", _ALWAYS, _COUNTER,
        _sum(c.API_FAILURES), emf="ApiFailures",
    ),
    Metric(
        "Memory of the process that answers", _SCRAPE, _SYSTEM, _GAUGE, _sum("memory_bytes"), "process_memory_bytes",
        unit="Bytes",
    ),
    Metric(
        "Heap of the process that answers, for go_memstats_heap_inuse_bytes", _SCRAPE, _SYSTEM, _GAUGE,
        _sum("heap_bytes"), "python_heap_inuse_bytes", unit="Bytes",
    ),
    Metric(
        "Stack of the process that answers, for go_memstats_stack_inuse_bytes", _SCRAPE, _SYSTEM, _GAUGE,
        _sum("stack_bytes"), "python_stack_inuse_bytes", unit="Bytes",
    ),
    Metric(
        "Threads of the process that answers, for go_goroutines", _SCRAPE, _SYSTEM, _GAUGE, _sum("threads"),
        "python_threads",
    ),
)  # fmt: skip

BUILD_INFO = "conductor_build_info"  # the version as a label: join it to the others
