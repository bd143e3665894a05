"""Outcomes as events: the bucket notifies EventBridge, and the rules of examples/outcome-events pass it on."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dev.stack import LOCAL, ROOT
from tests.e2e.conftest import Deployed, until

NAME = "outcome-events"


@pytest.fixture(scope="module")
def queue(deployed: Deployed) -> Iterator[str]:
    """Deploy the example beside the stack, and give its queue's URL.

    Without Slack: the embedded AWS makes no connections and API destinations from a template.
    """
    parameters = [
        f"HandoffBucket={deployed.bucket}",
        "Email=oncall@example.com",
    ]
    command = [
        str(LOCAL / "bin/aws"), "cloudformation", "deploy", "--stack-name", NAME, "--capabilities", "CAPABILITY_IAM",
        "--template-file", str(ROOT / "examples/outcome-events/template.yaml"), "--parameter-overrides", *parameters,
    ]  # fmt: skip
    done = subprocess.run(command, env=deployed.stack.aws_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    client = deployed.stack.session().client("cloudformation", endpoint_url=deployed.stack.endpoint)
    outputs: Any = client.describe_stacks(StackName=NAME)["Stacks"][0]
    yield outputs["Outputs"][0]["OutputValue"]
    client.delete_stack(StackName=NAME)


def received(deployed: Deployed, queue: str) -> list[str]:
    """Take what is in the queue: the keys."""
    messages = deployed.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        deployed.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"])["detail"]["object"]["key"] for message in messages]


def test_each_status_comes_into_the_queue_and_nothing_else(deployed: Deployed, queue: str) -> None:
    deployed.put("intent-reported.json")
    deployed.put("intent-reported-too.json", replicas=-1)
    deployed.wait_for("intent-reported.json", "intent-reported-too.json")
    keys: set[str] = set()

    def all_came() -> bool:
        keys.update(received(deployed, queue))
        return {"status/intent-reported.json.status", "status/intent-reported-too.json.status"} <= keys

    until(all_came, seconds=30)
    assert {key for key in keys if not key.startswith("status/")} == set()
