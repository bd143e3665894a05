"""An intent that waits for long: its message is sent anew again and again, which Lambda takes for a loop."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import Deployed, until

pytestmark = pytest.mark.long  # a quarter of an hour, poll by poll

# In a quarter of an hour: one each five seconds, on average. After ten the message is sent anew.
RECEIVES = 10 * 17


@contextmanager
def held(deployed: Deployed, target: str) -> Iterator[None]:
    """Hold a target, as a worker of another intent does."""
    key = {"pk": {"S": f"target#e2e/{target}"}, "sk": {"S": "-"}}
    lease = {"rev": {"N": "1"}, "number": {"N": "0"}, "lease_expires_at": {"N": str(time.time() + 3600)}}
    deployed.dynamodb.put_item(TableName=deployed.outputs["StateTable"], Item=key | lease)
    yield
    deployed.dynamodb.delete_item(TableName=deployed.outputs["StateTable"], Key=key)


@contextmanager
def terminated(deployed: Deployed) -> Iterator[None]:
    """Take the permission to run in a loop from the function."""
    name = deployed.outputs["ConductorFunction"]
    deployed.functions.put_function_recursion_config(FunctionName=name, RecursiveLoop="Terminate")
    yield
    deployed.functions.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")


def let_messages_wait(deployed: Deployed, seconds: float) -> None:
    datum: Any = {"MetricName": "SecondsPassedInQueues", "Value": seconds}
    deployed.cloudwatch.put_metric_data(Namespace="EmulatedTime", MetricData=[datum])


def received(deployed: Deployed, file: str) -> int:
    """Count how often the function has had a message, and found that it is to wait."""
    pages = deployed.logs.get_paginator("filter_log_events").paginate(
        logGroupName=deployed.outputs["ConductorLogGroup"], filterPattern='"not now"'
    )
    return sum(file in event["message"] for page in pages for event in page["events"])


def refused(deployed: Deployed) -> bool:
    metrics = deployed.cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="RecursiveInvocationsDropped")
    return bool(metrics["Metrics"])


def wait_long(deployed: Deployed, file: str) -> None:
    """Let a quarter of an hour pass for a message, poll by poll; or until it is refused."""

    steps = itertools.count(1)

    def over() -> bool:
        let_messages_wait(deployed, 5)
        if next(steps) % 20:  # to count takes longer than to wait
            return False
        return refused(deployed) or received(deployed, file) >= RECEIVES

    until(over, 600)


def test_an_intent_whose_target_is_held_for_a_quarter_of_an_hour_ends_well(deployed: Deployed) -> None:
    with held(deployed, "patient"):
        deployed.put("intent-patient.json", target="patient")
        wait_long(deployed, "intent-patient.json")
        assert received(deployed, "intent-patient.json") >= RECEIVES
        assert not refused(deployed)
    let_messages_wait(deployed, 5)
    deployed.wait_for("intent-patient.json")
    status = deployed.status("intent-patient.json")
    assert (status["status"], status["attempt"]) == ("success", 1)


def test_without_the_permission_lambda_blocks_its_message(deployed: Deployed) -> None:
    with terminated(deployed), held(deployed, "blocked"):
        deployed.put("intent-blocked.json", target="blocked")
        wait_long(deployed, "intent-blocked.json")
        assert refused(deployed)
        assert received(deployed, "intent-blocked.json") < RECEIVES
    assert not deployed.answered("intent-blocked.json")
    let_messages_wait(deployed, 3600)
    deployed.wait_for("intent-blocked.json")
