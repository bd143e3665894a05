"""The audit trail on moto: published from rows, whatever fails on the way, and verified against what knows of it."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from conductor_loop.audit.entries import Batch, Change, Shard, last_change, link
from conductor_loop.audit.events import Calls, Configurations
from conductor_loop.audit.handler import AuditLog, export, take
from conductor_loop.audit.verify import Known
from conductor_loop.cli import aws as cli_aws
from conductor_loop.cli import main
from conductor_loop.config.typed import Revision
from conductor_loop.errors import Cause, NotAnswering
from conductor_loop.intents import admit
from conductor_loop.storage.measures import Counters
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.integration.interrupting import FAULTS, Interrupter, Killed
from tests.integration.streaming import SHARD, Stream
from tests.long import first

GROUP = "/conductor-loop/conductor-loop/audit"
EXPORT = "audit-export"
ENVIRONMENT = {"CONDUCTOR_STATE_TABLE": TABLE, "CONDUCTOR_QUEUE_NORMAL": "https://normal"}
BATCH = Batch("s", "b", Shard(), Shard(), [link("s", Shard(), Change("config", 1, {}))])


@pytest.fixture(autouse=True)
def stack(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(cli_aws, "outputs", lambda _: {"StateTable": TABLE, "HandoffBucket": BUCKET})
    aws.client("logs").create_log_group(logGroupName=GROUP)
    aws.client("s3").create_bucket(Bucket=EXPORT, ObjectLockEnabledForBucket=True)


@pytest.fixture
def played(world: World, stream: Stream) -> World:
    """Three intents: one that is retried, one that is rejected, one whose priority is denied."""
    del stream  # which is on
    world.clock.now = time.time() - 3600
    world.configure(priority_queues=True)
    world.porch.script = [Cause.NETWORK_ERROR, None]
    bodies = {"retried": intent(), "rejected": b"{", "denied": intent(target="other", priority="critical")}
    for name, body in bodies.items():
        admit.answer(world.app, world.drop(f"intent-{name}.json", body), world.deadline)
    for _ in range(3):
        world.work()
        world.clock.wait(60)
    return world


type Publish = Callable[[], object]


@pytest.fixture
def publish(aws: boto3.session.Session, stream: Stream) -> Publish:
    """Give what does what AuditFunction does, with all that was written."""
    counters = Counters(aws.client("dynamodb"), TABLE)
    log = AuditLog(aws.client("logs"), GROUP, "writer")
    return lambda: take(counters, [log.publish], {"shardId": SHARD, "Records": list(stream.records)}, time.time())


def run(*arguments: str) -> Result:
    more = ("--grace", "0s") if arguments[0] == "verify" else ()  # moto's objects are as old as the test
    return CliRunner().invoke(main, ["audit", *arguments, *more])


def test_what_is_published_is_whole_and_a_batch_that_comes_again_changes_nothing(
    played: World, publish: Publish
) -> None:
    del played
    publish()
    result = run("verify")
    assert (result.exit_code, result.stdout) == (0, "9 entries of 3 chains: no findings\n"), result.output
    publish()
    assert run("verify").stdout == result.stdout


def test_entries_that_never_arrived_are_named(played: World, aws: boto3.session.Session) -> None:
    del played, aws
    result = run("verify")
    assert result.exit_code == 1
    assert "intent-retried.json" in result.stdout
    assert "entry 1 is missing, with 4 behind it" in result.stdout
    assert result.stderr.endswith("3 findings\n")


@pytest.mark.parametrize(
    ("tamper", "found"),
    first(
        (lambda lines: [lines[0].replace("AWS", "aws").replace("queued", "Queued"), *lines[1:]], "1 was altered"),
        (lambda lines: [lines[0], *lines[2:]], "2 is missing"),
        (lambda lines: lines[:-1], "5 is missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "2 stands before entry 1: they were put into another order"),
        (lambda _: [], "1 is missing, with 4 behind it"),
    ),
    ids=["altered", "dropped", "cut off", "swapped", "missing as a whole"],
)
def test_verify_names_the_handoff_and_the_position(
    played: World,
    publish: Publish,
    tmp_path: Path,
    tamper: Callable[[list[str]], list[str]],
    found: str,
) -> None:
    publish()
    shown = shown_of("retried")
    others = [*shown_of("rejected"), *shown_of("denied")]
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join([*others, *shown]))
    assert run("verify", "--file", str(file)).exit_code == 0
    file.write_text("\n".join([*others, *tamper(shown)]))
    result = run("verify", "--file", str(file))
    version = played.status("intent-retried.json")["version_id"]
    assert f"intent-retried.json (version {version}): entry {found}\n" in result.stdout
    assert result.exit_code == 1
    assert "rejected" not in result.stdout
    found_too = json.loads(run("verify", "--file", str(file), "--output", "json").stdout)["findings"][0]
    assert (found_too["chain"], str(found_too["seq"])) == (f"intent/intent-retried.json/{version}", found[0])


def shown_of(name: str) -> list[str]:
    """Give the entries about an intent, as they are kept."""
    return _lines(run("show", f"intent-{name}.json", "--output", "json"))


def _lines(result: Result) -> list[str]:
    return result.stdout.splitlines()


def test_a_row_that_is_removed_with_its_lines_is_missed_by_its_status(
    played: World, aws: boto3.session.Session, publish: Publish, tmp_path: Path
) -> None:
    publish()
    table, version = aws.client("dynamodb"), played.status("intent-rejected.json")["version_id"]
    table.delete_item(TableName=TABLE, Key={"pk": {"S": "intent#intent-rejected.json"}, "sk": {"S": version}})
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join([*shown_of("retried"), *shown_of("denied")]))
    missed = f"intent-rejected.json (version {version}): the entry about its status is missing\n"
    assert run("verify", "--file", str(file)).stdout.startswith(missed)


def test_a_file_that_holds_no_entry_is_refused_as_a_whole(played: World, publish: Publish, tmp_path: Path) -> None:
    del played
    publish()
    file = tmp_path / "README.md"
    file.write_text("# About\n\n{}\n")
    result = run("verify", "--file", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {file}: no line of it is an entry")
    file.write_text("")
    assert "entry 1 is missing" in run("verify", "--file", str(file)).stdout, "an empty export misses what there was"


@pytest.mark.parametrize(
    "altered", first("outcome Created Deleted", "outcome processed failed", "phase succeeded failed")
)
def test_a_row_that_is_altered_is_held_against_its_entries(
    played: World, aws: boto3.session.Session, publish: Publish, altered: str
) -> None:
    publish()
    (field, old, new), version = altered.split(), played.status("intent-retried.json")["version_id"]
    table, key = aws.client("dynamodb"), {"pk": {"S": "intent#intent-retried.json"}, "sk": {"S": version}}
    ((kind, value),) = table.get_item(TableName=TABLE, Key=key)["Item"][field].items()
    assert old in str(value)
    table.update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET #field = :value",
        ExpressionAttributeNames={"#field": field},
        ExpressionAttributeValues={":value": {kind: str(value).replace(old, new)}},
    )
    found = f"intent-retried.json (version {version}): entry 5 is another one than the state table knows"
    assert run("verify").stdout.startswith(found)


def test_a_status_that_is_altered_is_held_against_its_entry(
    played: World, aws: boto3.session.Session, publish: Publish
) -> None:
    publish()
    status = aws.client("s3").get_object(Bucket=BUCKET, Key="status/intent-rejected.json.status")["Body"].read()
    forged = status.replace(b'"failed"', b'"success"')
    aws.client("s3").put_object(Bucket=BUCKET, Key="status/intent-rejected.json.status", Body=forged)
    version = played.status("intent-rejected.json")["version_id"]
    assert run("verify").stdout == (
        f"intent-rejected.json (version {version}): entry 1 is another one than its status knows: it was replaced\n"
    )


def test_an_entry_that_the_table_does_not_know_is_named(
    played: World, aws: boto3.session.Session, publish: Publish
) -> None:
    publish()
    version = played.status("intent-rejected.json")["version_id"]
    last = json.loads(shown_of("rejected")[-1])
    end, change = (
        Shard(entries=last["n"], digest=last["hash"]),
        Change(last["chain"], 2, {"at": "2026", "event": "succeeded"}),
    )
    forged = link(last["shard"], end, change)
    aws.client("logs").put_log_events(
        logGroupName=GROUP, logStreamName="writer", logEvents=[{"timestamp": _now(), "message": forged.text}]
    )
    unknown = f"intent-rejected.json (version {version}): entry 2 is not known to the state table: it was put in"
    assert unknown in _lines(run("verify"))


@pytest.mark.parametrize("chain", first("intent/", "intent//", "intent/a", f"intent/{'a' * 3000}/v", "~"))
def test_a_line_of_a_chain_that_cannot_be_keeps_nothing_from_being_verified(
    played: World, aws: boto3.session.Session, publish: Publish, chain: str
) -> None:
    del played
    publish()
    fields = {"event": ["x"], "intent": "intent-rejected.json"}
    line = json.dumps({"chain": chain, "seq": 1, "shard": "s", "n": 1, "prev": "", "hash": "x", **fields})
    aws.client("logs").put_log_events(
        logGroupName=GROUP, logStreamName="writer", logEvents=[{"timestamp": _now(), "message": line}]
    )
    assert "entry 1 was altered\n" in run("verify").stdout
    assert json.loads(run("verify", "--output", "json").stdout)["findings"][0]["what"] == "was altered"
    (_, shown) = _lines(run("show", "intent-rejected.json"))
    assert "ALTERED" in shown


@pytest.mark.parametrize("body", first(b'{"timestamp": "noon", "intent_file": "a"}', b"{", b"[]", b'{"timestamp": 7}'))
def test_a_status_that_makes_no_sense_is_no_witness(
    played: World, aws: boto3.session.Session, publish: Publish, body: bytes
) -> None:
    del played
    publish()
    aws.client("s3").put_object(Bucket=BUCKET, Key="status/intent-a.json.status", Body=body)
    assert run("verify").exit_code == 0


def test_an_intent_whose_name_is_written_in_another_way_is_shown(world: World, publish: Publish) -> None:
    admit.answer(world.app, world.drop("intent-\u00e9.json"), world.deadline)
    publish()
    assert len(_lines(run("show", "intent-\u00e9.json"))) == 1


def _now() -> int:
    return int(time.time() * 1000)


def test_show_is_for_people(played: World, publish: Publish) -> None:
    del played
    publish()
    (first, *_, last) = _lines(run("show", "intent-denied.json"))
    assert " 1 queued     " in first
    assert 'asked_for=critical rule="priority critical refused to an unknown sender: treated as normal"' in first
    assert "success" in last
    nothing = run("show", "intent-unknown.json")
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "no entry of intent-unknown.json is in the audit trail yet" in nothing.stderr


def test_whenever_it_is_killed_the_batch_that_comes_again_is_published_and_counted_once(
    played: World, aws: boto3.session.Session, stream: Stream
) -> None:
    del played
    interrupter, records = Interrupter(), list(stream.records)
    plain = Counters(aws.client("dynamodb"), TABLE)

    def deliver(shard: str) -> None:
        counters = Counters(interrupter.watch(aws.client("dynamodb")), TABLE)
        log = AuditLog(interrupter.watch(aws.client("logs")), GROUP, shard)
        put = partial(export, interrupter.watch(aws.client("s3")), EXPORT)
        take(counters, [put, log.publish], {"shardId": shard, "Records": records}, time.time())

    deliver("usual")
    once, calls = plain.totals().counters, list(interrupter.calls)
    assert calls == ["GetItem", "PutObject", "PutLogEvents", "CreateLogStream", "PutLogEvents", "PutItem"]
    assert once["decided"] == 3
    points = [(when, number) for when in ("before", "after") for number in range(1, len(calls) + 1)]
    for times, (when, number) in enumerate(points, 2):
        shard = f"{when}-{number}"
        interrupter.reset(FAULTS[f"killed {when}"], number)
        with pytest.raises(Killed):
            deliver(shard)
        interrupter.reset()
        deliver(shard)
        events = aws.client("logs").get_log_events(logGroupName=GROUP, logStreamName=shard)["events"]
        assert len({event["message"] for event in events}) == 9
        body = aws.client("s3").get_object(Bucket=EXPORT, Key=_exported(aws, shard))["Body"].read().decode()
        assert len(body.splitlines()) == 9
        assert plain.totals().counters == {name: pytest.approx(times * by) for name, by in once.items()}


def _exported(aws: boto3.session.Session, name: str) -> str:
    listed = aws.client("s3").list_objects_v2(Bucket=EXPORT, Prefix="audit/")["Contents"]
    return next(one["Key"] for one in listed if one["Key"].endswith(f"-{name}.jsonl"))


def test_a_batch_that_cloudwatch_does_not_take_whole_comes_again(aws: boto3.session.Session) -> None:
    client: Any = aws.client("logs")
    client.meta.events.register(
        "after-call.cloudwatch-logs.PutLogEvents",
        lambda parsed, **_: parsed.update(rejectedLogEventsInfo={"tooOldLogEventEndIndex": 1}),
    )
    with pytest.raises(NotAnswering):
        AuditLog(client, GROUP, "writer").publish(BATCH, time.time())


def test_without_the_log_group_a_batch_comes_again(aws: boto3.session.Session) -> None:
    with pytest.raises(ClientError):
        AuditLog(aws.client("logs"), "/gone", "writer").publish(BATCH, time.time())


# ---------------------------------------------------------------- calls and configurations


def test_a_call_of_the_api_is_one_row_however_often_it_is_noted(aws: boto3.session.Session, publish: Publish) -> None:
    calls = Calls(aws.client("dynamodb"), TABLE, 90 * 86_400)
    fields = {"by": "token-1", "method": "POST", "intent": "intent-a.json", "version_id": None}
    for number in range(2):
        assert calls.note("request-1", fields, time.time() - 600 + number) == 0
    publish()
    (line,) = _lines(run("show", "intent-a.json", "--output", "json"))
    assert json.loads(line)["by"] == "token-1"
    assert run("verify").stdout == "1 entries of 1 chains: no findings\n"


def test_each_version_of_the_configuration_is_noted_once_with_who_changed_which_keys(
    aws: boto3.session.Session,
    stream: Stream,
    publish: Publish,
) -> None:
    now = time.time()
    texts = ["{}", '{"log_level": "debug"}', '{"log_level": "debug", "processing": {"timeout": "9s"}}', "broken"]
    revisions = [
        Revision(number, text, f"arn:user/{number}", now - 600 + number) for number, text in enumerate(texts, 1)
    ]
    configurations = Configurations(aws.client("dynamodb"), TABLE)
    for known in (2, 2, 4):
        configurations.note(revisions[:known], ENVIRONMENT, now)
    publish()
    entries = [json.loads(line) for line in stream.follow().lines]
    assert [(one["version"], one["by"], one.get("changed"), one["accepted"]) for one in entries] == [
        (1, "arn:user/1", None, True),
        (2, "arn:user/2", ["log_level"], True),
        (3, "arn:user/3", ["processing.timeout"], True),
        (4, "arn:user/4", ["log_level", "processing.timeout"], False),
    ]
    assert run("verify").exit_code == 0


def test_a_configuration_that_is_deleted_and_made_anew_is_noted_however_far_it_counts(
    aws: boto3.session.Session,
    stream: Stream,
) -> None:
    configurations = Configurations(aws.client("dynamodb"), TABLE)

    def made(at: float, *versions: int) -> list[Revision]:
        return [Revision(version, "{}", "arn:user/1", at + version) for version in versions]

    for revisions in (made(0, 1, 2, 3), [], [], made(100, 1), made(200, 1, 2), made(200, 1, 2)):
        configurations.note(revisions, ENVIRONMENT, time.time())
    entries = [json.loads(line) for line in stream.follow().lines]
    assert [one["version"] for one in entries] == [1, 2, 3, 0, 1, 1, 2]
    assert entries[3]["because"] == "the parameter was deleted"


def test_of_two_sweepers_that_note_the_same_one_does(
    aws: boto3.session.Session, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has read how far the configuration is noted before the other one writes."""
    configurations, now = Configurations(aws.client("dynamodb"), TABLE), time.time() - 600
    for revisions in ([Revision(1, "{}", "arn:user/1", now)], []):
        newest = configurations._newest()
        with monkeypatch.context() as both:
            both.setattr(Configurations, "_newest", lambda _, newest=newest: newest)
            for at in (now + 1, now + 2):
                configurations.note(revisions, ENVIRONMENT, at)
    audit = stream.follow()
    assert [json.loads(line)["version"] for line in audit.lines] == [1, 0]
    rows = {one["dynamodb"]["NewImage"]["sk"]["S"]: one["dynamodb"]["NewImage"] for one in stream.records}
    assert not audit.verified(Known([one for row in rows.values() if (one := last_change(row))])).wrong
