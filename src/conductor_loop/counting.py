"""What is counted: for CloudWatch as it happens, and by AuditFunction from the rows that tell of it.

The names of a tally are attributes of the counter rows; ``catalogue`` says which metrics are made of them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.model import Outcome

_BOUNDS = (1, 5, 10)  # seconds: the specification's upper bounds, and infinity
_WAITS = (1, 10, 60, 300, 900)  # seconds, of the time in queues, and infinity
FILES, ERRORS, MOVES, RUNS, DEMOTED = "files_", "errors_", "moves_", "runs_", "demoted_"
PROCESSING, PORCH, QUEUEING, SETTLING = "processing_", "porch_", "queueing_", "settling_"  # of histograms
TIMEOUTS, DECIDED, RETRIED = "timeouts", "decided", "retried"
SECURITY = "attacks"  # intents that looked like one; the row knows when the last one came, too
REFUSALS = "refusals_"  # intents, once for each of these rules that they broke
RULES = (  # those that a sender of honest text may break: a bounded set, since each is a metric that is paid for
    "path_traversal",
    "max_depth",
    "blocked_characters",
    "blocked_keywords",
    "hidden_characters",
    "block_control_chars",
)
SWEPT = "swept_"  # what a sweep has counted, by its name there (``reconcile.Swept``)
UNSETTLED, OVERDUE, REDELIVERED, SWEEP_FAILURES = "swept_seen", "swept_overdue", "swept_redelivered", "swept_failed"
SWEPT_AT, LAG = "swept_at", "counters_lag"  # epoch seconds of the last sweep; seconds that the counters are behind
OLDEST = "oldest_"  # seconds that the oldest intent without an answer has waited, by priority
ACTIVE_WORKERS, MAX_WORKERS = "active_workers", "max_workers"
RUNNING = "running"  # rows in that state: a claim adds one, its release or its takeover takes it away
CONFIG_REFUSED, AUDIT_FAILURES, API_FAILURES = "config_refused", "audit_failures", "api_failures"
STATE_CORRUPTED = f"{ERRORS}E009"

type Tally = Mapping[str, float]
"""How much each counter grows."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one event adds to the metrics."""

    tally: Tally = field(default_factory=dict)  # with the histograms of the samples
    samples: Mapping[str, float] = field(default_factory=dict)  # seconds, by the prefix of their histogram


@dataclass(frozen=True, slots=True)
class Journey:
    """How a handoff came to its answer: what was asked for, and how long it took. Times are in seconds."""

    seconds: float  # from the beginning of the invocation to the end of the attempt
    porch_seconds: float | None = None  # None: porch was not started
    waited: float | None = None  # from the put to the delivery of a first attempt; None: of any other
    priority: Priority = Priority.NORMAL  # that it had
    demoted: Priority | None = None  # that the intent asks for, where it has another one


def count(outcome: Outcome, journey: Journey) -> Counted:
    """Count a decision, or an attempt that is made again."""
    status, error = outcome.status, outcome.status.get("error_details", {})
    tally, samples = dict[str, float](), dict[str, float]()
    if "next_retry" in status:
        tally = {RETRIED: 1, f"{ERRORS}{error['code']}": 1}
    else:
        tally = {DECIDED: 1, f"{FILES}{status['status']}": 1, f"{MOVES}{outcome.archive}": 1}
        rules = [one["rule"] for one in error.get("validation_errors", ())]
        tally |= refused(Cause(error["error_code"]), rules).tally if error else {}
        tally |= {f"{DEMOTED}{journey.demoted}": 1} if journey.demoted in {Priority.CRITICAL, Priority.HIGH} else {}
        samples[PROCESSING] = journey.seconds
    if journey.waited is not None and not math.isinf(journey.waited):
        samples[f"{QUEUEING}{journey.priority}_"] = journey.waited
    if journey.porch_seconds is not None:
        tally |= {f"{RUNS}{status['mode']}": 1} | ({TIMEOUTS: 1} if status["status"] == "timeout" else {})
        samples[PORCH] = journey.porch_seconds
    samples = {name: max(seconds, 0.0) for name, seconds in samples.items()}  # clocks are set back, S3's may be ahead
    for name, seconds in samples.items():
        bound = next((str(bound) for bound in bounds(name) if seconds <= bound), "inf")  # readers add buckets up
        tally |= {f"{name}{bound}": 1, f"{name}sum": round(seconds, 3)}
    return Counted(tally, samples)


def refused(cause: Cause, rules: Iterable[str] = ()) -> Counted:
    """Count an intent that was refused before it was put, with the ``rules`` that it broke."""
    broken = {f"{REFUSALS}{rule}": 1 for rule in rules if rule in RULES}
    attack = {SECURITY: 1} if cause is Cause.SECURITY_VIOLATION else {}
    return Counted({f"{ERRORS}{cause.code}": 1} | attack | broken)


def bounds(name: str) -> tuple[int, ...]:
    """Give the upper bounds of a histogram's buckets, in seconds, but for the last one: infinity."""
    return _WAITS if name.startswith(QUEUEING) else _BOUNDS


def age(handoff: Handoff, now: float) -> float:
    """Say how long ago a handoff was put, in seconds; infinitely, where its time says nothing."""
    try:
        return now - datetime.fromisoformat(handoff.event_time).timestamp()
    except ValueError:
        return math.inf
