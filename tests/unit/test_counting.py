import pytest

from conductor_loop.counting import PorchRun, decided, retried
from conductor_loop.lifecycle import Outcome, State

SUCCESS = Outcome(State.SUCCEEDED, {"status": "success"}, "processed")
FAILURE = Outcome(State.FAILED, {"status": "failed", "error_details": {"code": "E014"}}, "failed")


def test_a_decision_counts_its_status_its_move_and_its_time() -> None:
    assert decided(SUCCESS, 0.25, PorchRun("direct", 1.5)) == {
        "decided": 1,
        "files_success": 1,
        "moves_processed": 1,
        "processing_1": 1,
        "processing_sum": 0.25,
        "runs_direct": 1,
        "porch_5": 1,
        "porch_sum": 1.5,
    }


def test_a_failure_counts_its_code() -> None:
    counted = decided(FAILURE, 3)
    assert (counted["errors_E014"], counted["moves_failed"], "runs_direct" in counted) == (1, 1, False)


def test_an_attempt_that_is_made_again_is_no_decision() -> None:
    counted = retried(FAILURE, PorchRun("structured", 30, timed_out=True))
    assert "decided" not in counted
    assert (counted["retried"], counted["timeouts"], counted["porch_inf"], counted["errors_E014"]) == (1, 1, 1, 1)


@pytest.mark.parametrize(("seconds", "bucket"), [(1, "1"), (1.001, "5"), (10, "10"), (10.1, "inf")])
def test_a_time_falls_into_the_first_bucket_that_is_large_enough(seconds: float, bucket: str) -> None:
    assert decided(SUCCESS, seconds)[f"processing_{bucket}"] == 1


def test_what_looks_like_an_attack_is_counted_apart() -> None:
    error = {"code": "E003", "error_code": "SECURITY_VIOLATION"}
    attack = Outcome(State.FAILED, {"status": "failed", "error_details": error}, "failed")
    assert decided(attack, 1)["attacks"] == 1
    assert "attacks" not in decided(FAILURE, 1)
