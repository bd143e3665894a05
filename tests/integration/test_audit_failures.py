"""What becomes of an audit entry that cannot be written: it is counted, it stops no intent, and it is written later."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from conductor_loop import handlers, housekeeping, metrics
from conductor_loop.api import handler as api
from conductor_loop.audit import handler
from conductor_loop.audit.events import Calls
from conductor_loop.counting import AUDIT_FAILURES, Counted
from conductor_loop.intents import admit
from conductor_loop.storage import sdk
from conductor_loop.storage.measures import Counters
from tests.factories import World
from tests.integration.conftest import TABLE
from tests.integration.streaming import SHARD, Stream
from tests.integration.test_audit import GROUP
from tests.integration.test_handlers import Context


@pytest.fixture(autouse=True)
def function(world: World, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    del stream  # which is on
    admit.answer(world.app, world.drop(), world.deadline)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CONDUCTOR_AUDIT_LOG", GROUP)
    monkeypatch.setenv("CONDUCTOR_STACK", "a-stack")
    monkeypatch.setenv("CONDUCTOR_STATE_TABLE", TABLE)
    monkeypatch.setenv("CONDUCTOR_AUDIT_RETENTION_DAYS", "90")
    metrics.logger.cache_clear()
    yield
    metrics.logger.cache_clear()
    logger: Any = logging.getLogger(metrics.SERVICE)
    logger.handlers.clear()  # they hold this test's standard output
    logger.init = logger.powertools_handler = False


def failures(printed: str) -> list[float]:
    """Give what was counted, as CloudWatch reads it."""
    documents = [json.loads(line) for line in printed.splitlines() if "_aws" in line]
    assert all(one["environment"] == "a-stack" for one in documents), "as the alarm has it"
    return [one["AuditFailures"] for one in documents if "AuditFailures" in one]


def test_a_batch_that_cannot_be_published_is_counted_and_published_when_it_comes_again(
    aws: boto3.session.Session, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"shardId": SHARD, "Records": [*stream.records]}
    client = aws.client("logs")
    with pytest.raises(ClientError):  # there is no log group
        handler.auditor(event, Context())  # type: ignore[arg-type]
    assert failures(capsys.readouterr().out) == [len(event["Records"])]
    client.create_log_group(logGroupName=GROUP)
    for _ in range(2):
        assert handler.auditor(event, Context()) == {"state": {}}, "as Lambda asks for"  # type: ignore[arg-type]
    assert failures(capsys.readouterr().out) == []
    assert Counters(aws.client("dynamodb"), TABLE).totals().counters["decided"] == 1
    events = client.filter_log_events(logGroupName=GROUP)["events"]
    assert [json.loads(event["message"])["event"] for event in events] == ["processing", "succeeded"]


def test_the_end_of_a_window_which_has_no_records_is_answered(aws: boto3.session.Session) -> None:
    del aws
    event = {"shardId": SHARD, "Records": [], "isFinalInvokeForWindow": True}
    assert handler.auditor(event, Context()) == {"state": {}}  # type: ignore[arg-type]


def test_a_batch_that_does_not_name_its_shard_fails(aws: boto3.session.Session, stream: Stream) -> None:
    """Records of two shards have no order: some would be taken for others that are counted already."""
    with pytest.raises(KeyError, match="shardId"):
        handler.auditor({"Records": [*stream.records]}, Context())  # type: ignore[arg-type]
    assert Counters(aws.client("dynamodb"), TABLE).totals().counters == {}


def test_as_a_new_shard_begins_those_that_are_over_are_folded(
    aws: boto3.session.Session, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.client("logs").create_log_group(logGroupName=GROUP)
    folded: list[float] = []
    monkeypatch.setattr(Counters, "fold", lambda _, now, __: folded.append(now))
    for records in ([*stream.records], [*stream.records], []):
        handler.auditor({"shardId": SHARD, "Records": records}, Context())  # type: ignore[arg-type]
    assert len(folded) == 1


def test_the_publishing_function_logs_no_lines_of_the_sdk_which_carry_entries_and_credentials(
    aws: boto3.session.Session, stream: Stream, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda sets the root logger to the function's level, INFO; here it is the lowest."""
    aws.client("logs").create_log_group(logGroupName=GROUP)
    sdk.client.cache_clear()
    for name in ("boto3", "botocore", "urllib3"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    handler.auditor({"shardId": SHARD, "Records": [*stream.records]}, Context())  # type: ignore[arg-type]
    assert {record.name for record in caplog.records if record.name.startswith(("boto", "urllib3"))} == set()


def test_a_configuration_that_cannot_be_noted_is_counted_and_keeps_no_sweep_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no table")

    monkeypatch.setattr(housekeeping, "note_configuration", broken)
    monkeypatch.setattr(handlers, "_app", lambda _: world.app)
    world.noted.clear()
    assert handlers.sweeper({}, Context())["seen"] == 0  # type: ignore[arg-type]
    assert world.noted[0] == Counted({AUDIT_FAILURES: 1})


def test_a_call_that_cannot_be_noted_is_counted_logged_and_noted_with_the_next_one(
    world: World,
    aws: boto3.session.Session,
    stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**_: object) -> None:
        raise ConnectionClosedError(endpoint_url="")

    client, before = aws.client("dynamodb"), len(stream.records)
    calls = Calls(client, TABLE, 7.0)
    monkeypatch.setattr(api, "_calls", lambda *_: calls)
    counted: list[Counted] = []
    services = api.build(world.app.config, counted.append)
    with monkeypatch.context() as down:
        down.setattr(client, "update_item", fail)
        services.record("first", {"by": "token-1"}, 1.0)
    assert (stream.records[before:], counted) == ([], [Counted({AUDIT_FAILURES: 1})])
    assert "tried again" in caplog.text
    services.record("second", {"by": "token-1"}, 2.0)
    noted = [one["dynamodb"]["NewImage"]["pk"]["S"] for one in stream.records[before:]]
    assert (noted, len(counted)) == (["audit#api/first", "audit#api/second"], 1)
