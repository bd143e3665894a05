"""The Lambda entry point, with the real adapters on moto and the bundled porch."""

import json
import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

from bench.function import received_record
from conductor_loop import handlers, metrics
from conductor_loop.cli import intents as listed
from conductor_loop.cli.logs import readable
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.outcome import Answer
from conductor_loop.storage import sdk
from conductor_loop.storage.queues import SQSQueues
from dev import cost
from tests.factories import BUCKET, World, intent
from tests.unit.test_template import RESOURCES
from tests.writes import claims, made

PORCH = Path(__file__).parents[2] / "layers/porch/bin/porch"
RUNBOOK = Path(__file__).parents[2] / "docs/operations.md"


class Context:
    log_stream_name = "2026/11/23/[$LATEST]abc"
    function_name = "conductor"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    request.getfixturevalue("world")  # moto is up before the function makes its clients
    sdk.end_at(0)  # of the invocation before: each says when it ends itself
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CONDUCTOR_STATE_TABLE", "state")
    monkeypatch.setenv("CONDUCTOR_PORCH_PATH", str(PORCH))
    monkeypatch.setenv("CONDUCTOR_PROCESSING_PRIORITY_QUEUES", "false")
    yield
    handlers._live.cache_clear()
    handlers._built.cache_clear()
    metrics.logger.cache_clear()
    logger: Any = logging.getLogger(metrics.SERVICE)
    logger.handlers.clear()  # they hold this test's standard output
    logger.init = logger.powertools_handler = False  # it is set up anew by the next test


class Queue:
    """A queue on moto, received from as Lambda's poller does."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.url = client.create_queue(QueueName="normal")["QueueUrl"]

    def receive(self) -> list[dict[str, Any]]:
        answer = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        return [received_record(message) for message in answer.get("Messages", [])]


def invoke(*records: dict[str, Any]) -> Any:
    return handlers.conductor({"Records": list(records)}, Context())  # type: ignore[arg-type]


@pytest.fixture
def queue(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Switch the queues on; give the one of priority normal."""
    queue = Queue(aws.client("sqs"))
    monkeypatch.setenv("CONDUCTOR_PROCESSING_PRIORITY_QUEUES", "true")
    monkeypatch.setenv("CONDUCTOR_QUEUE_NORMAL", queue.url)
    return queue


def put(world: World, file: str, body: bytes | None = None) -> dict[str, Any]:
    handoff = world.bucket.drop(BUCKET, file, intent(correlation_id=f"c-{file[7:-5]}") if body is None else body)
    stored = {"key": file, "versionId": handoff.version_id, "sequencer": "0A"}
    return {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-23T03:00:00.000Z",
        "s3": {"bucket": {"name": BUCKET}, "object": stored},
    }


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_answered_with_the_package_of_the_bundled_porch(world: World) -> None:
    record = put(world, "intent-a.json")
    assert list(invoke(record).values()) == ["settled"]
    assert list(invoke(record).values()) == ["duplicate"]
    status = world.status()
    assert status["status"] == "success"
    assert status["worker_id"] == handlers._app(Context.log_stream_name).worker_id
    patch = world.bucket.get(BUCKET, f"{status['package']['prefix']}kustomization.yaml")
    assert b"replicas: 3" in patch


def test_a_log_line_names_the_handoff_who_put_it_and_the_correlation_id(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    record = put(world, "intent-a.json") | {"userIdentity": {"principalId": "AWS:planner"}}
    invoke(record)
    decided = next(line for line in lines(capsys) if line.get("message") == "decided")
    assert (decided["handoff"], decided["principal"]) == ("intent-a.json", "AWS:planner")
    assert decided["version_id"] == record["s3"]["object"]["versionId"]
    assert decided["correlation_id"] == "c-a"


def test_the_first_command_of_the_runbook_says_what_failed_why_and_who_put_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (wanted,) = re.findall(r"logs --since 1h \| grep -E '(.+?)'", RUNBOOK.read_text())
    for file, body in (("intent-a.json", b"{"), ("intent-b.json", None)):
        invoke(put(world, file, body) | {"userIdentity": {"principalId": "AWS:planner"}})
    reported = [readable(line, None) or "" for line in capsys.readouterr().out.splitlines()]
    (failed,) = [line for line in reported if re.search(wanted, line)]
    for part in ("intent-a.json", "error_code=E001", "status_message=", "principal=AWS:planner"):
        assert part in failed


def test_a_decision_is_one_metric_line_and_its_effects_another(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    record = put(world, "intent-a.json")
    invoke(record)
    invoke(record)
    metrics = [line for line in lines(capsys) if "_aws" in line]
    assert len(metrics) == 2
    assert (metrics[0]["status"], metrics[0]["mode"], metrics[0]["FilesProcessed"]) == ("success", "structured", 1)
    reported = [
        {one["Name"] for way in line["_aws"]["CloudWatchMetrics"] for one in way["Metrics"]} for line in metrics
    ]
    assert reported == [
        {"FilesProcessed", "ProcessingDuration", "QueueingDuration", "PorchExecutionDuration", "PorchExecutions"},
        {"SettlingDuration"},
    ]


def test_a_rejected_input_has_no_porch_duration(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    invoke(put(world, "intent-a.json", b"{}"))
    metrics = next(line for line in lines(capsys) if "_aws" in line)
    assert "PorchExecutionDuration" not in metrics


def test_a_neighbour_is_answered_although_one_handoff_cannot_be(world: World) -> None:
    broken = put(world, "intent-a.json")
    broken["s3"]["bucket"] = {"name": "no-such-bucket"}
    with pytest.raises(ExceptionGroup) as caught:
        invoke(broken, put(world, "intent-b.json"))
    assert len(caught.value.exceptions) == 1
    assert world.status("intent-b.json")["status"] == "success"


def test_an_event_that_is_none_of_ours_does_nothing() -> None:
    assert invoke() == {}
    assert handlers.conductor({"Event": "s3:TestEvent"}, Context()) == {}  # type: ignore[arg-type]


def test_an_event_is_queued_and_its_message_is_answered(world: World, queue: Queue) -> None:
    assert list(invoke(put(world, "intent-a.json")).values()) == ["queued"]
    assert invoke(*queue.receive()) == {"batchItemFailures": []}
    assert world.status()["status"] == "success"


def test_a_poisoned_message_does_not_keep_its_neighbours(world: World, queue: Queue) -> None:
    queue.client.send_message(QueueUrl=queue.url, MessageBody="poison")
    invoke(put(world, "intent-a.json"))
    records = queue.receive()
    (poison,) = [record for record in records if record["body"] == "poison"]
    assert invoke(*records) == {"batchItemFailures": [{"itemIdentifier": poison["messageId"]}]}
    assert world.status()["status"] == "success"


def test_an_intent_that_is_tried_again_stays_in_its_queue_and_the_status_says_when(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONDUCTOR_PORCH_PATH", "/no/such/porch")
    invoke(put(world, "intent-a.json"))
    (record,) = queue.receive()
    capsys.readouterr()
    assert invoke(record) == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    status = world.status()
    assert (status["status"], status["retry_count"]) == ("failed", 0)
    assert status["next_retry"] > status["timestamp"]
    assert "intent-a.json" in world.listing()
    assert queue.receive() == [], "invisible until the next attempt is due"
    (reported,) = [line["answer"] for line in lines(capsys) if line.get("message") == "answered"]
    assert re.fullmatch(r"not now, in \d+ s", reported)


@pytest.mark.parametrize("key", ["intent-archive/schema.json", "intent-batch/intent-001.json", "intent-%2F.json"])
def test_an_object_in_a_folder_is_left_alone(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    record = put(world, unquote_plus(key), b"{}")
    record["s3"]["object"]["key"] = key
    monkeypatch.setenv("CONDUCTOR_HANDOFF_BUCKET", BUCKET)
    monkeypatch.setenv("CONDUCTOR_PROCESSING_SWEEP_AFTER", "0s")
    assert invoke(record) == {}
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 90_000)
    assert set(handlers.sweeper({}, Context()).values()) == {0}  # type: ignore[arg-type]
    assert world.listing() == [unquote_plus(key)]
    assert world.bucket.get(BUCKET, unquote_plus(key)) == b"{}"
    assert listed._root(BUCKET, datetime.fromtimestamp(0, UTC), limit=9) == []
    assert queue.receive() == []
    assert not [line for line in lines(capsys) if line.get("message") == "decided"]


def test_a_sweep_hands_over_intents_without_a_row(world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world, "intent-a.json")
    monkeypatch.setenv("CONDUCTOR_HANDOFF_BUCKET", BUCKET)
    monkeypatch.setenv("CONDUCTOR_PROCESSING_SWEEP_AFTER", "0s")
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 2)
    counts = handlers.sweeper({}, Context())  # type: ignore[arg-type]
    assert (counts["seen"], counts["redelivered"]) == (1, 1)
    assert handlers.sweeper({}, Context())["redelivered"] == 0  # type: ignore[arg-type]
    invoke(*queue.receive())
    assert world.status()["status"] == "success"


def test_a_sweep_says_what_it_could_not_look_after(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(world, "intent-a.json")
    monkeypatch.setenv("CONDUCTOR_HANDOFF_BUCKET", BUCKET)
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 1000)
    assert handlers.sweeper({}, Context())["failed"] == 1  # type: ignore[arg-type]
    printed = lines(capsys)
    assert [line["SweepFailures"] for line in printed if "SweepFailures" in line] == [1]
    assert [line["handoff"] for line in printed if line.get("message") == "not reconciled"] == ["intent-a.json"]


def test_a_sweep_that_finds_nothing_costs_what_the_page_of_costs_says(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONDUCTOR_HANDOFF_BUCKET", BUCKET)
    monkeypatch.setenv("CONDUCTOR_WORKERS", "2 4 2 10")
    handlers.sweeper({}, Context())  # type: ignore[arg-type]
    capsys.readouterr()
    made: Counter[str] = Counter()
    for client in (sdk.client("s3"), sdk.client("dynamodb"), sdk.client("sqs", sdk.MESSAGES)):
        client.meta.events.register("before-call", lambda model, **_: made.update([model.name]))
    handlers.sweeper({}, Context())  # type: ignore[arg-type]
    assert made.pop("ListObjectVersions") + made.pop("ListObjectsV2") == cost.SWEEP.s3_writes
    assert made.pop("PutItem") == cost.SWEEP.write_units, "small rows, in no index"
    assert made.pop("Query") + made.pop("GetItem") == cost.SWEEP.read_units
    assert not made
    assert len(capsys.readouterr().out) <= cost.SWEEP.log_bytes
    assert world.listing() == []


def test_a_row_that_makes_no_sense_is_counted_as_the_alarm_reads_it(
    world: World, aws: boto3.session.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    record = put(world, "intent-a.json")
    row = {"pk": {"S": "intent#intent-a.json"}, "sk": {"S": record["s3"]["object"]["versionId"]}}
    aws.client("dynamodb").put_item(TableName="state", Item=row)
    invoke(record)
    watched = RESOURCES["UnreadableRowAlarm"]["Properties"]
    code = {one["Name"]: one["Value"] for one in watched["Dimensions"]}["code"]
    assert [line[watched["MetricName"]] for line in lines(capsys) if line.get("code") == code] == [1]


def test_a_message_that_only_waits_is_sent_anew_before_its_queue_takes_it_for_a_dead_letter(
    world: World, queue: Queue
) -> None:
    event = put(world, "intent-a.json")
    invoke(event)
    rival = Handoff(BUCKET, "intent-b.json", "v1")
    made(world, claims(rival, name="oran-sim/cnf-simulator", at=time.time() + 900))
    (record,) = queue.receive()
    record["attributes"]["ApproximateReceiveCount"] = "9"
    assert invoke(record) == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    record["attributes"]["ApproximateReceiveCount"] = "10"
    assert invoke(record) == {"batchItemFailures": []}
    waiting = queue.client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert waiting["ApproximateNumberOfMessagesDelayed"] == "1"


def test_the_messages_of_a_batch_are_worked_on_side_by_side(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        invoke(put(world, f"intent-{name}.json"))
    records = queue.receive()
    meet = threading.Barrier(len(records), timeout=10)

    def work(*_: Any, **__: Any) -> Answer:
        meet.wait()
        return Answer.SETTLED

    monkeypatch.setattr(admit, "work", work)
    assert (len(records), invoke(*records)) == (3, {"batchItemFailures": []})


@pytest.mark.parametrize(("received", "least", "most"), [("1", 1, 2), ("3", 4, 8), ("40", 450, 900)])
def test_a_message_that_fails_becomes_visible_later_each_time(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, received: str, least: float, most: float
) -> None:
    queue.client.send_message(QueueUrl=queue.url, MessageBody="poison")
    (record,) = queue.receive()
    record["attributes"]["ApproximateReceiveCount"] = received
    delays: list[float] = []
    monkeypatch.setattr(SQSQueues, "extend_visibility", lambda _, __, seconds: delays.append(seconds))
    assert invoke(record) == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert least <= delays[0] <= most


def test_a_message_that_cannot_be_kept_back_fails_alone(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.client.send_message(QueueUrl=queue.url, MessageBody="poison")
    (record,) = queue.receive()
    stale = record | {"receiptHandle": "of-yesterday"}
    assert invoke(stale, record) == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}] * 2}
    (line,) = [line for line in lines(capsys) if line.get("message") == "not kept back"]
    assert (line["message_id"], line["message_body"]) == (record["messageId"], "poison")


def test_every_line_about_an_intent_bears_its_correlation_id_and_the_trace_and_no_other_line_does(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-abc-def;Parent=1;Sampled=1")
    invoke(put(world, "intent-a.json"))
    invoke(put(world, "intent-b.json", b"{"))
    said = [line for line in lines(capsys) if "level" in line]
    reported = {(line["handoff"], line.get("correlation_id")) for line in said if line["message"] != "decided"}
    assert reported == {("intent-a.json", "c-a"), ("intent-b.json", None)}
    assert {line["xray_trace_id"] for line in said} == {"1-abc-def"}


def test_a_batch_that_starts_while_its_configuration_is_throttled_is_delivered_again_within_seconds(
    world: World, queue: Queue, aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        invoke(put(world, f"intent-{name}.json", intent(target=name)))
    records = queue.receive()
    failures = [{"itemIdentifier": record["messageId"]} for record in records]
    delays: list[float] = []
    with throttled(aws, monkeypatch) as reads, monkeypatch.context() as receiving:
        receiving.setattr(SQSQueues, "extend_visibility", lambda _, __, seconds: delays.append(seconds))
        assert invoke(*records) == {"batchItemFailures": failures}, (
            "no error, which would leave them invisible for much longer"
        )
        invoke(records[0] | {"attributes": records[0]["attributes"] | {"ApproximateReceiveCount": "9"}})
    late = delays.pop()
    assert len(delays) == len(records) == 3
    assert all(0 <= seconds <= 30 for seconds in delays)
    assert len(reads) > 4, "it has waited before"
    assert late > 200, "ever later, or it would soon be among the dead letters"
    assert [invoke(record) for record in records] == [{"batchItemFailures": []}] * 3
    assert {world.status(f"intent-{name}.json")["status"] for name in "abc"} == {"success"}


def test_an_event_whose_configuration_is_throttled_is_answered_in_its_first_delivery(
    world: World, queue: Queue, aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = put(world, "intent-a.json")
    with throttled(aws, monkeypatch, times=6) as reads:
        assert list(invoke(record).values()) == ["queued"]
    assert len(reads) == 7
    assert len(queue.receive()) == 1


@contextmanager
def throttled(
    aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch, times: float = math.inf
) -> Iterator[list[str]]:
    """Have a function start anew while SSM throttles its first reads; those it makes, and waiting takes no time."""
    aws.client("ssm").put_parameter(Name="/c/config", Value="{}", Type="String")
    monkeypatch.setenv("CONDUCTOR_CONFIG_PARAMETER", "/c/config")
    for cached in (handlers._live, handlers._built):
        cached.cache_clear()
    reads: list[str] = []
    waits: list[float] = []

    def throttle(request: Any, **_: Any) -> AWSResponse | None:
        reads.append(request.url)
        text = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
        return AWSResponse(request.url, 400, HTTPHeaders(), MockRawResponse(text)) if len(reads) <= times else None

    events: Any = sdk.client("ssm", sdk.STARTING).meta.events
    events.register_first("before-send.ssm", throttle)
    with monkeypatch.context() as waiting:
        waiting.setattr("time.monotonic", lambda real=time.monotonic: real() + sum(waits))
        waiting.setattr("time.sleep", waits.append)
        yield reads
    events.unregister("before-send.ssm", throttle)
