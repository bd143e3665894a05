"""What the deployed stack reports of known traffic, and which alarms a failure sets off."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pytest

from conductor_loop.catalogue import CATALOGUE, Kind
from dev.stack import ROOT, Stack, free_port
from tests.e2e.conftest import Deployed, until
from tests.e2e.failures import SLOW, Failures
from tests.e2e.watching import Subscribed, Watched


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Give a stack of its own, where nothing else is counted."""
    port = free_port()
    porch = Stack(port).home / "porch"
    parameters = {"PorchPath": str(porch / "porch"), "MaxReceives": "12", "FunctionTimeout": "60"}
    parameters |= {"CriticalPrincipals": "AWS:none", "AlarmEmail": "operator@example.com"}
    configuration = {"processing": {"retry_delay": "1s", "retry_attempts": 2, "high_per_minute": 1}}
    environment = {"LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.3"}  # a minute on AWS
    stack = Stack(port, parameters, configuration, environment)
    shutil.copytree(ROOT / "tests/e2e/porch", porch)
    (porch / "bundled-porch").symlink_to(stack.home / "build/PorchLayer/bin/porch")
    try:
        yield Watched(Deployed(stack, stack.up()))
    finally:
        if os.environ.get("KEEP_STACK") != "1":
            stack.down()


pytestmark = pytest.mark.long  # a hundred intents, and each alarm


def drop(deployed: Deployed, kind: str, number: int, **fields: Any) -> list[str]:
    files = [f"intent-{kind}-{one}.json" for one in range(number)]
    for one, file in enumerate(files):
        deployed.put(file, target=f"{kind}-{one}", **fields)
    return files


def drop_a_hundred(deployed: Deployed) -> list[str]:
    """Put intents whose outcomes are known; those that are answered in the end."""
    files = drop(deployed, "good", 38) + drop(deployed, "low", 4, priority="low")
    files += drop(deployed, "critical", 10, priority="critical")  # which no principal may use
    files += drop(deployed, "high", 4, priority="high")  # more than there may be in a minute
    files += drop(deployed, "flaky", 10)  # fails twice
    files += drop(deployed, "broken", 5)  # fails always
    files += drop(deployed, "slow", 5, timeout="5s")  # times out once
    files += drop(deployed, "stuck", 2, timeout="1s")  # times out always
    files += drop(deployed, "many", 8, replicas=100_000)
    files += drop(deployed, "attack", 2, reason="$(reboot)")
    for one in range(4):
        files.append(f"intent-text-{one}.json")
        deployed.s3.put_object(Bucket=deployed.bucket, Key=files[-1], Body=b"no json")
    for one in range(2):
        deployed.put(f"intent-first-{one}.json", correlation_id=f"c-{one}")
    deployed.wait_for("intent-first-0.json", "intent-first-1.json")
    for one in range(2):
        files.append(f"intent-second-{one}.json")
        deployed.put(files[-1], correlation_id=f"c-{one}")
    versions = {}
    with deployed.deaf():
        for one in range(2):
            file = f"intent-twice-{one}.json"
            versions[file] = [deployed.put(file, replicas=replicas) for replicas in (1, 2)]
    for file, (older, newer) in versions.items():
        deployed.invoke(file, older)
        deployed.invoke(file, newer)
    return [*files, *versions]


# Of the hundred, and of three more that the API refuses.
DECIDED = {"success": 75, "failed": 21, "timeout": 2, "skipped": 2}
ERRORS = {"E001": 4, "E003": 8 + 2 + 3, "E004": 2, "E007": 5 + 2 * 3, "E014": 10 * 2 + 5 * 3}
RETRIED = 10 * 2 + 5 * 2 + 5 + 2 * 2
FIRST = 38 + 4 + 10 + 4 + 10 + 5 + 5 + 2 + 2 + 2  # attempts; what is refused or skipped has none
RUNS = FIRST + RETRIED
KNOWN = {
    "ValidationErrors": 4 + 13 + 2,
    "ConfigurationErrors": 11,
    "AttemptsRetried": RETRIED,
    "PorchTimeouts": 11,
    "SecurityViolations": 2,
}


@pytest.fixture(scope="module")
def traffic(watched: Watched) -> Watched:
    """Send the hundred, and wait until each is answered."""
    files = drop_a_hundred(watched.deployed)
    for number in range(3):
        body = json.dumps({"intent_type": "scaling", "target": "a", "namespace": "b", "replicas": -number - 1})
        assert watched.caller.ask("POST", "/intents", body.encode()).status == 400
    watched.deployed.wait_for(*files, seconds=400)
    until(lambda: watched.sums()[1]["SettlingDuration",] == 100, 30)  # the last lines are on their way
    errors = sum(ERRORS.values())
    until(lambda: sum(n for name, n in watched.scrape().items() if "errors_total" in name) == errors, 60)  # counted
    return watched


class TestNumbers:
    def test_every_sum_of_the_metric_lines_is_the_known_number(self, traffic: Watched) -> None:
        sums, times = traffic.sums()
        assert {key[1]: sums[key] for key in sums if key[0] == "FilesProcessed"} == DECIDED
        assert {key[1]: sums[key] for key in sums if key[0] == "Errors"} == ERRORS
        assert {name: sums[name,] for name in KNOWN} == KNOWN
        assert sums["PorchExecutions", "structured"] == times["PorchExecutionDuration",] == RUNS
        assert sum(DECIDED.values()) == times["ProcessingDuration",] == times["SettlingDuration",] == 100
        waited = {key[1]: count for key, count in times.items() if key[0] == "QueueingDuration"}
        demoted = self.demoted(traffic.deployed)
        assert {key[1]: sums[key] for key in sums if key[0] == "Demotions"} == demoted
        assert demoted["critical"] == 10
        assert waited == {"high": 4 - demoted["high"], "normal": FIRST - 8 + demoted["high"], "low": 4}
        quiet = ("ResourceErrors", "SweepFailures", "RedeliveredHandoffs", "ConfigurationsRefused", "AuditFailures")
        assert not any(sums[name,] for name in quiet)

    def test_every_counter_at_metrics_is_the_known_number(self, traffic: Watched) -> None:
        reported = traffic.scrape()
        assert (
            reported.items()
            >= {f'conductor_files_processed_total{{status="{one}"}}': n for one, n in DECIDED.items()}.items()
        )
        errors = {
            name: count for name, count in reported.items() if name.startswith("conductor_errors_total") and count
        }
        assert errors == {f'conductor_errors_total{{code="{code}"}}': count for code, count in ERRORS.items()}
        assert (
            reported.items()
            >= {
                "conductor_attempts_retried_total": RETRIED,
                "conductor_porch_timeout_total": 11,
                "conductor_security_violations_total": 2,
                'conductor_porch_executions_total{mode="structured"}': RUNS,
                'conductor_porch_executions_total{mode="direct"}': 0,
                "conductor_porch_execution_duration_seconds_count": RUNS,
                "conductor_files_processing_duration_seconds_count": 100,
                'conductor_state_operations_total{operation="load"}': 100 + RETRIED,
                'conductor_state_operations_total{operation="save"}': 100 + RETRIED,
                'conductor_state_operations_total{operation="cleanup"}': 0,
                'conductor_file_operations_total{operation="move_processed"}': 77,
                'conductor_file_operations_total{operation="move_failed"}': 23,
                'conductor_file_operations_total{operation="cleanup"}': 100,
                "conductor_queue_size": 0,
                "conductor_dead_letters": 0,
                "conductor_active_workers": 0,
                "conductor_counters_lag_seconds": pytest.approx(0, abs=30),
            }.items()
        )

    def test_both_report_the_same_of_what_both_have(self, traffic: Watched) -> None:
        reported, (sums, times) = traffic.scrape(), traffic.sums()
        compared = 0
        for metric in CATALOGUE:
            for value in metric.values if metric.emf and metric.prometheus else ():
                key, labels = (
                    (metric.emf, *([value] if value else [])),
                    f'{{{metric.label}="{value}"}}' if value else "",
                )
                if metric.kind is Kind.COUNTER:
                    assert reported[metric.prometheus + labels] == sums.get(key, 0), key
                    compared += 1
                if metric.kind is Kind.HISTOGRAM:
                    assert reported[f"{metric.prometheus}_count{labels}"] == times.get(key, 0), key
                    assert reported[f"{metric.prometheus}_sum{labels}"] == pytest.approx(sums.get(key, 0), abs=1e-6), (
                        key
                    )
                    compared += 2
        assert compared >= 40

    @staticmethod
    def demoted(deployed: Deployed) -> dict[str, int]:
        """Count the statuses that say so."""
        keys = [key for key in deployed.keys("status/") if "-critical-" in key or "-high-" in key]
        reported = [json.loads(deployed.read(key))["message"] for key in keys]
        return dict(Counter(key.split("-")[1] for key, text in zip(keys, reported, strict=True) if "as normal" in text))


WAKING = {"OldestHighAlarm", "OldestNormalAlarm", "OldestLowAlarm", "OverdueAlarm", "ConductorThrottleAlarm"}
"""No intent is answered while they are on; and while dead letters lie there, or no sweeps run."""


@dataclass
class Operator:
    """Sees each failure set off its own alarms, and sees them over before the next."""

    watched: Watched
    reported: Subscribed

    @cached_property
    def failures(self) -> Failures:
        return Failures(self.watched)

    def expect(self, alarm: str, *others: str) -> None:
        self.reported.expect(alarm, *others, *(["NotAnsweringAlarm"] if alarm in WAKING else []))
        self.see_it_over()

    def see_it_over(self) -> None:
        until(self.failures.is_over, 120)

    def repeat(self, fail: Callable[[], object], alarm: str) -> None:
        """Let something fail in one period after the other, until its alarm is notified."""

        def once() -> bool:
            fail()
            self.watched.let_pass(0)  # and evaluate
            if alarm in self.reported.alarms():
                return True
            self.failures.sweep()
            self.watched.let_pass(300)
            return False

        until(once, 120)

    def is_reported_an_hour_later(self, alarm: str) -> bool:
        self.watched.let_pass(3600)
        return alarm in self.reported.alarms()


def break_queues(operator: Operator) -> None:
    with operator.failures.left_in("DeadLetterQueue"):
        operator.reported.expect("DeadLetterAlarm", "NotAnsweringAlarm")
    operator.see_it_over()
    with operator.failures.left_in("UnansweredQueue"):
        operator.reported.expect("UnansweredAlarm")
    operator.see_it_over()


def break_intents(operator: Operator) -> None:
    failures = operator.failures
    failures.send("wrong", 6, replicas=-1)
    operator.expect("ValidationErrorAlarm")
    failures.send("stuck", timeout="1s")  # porch takes too long
    operator.expect("ConfigurationErrorAlarm")
    failures.send("full")  # porch finds no space
    operator.expect("ResourceErrorAlarm")
    with failures.emptied("UnansweredQueue"):  # where an event without a consumer goes
        failures.send_with_a_row_without_sense()
        operator.reported.expect("UnreadableRowAlarm", "UnansweredAlarm")
    operator.see_it_over()


def take_away_what_functions_need(operator: Operator) -> None:
    failures, reported = operator.failures, operator.reported
    with failures.wrongly_configured():
        until(lambda: bool(not failures.sweep() and reported.alarms()), 60)
    operator.expect("ConfigRefusedAlarm")
    with failures.denied("AuditFunction", "logs:PutLogEvents"):
        failures.send("good")
        reported.expect("AuditFailureAlarm")
    operator.see_it_over()
    with failures.denied("ApiFunction", "dynamodb:Query"):
        operator.repeat(failures.ask, "ApiFailureAlarm")
    operator.expect("ApiFailureAlarm")
    with failures.denied("SweeperFunction", "s3:ListBucketVersions"):
        operator.repeat(failures.sweep, "SweeperErrorAlarm")
    operator.expect("SweeperErrorAlarm")


def break_functions(operator: Operator) -> None:
    failures = operator.failures
    operator.repeat(lambda: failures.crash("ConductorFunction"), "ConductorErrorAlarm")
    operator.expect("ConductorErrorAlarm")
    failures.crash_api()
    operator.expect("ApiErrorAlarm")
    for name in ("Conductor", "Api", "Audit"):
        operator.repeat(partial(failures.throttle, f"{name}Function"), f"{name}ThrottleAlarm")
        operator.expect(f"{name}ThrottleAlarm")
    with failures.paused("SweeperFunction"):
        until(partial(operator.is_reported_an_hour_later, "SweepsStoppedAlarm"), 60)
    operator.expect("SweepsStoppedAlarm", "NotAnsweringAlarm")


class TestAlarms:
    def test_every_failure_sets_off_its_own_alarm_and_no_other_until_it_is_fixed(self, watched: Watched) -> None:
        with Failures(watched).emptied("UnansweredQueue"):  # of what was sent before
            pass
        until(Failures(watched).is_over, 120)
        operator = Operator(watched, watched.subscribe())
        for alarm in SLOW:
            operator.failures.measure(alarm)
            operator.expect(alarm)
        break_queues(operator)
        break_intents(operator)
        take_away_what_functions_need(operator)
        break_functions(operator)
        assert operator.reported.ever == set(watched.states())
