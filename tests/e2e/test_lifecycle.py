import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import Deployed, until


def test_a_porch_that_fails_twice_succeeds_in_the_end(deployed: Deployed) -> None:
    deployed.put("intent-flaky.json", target="flaky-one")
    until(lambda: "status/intent-flaky.json.status" in deployed.keys("status/"), 30)
    deployed.wait_for("intent-flaky.json")
    status = deployed.status("intent-flaky.json")
    assert (status["status"], status["retry_count"]) == ("success", 2)
    assert len(deployed.keys("packages/e2e/flaky-one/")) == 2


def test_a_porch_that_never_succeeds_fails_after_the_last_attempt_and_can_be_sent_again(deployed: Deployed) -> None:
    deployed.put("intent-broken.json", target="broken-one", correlation_id="broken-1")
    deployed.wait_for("intent-broken.json")
    first = deployed.status("intent-broken.json")
    assert (first["status"], first["retry_count"], first["error_details"]["code"]) == ("failed", 3, "E014")
    assert deployed.cli("retry", "intent-broken.json").exit_code == 0
    until(lambda: deployed.status("intent-broken.json")["version_id"] != first["version_id"], 30)
    deployed.wait_for("intent-broken.json")
    assert deployed.status("intent-broken.json")["retry_count"] == 3
    versions = deployed.s3.list_object_versions(Bucket=deployed.bucket, Prefix="status/intent-broken.json.status")
    assert len(versions["Versions"]) == 8, "the history is kept: four attempts, twice"


def test_after_a_timeout_the_next_attempt_has_more_time(deployed: Deployed) -> None:
    deployed.put("intent-slow.json", target="slow-one", timeout="2s")
    deployed.wait_for("intent-slow.json")
    status = deployed.status("intent-slow.json")
    assert (status["status"], status["retry_count"]) == ("success", 1)


def test_every_priority_is_answered(deployed: Deployed) -> None:
    files = [f"intent-with-{priority}.json" for priority in ("low", "normal", "high", "critical")]
    for file in files:
        deployed.put(file, priority=file[12:-5])
    deployed.wait_for(*files)
    assert {deployed.status(file)["message"] for file in files} == {
        f"Created package {file[:-5]}-v1.0.0 to scale {file[:-5]} to 2 replicas" for file in files
    }


def test_a_batch_is_worked_on_side_by_side_and_one_poisoned_message_does_not_keep_it(deployed: Deployed) -> None:
    deployed.sqs.send_message(QueueUrl=deployed.outputs["NormalQueue"], MessageBody="poison")
    files = [f"intent-beside-{number}.json" for number in range(20)]
    for file in files:
        deployed.put(file)
    deployed.wait_for(*files)
    assert {deployed.status(file)["status"] for file in files} == {"success"}


@pytest.mark.long
def test_a_correlation_id_that_another_file_uses_is_e004(deployed: Deployed) -> None:
    deployed.put("intent-first.json", correlation_id="shared-1")
    deployed.wait_for("intent-first.json")
    deployed.put("intent-second.json", correlation_id="shared-1")
    deployed.wait_for("intent-second.json")
    assert deployed.status("intent-second.json")["error_details"]["code"] == "E004"


def test_a_lost_event_is_found_by_the_sweeper(deployed: Deployed) -> None:
    with deployed.deaf():
        deployed.put("intent-lost.json")
        deployed.put("stray.txt")
        until(lambda: any("intent-lost" in json.dumps(event) for event in deployed.unanswered_events()), 30)
    until(lambda: _sweep(deployed) or deployed.answered("intent-lost.json"), 90)
    deployed.wait_for("intent-lost.json")
    assert deployed.status("intent-lost.json")["status"] == "success"
    until(lambda: _sweep(deployed) or deployed.answered("stray.txt"), 60)
    assert deployed.status("stray.txt")["error_details"]["error_code"] == "INVALID_NAME"


@pytest.mark.long
def test_of_two_intents_for_one_target_the_older_one_is_skipped_where_it_comes_later(deployed: Deployed) -> None:
    with deployed.deaf():
        older = deployed.put("intent-older.json", target="ordered", replicas=2)
        newer = deployed.put("intent-newer.json", target="ordered", replicas=3)
    deployed.invoke("intent-newer.json", newer, time="2026-11-23T03:00:01.000Z")
    deployed.wait_for("intent-newer.json")
    deployed.invoke("intent-older.json", older, time="2026-11-23T03:00:00.000Z")
    deployed.wait_for("intent-older.json")
    status = deployed.status("intent-older.json")
    assert (status["status"], "intent-newer.json" in status["message"]) == ("skipped", True), status["message"]
    assert b"replicas: 3" in deployed.read("packages/e2e/ordered/ordered-v1.0.0/kustomization.yaml")


def test_a_message_that_keeps_failing_is_a_dead_letter_and_redrive_brings_it_back(deployed: Deployed) -> None:
    dead_letters = deployed.outputs["DeadLetterQueue"]
    with _receives(deployed, "LowQueue", 2), _denied(deployed, "dynamodb:*"):
        deployed.put("intent-dead.json", priority="low")
        until(lambda: _count(deployed, dead_letters) > 0, 60)
    assert "intent-dead.json" in deployed.keys("intent-"), "an intent that could not be tried stays where it is"
    moved = deployed.cli("redrive")
    assert moved.exit_code == 0, moved.output
    deployed.wait_for("intent-dead.json")
    assert deployed.status("intent-dead.json")["status"] == "success"


@pytest.mark.long
def test_status_waits_for_the_file_that_is_in_the_bucket_now(deployed: Deployed) -> None:
    deployed.put("intent-fixed.json", replicas=300)
    deployed.wait_for("intent-fixed.json")
    deployed.put("intent-fixed.json", replicas=3)
    result = deployed.cli("status", "intent-fixed.json", "--wait", "60")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["status"] == "success"


@contextmanager
def _receives(deployed: Deployed, name: str, count: int) -> Iterator[None]:
    """Let a queue hand out a message fewer times than the template says, which would take hours."""
    queue = deployed.outputs[name]
    found = deployed.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]
    few = json.dumps(json.loads(found["RedrivePolicy"]) | {"maxReceiveCount": count})
    deployed.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": few})
    yield
    deployed.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": found["RedrivePolicy"]})


@contextmanager
def _denied(deployed: Deployed, action: str) -> Iterator[None]:
    """Deny the function an action."""
    deployed.grant("denied", {"Effect": "Deny", "Action": action, "Resource": "*"})
    yield
    deployed.grant("denied")


def _count(deployed: Deployed, queue: str) -> int:
    found = deployed.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def _sweep(deployed: Deployed) -> bool:
    deployed.functions.invoke(FunctionName=deployed.outputs["SweeperFunction"], Payload=b"{}")
    return False
