"""What is counted of each attempt, in the transaction that ends it, so that counts and outcomes cannot disagree."""

from dataclasses import dataclass

from conductor_loop.errors import Cause
from conductor_loop.lifecycle import Outcome

BUCKETS = (1, 5, 10)  # seconds: the specification's upper bounds, and infinity
FILES, ERRORS, MOVES, RUNS = "files_", "errors_", "moves_", "runs_"
PROCESSING, PORCH = "processing_", "porch_"  # of histograms
TIMEOUTS, DECIDED, RETRIED = "timeouts", "decided", "retried"
SECURITY = "attacks"  # intents that looked like one; the row knows when the last one came, too

type Tally = dict[str, float]
"""How much each counter grows."""


@dataclass(frozen=True, slots=True)
class PorchRun:
    """One run of porch."""

    mode: str
    seconds: float
    timed_out: bool = False


def decided(outcome: Outcome, seconds: float, run: PorchRun | None = None) -> Tally:
    """Count a decision that was made after so many seconds."""
    status, error = outcome.status, outcome.status.get("error_details", {})
    counted = {DECIDED: 1, f"{FILES}{status['status']}": 1, f"{MOVES}{outcome.archive}": 1}
    if "code" in error:
        counted[f"{ERRORS}{error['code']}"] = 1
    if error.get("error_code") == Cause.SECURITY_VIOLATION:
        counted[SECURITY] = 1
    return counted | _histogram(PROCESSING, seconds) | _porch(run)


def retried(outcome: Outcome, run: PorchRun) -> Tally:
    """Count an attempt that is made again."""
    return {RETRIED: 1, f"{ERRORS}{outcome.status['error_details']['code']}": 1} | _porch(run)


def _porch(run: PorchRun | None) -> Tally:
    if run is None:
        return {}
    late = {TIMEOUTS: 1} if run.timed_out else {}
    return {f"{RUNS}{run.mode}": 1} | late | _histogram(PORCH, run.seconds)


def _histogram(name: str, seconds: float) -> dict[str, float]:
    """Count the bucket that a time falls into; readers add them up."""
    bound = next((str(bound) for bound in BUCKETS if seconds <= bound), "inf")
    return {f"{name}{bound}": 1, f"{name}sum": round(seconds, 3)}
