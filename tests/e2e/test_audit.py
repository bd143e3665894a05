"""The audit trail of the deployed stack, with IAM enforced: what was done, and what is done to it, is recorded."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.calling import Caller, make_token
from tests.e2e.conftest import Deployed, until

RUN = uuid.uuid4().hex[:8]
GOOD, BAD, DENIED, POSTED = (f"intent-audit-{what}-{RUN}.json" for what in ("good", "bad", "denied", "posted"))


@pytest.fixture(scope="module")
def played(deployed: Deployed) -> str:
    """Drop intents, call the API with too few rights and with enough, and push a configuration; the token's id."""
    deployed.put(GOOD)
    deployed.put(BAD, replicas=-1)
    deployed.wait_for(GOOD, BAD)  # before the function starts anew
    anonymous = {"CONDUCTOR_ACCESS_CONTROL_PRIORITY_PRINCIPALS": "AWS:none"}
    with deployed.variables("ConductorFunction", **anonymous):
        deployed.put(DENIED, priority="critical")
        deployed.wait_for(DENIED)
    token = make_token(deployed, "auditor", "intents:read", "intents:write")
    caller = Caller(deployed, "203.0.113.200", token)
    deployed.restart()
    body = {"intent_type": "scaling", "target": "posted", "namespace": "e2e", "replicas": 2}
    for more, status in (({"priority": "critical"}, 403), ({}, 202)):
        answer = caller.ask("POST", "/intents", json.dumps(body | more).encode(), X_Intent_Name=POSTED)
        assert answer.status == status, answer.text
    deployed.push(log_level="debug")
    deployed.push()
    deployed.functions.invoke(FunctionName=deployed.outputs["SweeperFunction"], Payload=b"{}")
    deployed.wait_for(GOOD, BAD, DENIED, POSTED)
    until(lambda: all(_reported(deployed, name)[-1:] for name in (GOOD, BAD, DENIED, POSTED)), 60)
    until(lambda: verify(deployed, grace="0s")[0] == 0, 60)
    return token.split("_")[1]


def _reported(deployed: Deployed, name: str) -> list[dict[str, Any]]:
    shown = deployed.cli("audit", "show", name, "--output", "json").stdout.splitlines()
    return [json.loads(line) for line in shown]


def verify(deployed: Deployed, *options: str, grace: str = "10s") -> tuple[int, str]:
    """Give the exit code, and what is printed."""
    done = deployed.cli("audit", "verify", "--grace", grace, *options)
    return done.exit_code, done.stdout


def test_show_names_who_what_when_by_which_rule_and_with_what_effect(deployed: Deployed, played: str) -> None:
    queued, claimed, done = _reported(deployed, GOOD)
    assert [one["event"] for one in (queued, claimed, done)] == ["queued", "processing", "succeeded"]
    assert queued["by"]
    assert queued["put"]
    assert (claimed["target"], claimed["replicas"]) == (GOOD.removesuffix(".json"), 2)
    assert done["package"] in {f"{key.rpartition('/')[0]}/" for key in deployed.keys("packages/")}
    status = deployed.read(f"status/{GOOD}.status")
    assert hashlib.sha256(status).hexdigest() == done["status_sha256"]
    (refused,) = _reported(deployed, BAD)
    assert (refused["event"], refused["code"], refused["moved_to"]) == ("failed", "E003", "failed")
    assert "minimum" in refused["rules"]
    denied = _reported(deployed, DENIED)[0]
    assert (denied["asked_for"], denied["priority"]) == ("critical", "normal")
    assert denied["rule"].startswith("priority critical refused to ")
    calls = [one for one in _reported(deployed, POSTED) if one["event"] == "called"]
    assert [(one["by"], one["status"], one.get("required_scope")) for one in calls] == [
        (played, 403, "priority:critical"),
        (played, 202, None),
    ]
    assert calls[1]["version_id"] == deployed.status(POSTED)["version_id"]


def test_pushed_configurations_are_recorded(deployed: Deployed, played: str) -> None:
    del played
    reported = [one for line in lines(deployed) if (one := json.loads(line))["event"] == "configured"]
    assert {"log_level"} <= {key for one in reported for key in one.get("changed", [])}
    assert all(one["accepted"] for one in reported if one.get("changed") == ["log_level"])


def lines(deployed: Deployed) -> list[str]:
    """Read the log as it is."""
    pages = deployed.logs.get_paginator("filter_log_events").paginate(logGroupName=deployed.outputs["AuditLogGroup"])
    events = sorted((event for page in pages for event in page["events"]), key=lambda event: event["timestamp"])
    return [*dict.fromkeys(event["message"] for event in events)]


@pytest.fixture
def forge(deployed: Deployed, played: str) -> Iterator[Callable[[list[str]], None]]:
    """Give what puts other lines in the place of the log's; they come back in the end."""
    del played
    honest, group = lines(deployed), deployed.outputs["AuditLogGroup"]

    def write(forged: list[str]) -> None:
        for stream in deployed.logs.describe_log_streams(logGroupName=group)["logStreams"]:
            deployed.logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
        name, now = f"forged-{uuid.uuid4().hex}", int(time.time() * 1000) - len(forged)
        deployed.logs.create_log_stream(logGroupName=group, logStreamName=name)
        events: Any = [{"timestamp": now + at, "message": line} for at, line in enumerate(forged)]
        deployed.logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)

    yield write
    write(honest)


def _mine(found: list[str]) -> list[int]:
    """Give where the entries about the good intent stand."""
    return [at for at, line in enumerate(found) if json.loads(line)["chain"].startswith(f"intent/{GOOD}/")]


def flipped(found: list[str]) -> list[str]:
    at = _mine(found)[1]
    place = found[at].index('"replicas":2') + len('"replicas":')
    line = found[at][:place] + chr(ord(found[at][place]) ^ 1) + found[at][place + 1 :]
    return [*found[:at], line, *found[at + 1 :]]


def dropped(found: list[str]) -> list[str]:
    at = _mine(found)[1]
    return [*found[:at], *found[at + 1 :]]


def swapped(found: list[str]) -> list[str]:
    one, other = _mine(found)[1:]
    moved = list(found)
    moved[one], moved[other] = moved[other], moved[one]
    return moved


def cut_off(found: list[str]) -> list[str]:
    at = _mine(found)[-1]
    return [*found[:at], *found[at + 1 :]]


def withheld(found: list[str]) -> list[str]:
    mine = _mine(found)
    return [line for at, line in enumerate(found) if at not in mine]


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        pytest.param(flipped, ["entry 2 was altered"], marks=pytest.mark.long),
        pytest.param(dropped, ["entry 2 is missing"], marks=pytest.mark.long),
        pytest.param(
            swapped, ["entry 3 stands before entry 2: they were put into another order"], marks=pytest.mark.long
        ),
        pytest.param(cut_off, ["entry 3 is missing"], marks=pytest.mark.long),
        (withheld, ["entry 1 is missing, with 2 behind it"]),
    ],
)
def test_verify_names_the_intent_and_the_position_of_what_was_done_to_the_log(
    deployed: Deployed,
    forge: Callable[[list[str]], None],
    tmp_path: Path,
    tamper: Callable[[list[str]], list[str]],
    what: list[str],
) -> None:
    status = deployed.status(GOOD)
    until(lambda: time.time() > datetime.fromisoformat(status["timestamp"]).timestamp() + 3, 5)  # more than the grace
    until(lambda: verify(deployed, grace="1s")[0] == 0, 30)
    honest = lines(deployed)
    forge(tamper(honest))
    named = [f"{GOOD} (version {status['version_id']}): {one}" for one in what]
    copy = tmp_path / "copy.jsonl"
    copy.write_text("\n".join(tamper(honest)))
    for options in ((), ("--file", str(copy))):
        exit_code, printed = verify(deployed, *options, grace="1s")
        found = printed.splitlines()
        places = [one for one in found if re.fullmatch(r"\S+: entry \d+ is missing.*", one)]  # of the shards
        assert (exit_code, [one for one in found if one not in places]) == (1, named)


def test_the_export_holds_what_the_log_holds(deployed: Deployed, played: str, tmp_path: Path) -> None:
    del played
    bucket = deployed.outputs["AuditBucket"]
    found = deployed.s3.list_objects_v2(Bucket=bucket, Prefix="audit/")["Contents"]
    bodies = [deployed.s3.get_object(Bucket=bucket, Key=one["Key"]) for one in found]
    export = tmp_path / "export.jsonl"
    export.write_bytes(b"".join(body["Body"].read() for body in bodies))
    assert {*lines(deployed)} <= {*export.read_text().splitlines()}
    assert verify(deployed, "--file", str(export))[0] == 0
