"""The audit trail on moto: published from rows, whatever fails on the way, and verified against what knows of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from conductor_loop import pipeline
from conductor_loop.audit.chain import Head, link
from conductor_loop.audit.publishing import Publisher, fresh
from conductor_loop.audit.verifying import verify
from conductor_loop.aws import operator
from conductor_loop.aws.auditlog import AuditExport, AuditLog, NotTaken
from conductor_loop.aws.trails import Trails
from conductor_loop.cli import main
from conductor_loop.config.changes import ConfigTrail
from conductor_loop.config.live import Revision
from conductor_loop.errors import Cause
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.integration.interrupting import FAULTS, Interrupter, Killed

GROUP = "/conductor-loop/conductor-loop/audit"
EXPORT = "audit-export"


@pytest.fixture(autouse=True)
def stack(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(operator, "outputs", lambda _: {"StateTable": TABLE, "HandoffBucket": BUCKET})
    aws.client("logs").create_log_group(logGroupName=GROUP)
    aws.client("s3").create_bucket(Bucket=EXPORT, ObjectLockEnabledForBucket=True)


@pytest.fixture
def played(world: World) -> World:
    """Three intents: one that is retried, one that is rejected, one whose priority is denied."""
    world.clock.now = time.time() - 3600
    world.configure(priority_queues=True)
    world.porch.script = [Cause.NETWORK_ERROR, None]
    bodies = {"retried": intent(), "rejected": b"{", "denied": intent(target="other", priority="critical")}
    for name, body in bodies.items():
        pipeline.answer(world.app, world.drop(f"intent-{name}.json", body), world.deadline)
    for _ in range(3):
        world.work()
        world.clock.wait(60)
    return world


def streamed(aws: boto3.session.Session) -> list[dict[str, Any]]:
    """Give what the table's stream has, by now: moto's has no images of transactions."""
    items = aws.client("dynamodb").scan(TableName=TABLE)["Items"]
    images = [item for item in items if "audit_head" in item]
    return [{"eventID": f"{n:03}", "dynamodb": {"NewImage": image}} for n, image in enumerate(images)]


def publish(aws: boto3.session.Session, writer: str = "writer") -> None:
    log = AuditLog(aws.client("logs"), GROUP, writer)
    Publisher(log.publish).publish(fresh(streamed(aws)), "000", time.time())


def run(*arguments: str) -> Result:
    more = ("--grace", "0s") if arguments[0] == "verify" else ()  # moto's objects are as old as the test
    return CliRunner().invoke(main, ["audit", *arguments, *more])


def test_what_is_published_is_whole_and_a_batch_that_comes_again_changes_nothing(
    played: World, aws: boto3.session.Session
) -> None:
    del played
    publish(aws)
    result = run("verify")
    assert (result.exit_code, result.stdout) == (0, "9 entries of 3 chains: no findings\n"), result.output
    publish(aws, "another")
    assert run("verify").stdout == result.stdout


def test_entries_that_never_arrived_are_named(played: World, aws: boto3.session.Session) -> None:
    del played, aws
    result = run("verify")
    assert result.exit_code == 1
    assert "intent-retried.json" in result.stdout
    assert "entry 1 is missing" in result.stdout
    assert result.stderr.endswith("9 findings\n")


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lambda lines: [lines[0].replace("AWS", "aws").replace("queued", "Queued"), *lines[1:]], "1 was altered"),
        (lambda lines: [lines[0], *lines[2:]], "2 is missing"),
        (lambda lines: lines[:-1], "5 is missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "2 stands before entry 1: they were put into another order"),
        (lambda _: [], "1 is missing"),
    ],
    ids=["altered", "dropped", "cut off", "swapped", "missing as a whole"],
)
def test_verify_names_the_handoff_and_the_position(
    played: World,
    aws: boto3.session.Session,
    tmp_path: Path,
    tamper: Callable[[list[str]], list[str]],
    found: str,
) -> None:
    publish(aws)
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
    played: World, aws: boto3.session.Session, tmp_path: Path
) -> None:
    publish(aws)
    table, version = aws.client("dynamodb"), played.status("intent-rejected.json")["version_id"]
    table.delete_item(TableName=TABLE, Key={"pk": {"S": "intent#intent-rejected.json"}, "sk": {"S": version}})
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join([*shown_of("retried"), *shown_of("denied")]))
    assert (
        run("verify", "--file", str(file)).stdout == f"intent-rejected.json (version {version}): entry 1 is missing\n"
    )


def test_a_file_that_holds_no_entry_is_refused_as_a_whole(
    played: World, aws: boto3.session.Session, tmp_path: Path
) -> None:
    del played
    publish(aws)
    file = tmp_path / "README.md"
    file.write_text("# About\n\n{}\n")
    result = run("verify", "--file", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {file}: no line of it is an entry")
    file.write_text("")
    assert "entry 1 is missing" in run("verify", "--file", str(file)).stdout, "an empty export misses what there was"


@pytest.mark.parametrize("at", [0, 1, -1])
def test_an_entry_that_is_altered_in_the_table_is_named(played: World, aws: boto3.session.Session, at: int) -> None:
    publish(aws)
    version = played.status("intent-retried.json")["version_id"]
    table, key = aws.client("dynamodb"), {"pk": {"S": "intent#intent-retried.json"}, "sk": {"S": version}}
    kept = table.get_item(TableName=TABLE, Key=key)["Item"]["audit"]["L"]
    seq = json.loads(kept[at]["S"])["seq"]
    kept[at]["S"] = kept[at]["S"].replace('"event":"', '"event":"x')
    _rewrite(aws, key, kept)
    assert run("verify").stdout.startswith(
        f"intent-retried.json (version {version}): entry {seq} is another one than the state table knows"
    )


def test_an_entry_that_the_table_does_not_know_is_named(played: World, aws: boto3.session.Session) -> None:
    publish(aws)
    version = played.status("intent-rejected.json")["version_id"]
    last = json.loads(shown_of("rejected")[-1])
    forged = link(last["chain"], Head(last["seq"], last["hash"]), {"at": "2026", "event": "succeeded"})
    aws.client("logs").put_log_events(
        logGroupName=GROUP, logStreamName="writer", logEvents=[{"timestamp": _now(), "message": forged.text}]
    )
    assert run("verify").stdout == (
        f"intent-rejected.json (version {version}): entry 2 is not known to the state table: it was put in\n"
    )


@pytest.mark.parametrize("chain", ["intent/", "intent//", "intent/a", f"intent/{'a' * 3000}/v", "~"])
def test_a_line_of_a_chain_that_cannot_be_keeps_nothing_from_being_verified(
    played: World, aws: boto3.session.Session, chain: str
) -> None:
    del played
    publish(aws)
    fields = {"event": ["x"], "intent": "intent-rejected.json"}
    line = json.dumps({"chain": chain, "seq": 1, "prev": "", "hash": "x", **fields})
    aws.client("logs").put_log_events(
        logGroupName=GROUP, logStreamName="writer", logEvents=[{"timestamp": _now(), "message": line}]
    )
    assert "entry 1 was altered\n" in run("verify").stdout
    assert json.loads(run("verify", "--output", "json").stdout)["findings"][0]["what"] == "was altered"
    (_, shown) = _lines(run("show", "intent-rejected.json"))
    assert "ALTERED" in shown


@pytest.mark.parametrize("seal", ["x", [], {"chain": 7}, {"chain": "a", "entries": "9", "sha256": "b"}])
def test_a_status_that_makes_no_sense_is_no_witness(played: World, aws: boto3.session.Session, seal: object) -> None:
    publish(aws)
    status = played.status("intent-rejected.json") | {"audit": seal}
    aws.client("s3").put_object(Bucket=BUCKET, Key="status/intent-a.json.status", Body=json.dumps(status).encode())
    assert run("verify").exit_code == 0


def test_an_intent_whose_name_is_written_in_another_way_is_shown(world: World, aws: boto3.session.Session) -> None:
    pipeline.answer(world.app, world.drop("intent-\u00e9.json"), world.deadline)
    publish(aws)
    assert len(_lines(run("show", "intent-\u00e9.json"))) == 1


def _rewrite(aws: boto3.session.Session, key: Any, kept: Any) -> None:
    aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET audit = :audit",
        ExpressionAttributeValues={":audit": {"L": kept}},
    )


def _now() -> int:
    return int(time.time() * 1000)


def test_show_is_for_people(played: World, aws: boto3.session.Session) -> None:
    del played
    publish(aws)
    (first, *_, last) = _lines(run("show", "intent-denied.json"))
    assert " 1 queued     " in first
    assert 'asked_for=critical rule="priority critical refused to nobody: treated as normal"' in first
    assert "success" in last
    nothing = run("show", "intent-nobody.json")
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "no entry of intent-nobody.json is in the audit trail yet" in nothing.stderr


def test_whatever_a_kill_leaves_is_published_by_the_batch_that_comes_again(
    played: World, aws: boto3.session.Session
) -> None:
    del played
    interrupter = Interrupter()
    records = streamed(aws)

    def deliver(writer: str, name: str) -> None:
        log = AuditLog(interrupter.watch(aws.client("logs")), GROUP, writer)
        export = AuditExport(interrupter.watch(aws.client("s3")), EXPORT)
        Publisher(log.publish, export.put).publish(fresh(records), name, time.time())

    deliver("usual", "usual")
    calls = len(interrupter.calls)
    assert interrupter.calls == ["PutObject", "PutLogEvents", "CreateLogStream", "PutLogEvents"]
    for when in ("before", "after"):
        for number in range(1, calls + 1):
            name = f"{when}-{number}"
            interrupter.reset(FAULTS[f"killed {when}"], number)
            with pytest.raises(Killed):
                deliver(name, name)
            interrupter.reset()
            deliver(name, name)
            events = aws.client("logs").get_log_events(logGroupName=GROUP, logStreamName=name)["events"]
            assert verify([event["message"] for event in events], []).entries == 9
            body = aws.client("s3").get_object(Bucket=EXPORT, Key=_exported(aws, name))["Body"].read().decode()
            assert verify(body.splitlines(), []).entries == 9
    assert run("verify").exit_code == 0


def _exported(aws: boto3.session.Session, name: str) -> str:
    listed = aws.client("s3").list_objects_v2(Bucket=EXPORT, Prefix="audit/")["Contents"]
    return next(one["Key"] for one in listed if one["Key"].endswith(f"/{name}.jsonl"))


def test_a_batch_that_cloudwatch_does_not_take_whole_comes_again(aws: boto3.session.Session) -> None:
    client: Any = aws.client("logs")
    client.meta.events.register(
        "after-call.cloudwatch-logs.PutLogEvents",
        lambda parsed, **_: parsed.update(rejectedLogEventsInfo={"tooOldLogEventEndIndex": 1}),
    )
    with pytest.raises(NotTaken):
        AuditLog(client, GROUP, "writer").publish(["a"], time.time())


def test_without_the_log_group_a_batch_comes_again(aws: boto3.session.Session) -> None:
    with pytest.raises(ClientError):
        AuditLog(aws.client("logs"), "/gone", "writer").publish(["a"], time.time())


def test_many_entries_are_written_in_calls_of_a_bearable_size(aws: boto3.session.Session) -> None:
    sizes: list[int] = []
    client: Any = aws.client("logs")
    client.meta.events.register("before-call", lambda params, **_: sizes.append(len(params["body"])))
    client.create_log_stream(logGroupName=GROUP, logStreamName="writer")
    entries = [f"{n:06}" + "x" * 100_000 for n in range(25)]
    AuditLog(client, GROUP, "writer").publish(entries, time.time())
    events = client.get_log_events(logGroupName=GROUP, logStreamName="writer", startFromHead=True)["events"]
    assert sorted(event["message"] for event in events) == entries
    assert len(sizes) > 3


# ---------------------------------------------------------------- calls and configurations


def test_a_call_of_the_api_is_one_row_however_often_it_is_noted(aws: boto3.session.Session) -> None:
    trails = Trails(aws.client("dynamodb"), TABLE, 90 * 86_400)
    fields = {"by": "token-1", "method": "POST", "intent": "intent-a.json", "version_id": None}
    for _ in range(2):
        trails.note_call("request-1", fields, time.time() - 600)
    publish(aws)
    (line,) = _lines(run("show", "intent-a.json", "--output", "json"))
    assert json.loads(line)["by"] == "token-1"
    assert run("verify").stdout == "1 entries of 1 chains: no findings\n"


def test_each_version_of_the_configuration_is_noted_once_with_who_changed_which_keys(
    aws: boto3.session.Session,
) -> None:
    trails, now = Trails(aws.client("dynamodb"), TABLE, 90 * 86_400), time.time()
    texts = ["{}", '{"log_level": "debug"}', '{"log_level": "debug", "processing": {"timeout": "9s"}}', "broken"]
    revisions = [
        Revision(number, text, f"arn:user/{number}", now - 600 + number) for number, text in enumerate(texts, 1)
    ]
    trail = ConfigTrail(lambda text: text != "broken", trails.note_config, lambda: now)
    for known in (2, 2, 4):
        assert trail.note(revisions[:known], trails.config())
    publish(aws)
    told = [json.loads(entry) for entry in trails.config().entries]
    assert [(one["version"], one["by"], one.get("changed"), one["accepted"]) for one in told] == [
        (1, "arn:user/1", None, True),
        (2, "arn:user/2", ["log_level"], True),
        (3, "arn:user/3", ["processing.timeout"], True),
        (4, "arn:user/4", ["log_level", "processing.timeout"], False),
    ]
    assert run("verify").exit_code == 0


def test_a_configuration_that_is_deleted_and_made_anew_is_noted_however_far_it_counts(
    aws: boto3.session.Session,
) -> None:
    trails, now = Trails(aws.client("dynamodb"), TABLE, 90 * 86_400), time.time()
    trail = ConfigTrail(lambda _: True, trails.note_config, lambda: now)

    def made(at: float, *versions: int) -> list[Revision]:
        return [Revision(version, "{}", "arn:user/1", at + version) for version in versions]

    for revisions in (made(0, 1, 2, 3), [], [], made(100, 1), made(200, 1, 2), made(200, 1, 2)):
        assert trail.note(revisions, trails.config())
    told = [json.loads(entry) for entry in trails.config().entries]
    assert [one["version"] for one in told] == [1, 2, 3, 0, 1, 1, 2]
    assert told[3]["because"] == "the parameter was deleted"


def test_of_two_sweepers_that_note_a_version_one_does(aws: boto3.session.Session) -> None:
    trails = Trails(aws.client("dynamodb"), TABLE, 90 * 86_400)
    seen = trails.config()
    fields = {"at": "2026-11-23T10:00:00.000Z", "event": "configured"}
    assert trails.note_config(seen, 1, fields) is not None
    assert trails.note_config(seen, 1, fields) is None
    assert len(trails.config().entries) == 1


def test_a_row_keeps_the_last_entries_and_the_chain_goes_on(world: World) -> None:
    handoff = world.drop()
    world.porch.on_run = _broken
    for _ in range(70):
        with pytest.raises(OSError, match="no porch"):
            pipeline.answer(world.app, handoff, world.deadline)
        world.clock.wait(2)
    row = world.row(handoff)
    assert row.head.seq == 140
    assert len(row.entries) <= 52
    numbers = [json.loads(entry)["seq"] for entry in row.entries]
    assert numbers == [*range(numbers[0], 141)]
    assert not [finding for finding in verify(row.entries, []).findings if finding.seq >= numbers[0]]


def _broken() -> None:
    raise OSError("no porch")
