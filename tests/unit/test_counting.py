import pytest

from conductor_loop.counting import RULES, Journey, age, count, refused
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.model import Outcome
from conductor_loop.validation.rules import CHECKS

SUCCESS = Outcome({"status": "success", "mode": "direct"}, "processed")
ERROR = {"code": "E014", "error_code": "NETWORK_ERROR"}
FAILURE = Outcome({"status": "failed", "mode": "direct", "error_details": ERROR}, "failed")
RETRY = {"status": "timeout", "mode": "structured", "error_details": ERROR, "next_retry": "2026-11-23T03:00:30Z"}


def test_a_decision_counts_its_status_its_move_and_its_times() -> None:
    counted = count(SUCCESS, Journey(0.25, 1.5, waited=12.0, priority=Priority.HIGH))
    assert counted.samples == {"processing_": 0.25, "porch_": 1.5, "queueing_high_": 12.0}
    assert counted.tally == {
        "decided": 1,
        "files_success": 1,
        "moves_processed": 1,
        "processing_1": 1,
        "processing_sum": 0.25,
        "queueing_high_60": 1,
        "queueing_high_sum": 12.0,
        "runs_direct": 1,
        "porch_5": 1,
        "porch_sum": 1.5,
    }


def test_a_failure_counts_its_code() -> None:
    tally = count(FAILURE, Journey(3)).tally
    assert (tally["errors_E014"], tally["moves_failed"], "runs_direct" in tally) == (1, 1, False)


def test_an_attempt_that_is_made_again_is_no_decision() -> None:
    tally = count(Outcome(RETRY, "failed"), Journey(31, 30)).tally
    assert "decided" not in tally
    assert (tally["retried"], tally["timeouts"], tally["porch_inf"], tally["errors_E014"]) == (1, 1, 1, 1)


@pytest.mark.parametrize(("seconds", "bucket"), [(1, "1"), (1.001, "5"), (10, "10"), (10.1, "inf")])
def test_a_time_falls_into_the_first_bucket_that_is_large_enough(seconds: float, bucket: str) -> None:
    assert count(SUCCESS, Journey(seconds)).tally[f"processing_{bucket}"] == 1


@pytest.mark.parametrize(
    ("demoted", "counted"),
    [
        (Priority.CRITICAL, {"demoted_critical"}),
        (Priority.HIGH, {"demoted_high"}),
        (Priority.LOW, set()),  # the sweeper treats it as normal, which is no less
        (None, set()),
    ],
)
def test_a_demotion_is_counted_by_what_was_asked_for(demoted: Priority | None, counted: set[str]) -> None:
    tally = count(SUCCESS, Journey(1, demoted=demoted)).tally
    assert {name for name in tally if name.startswith("demoted")} == counted


def test_a_clock_of_s3_that_is_ahead_makes_no_negative_time() -> None:
    assert count(SUCCESS, Journey(1, waited=-0.2)).samples["queueing_normal_"] == 0


def test_a_clock_that_is_set_back_makes_no_negative_time() -> None:
    counted = count(SUCCESS, Journey(-2.0, -1.0))
    assert not any(counted.samples.values())
    assert (counted.tally["processing_sum"], counted.tally["porch_sum"]) == (0, 0)


def test_a_put_whose_time_says_nothing_has_no_time_in_queues() -> None:
    waited = age(Handoff("b", "intent-a.json", "v1", event_time="soon"), 1e9)
    assert not [name for name in count(SUCCESS, Journey(1, waited=waited)).tally if name.startswith("queueing")]


def test_what_looks_like_an_attack_is_counted_apart() -> None:
    error = {"code": "E003", "error_code": "SECURITY_VIOLATION"}
    attack = Outcome({"status": "failed", "error_details": error}, "failed")
    assert count(attack, Journey(1)).tally["attacks"] == 1
    assert "attacks" not in count(FAILURE, Journey(1)).tally
    assert refused(Cause.SECURITY_VIOLATION).tally == {"errors_E003": 1, "attacks": 1}


def test_an_intent_that_is_refused_counts_each_rule_that_it_broke_once_and_no_name_but_known_ones() -> None:
    rules = ["blocked_characters", "blocked_characters", "max_depth", "type", "anything else"]
    expected = {"refusals_blocked_characters": 1, "refusals_max_depth": 1}
    broken = [{"path": "$", "rule": rule, "message": ""} for rule in rules]
    details = {"code": "E003", "error_code": "SECURITY_VIOLATION", "validation_errors": broken}
    outcome = Outcome({"status": "failed", "error_details": details}, "failed")
    for tally in (count(outcome, Journey(1)).tally, refused(Cause.SECURITY_VIOLATION, rules).tally):
        assert {name: count for name, count in tally.items() if name.startswith("refusals_")} == expected


def test_the_rules_that_are_counted_by_name_are_rules_of_the_validation() -> None:
    assert set(RULES) <= frozenset().union(*CHECKS.values())
