"""``conductor-loop submit``, on moto; while it sleeps, the pipeline works."""

import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import CliRunner, Result

from conductor_loop.cli import config, main
from conductor_loop.cli.submit import Sent, look
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import order
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE

PARAMETER = "/stack/config"


@pytest.fixture(autouse=True)
def stack(world: World, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Deploy a stack whose pipeline runs whenever a caller waits for it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    environment = {"Variables": {"CONDUCTOR_STATE_TABLE": TABLE}}
    monkeypatch.setattr(config, "_function", lambda _: {"Environment": environment, "Timeout": 120})
    stacks["conductor-loop"] = {
        "HandoffBucket": BUCKET,
        "StateTable": TABLE,
        "ConfigParameter": PARAMETER,
        "ConductorFunction": "conductor",
    }
    configure({"processing": {"priority_queues": False}})
    monkeypatch.setattr(time, "sleep", lambda _: work(world))


def configure(document: dict[str, Any]) -> None:
    boto3.client("ssm").put_parameter(Name=PARAMETER, Value=json.dumps(document), Type="String", Overwrite=True)


def work(world: World, first: Mapping[str, str] = MappingProxyType({})) -> None:
    """Answer whatever lies in the root: ``first`` those, name to sequencer, then the rest."""
    waiting = [name for name in world.listing() if "/" not in name]
    for name in [*(name for name in first if name in waiting), *(name for name in waiting if name not in first)]:
        head = world.bucket.client.head_object(Bucket=BUCKET, Key=name)
        put_at = f"{head['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}"
        placed = order(put_at, first.get(name, "0A"))
        world.clock.wait(1)
        admit.answer(world.app, Handoff(BUCKET, name, head["VersionId"], order=placed), world.deadline)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["submit", *map(str, arguments)])


def write(folder: Path, name: str, **fields: Any) -> Path:
    path = folder / name
    path.write_bytes(intent(**fields))
    return path


def test_an_intent_is_sent_and_followed_to_its_end(tmp_path: Path, world: World) -> None:
    result = run(write(tmp_path, "intent-a.json"), "--wait")
    assert result.exit_code == 0, result.output
    (row,) = result.stdout.splitlines()  # a pipe gets no heading
    assert row.split("\t")[:3] == ["success", "1", "1"]
    assert "processed/intent-a.json" in world.listing()


def test_failures_are_named_last_and_exit_with_1(tmp_path: Path, world: World) -> None:
    world.porch.script = [None, Cause.DEPLOYMENT_NOT_FOUND, None]
    names = ["intent-a.json", "intent-b.json", "intent-c.json"]
    files = [write(tmp_path, name, target=f"target-{name[7]}") for name in names]
    result = run(*files, "--wait")
    assert result.exit_code == 1
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [["success", "2"], ["failed", "1"]]
    *_, last = result.stderr.splitlines()
    assert last.startswith("failed    intent-b.json  E013 DEPLOYMENT_NOT_FOUND: ")


@pytest.mark.long
def test_the_skipped_are_named_with_the_reason_and_before_the_failed(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.porch.script = [None, Cause.DEPLOYMENT_NOT_FOUND]
    names = ["intent-a.json", "intent-b.json", "intent-c.json"]
    files = [write(tmp_path, name, target="other" if name == "intent-c.json" else "one") for name in names]
    monkeypatch.setattr(time, "sleep", lambda _: work(world, {"intent-b.json": "0B", "intent-a.json": "0A"}))
    result = run(*files, "--wait")
    assert result.exit_code == 1
    skipped, failed = result.stderr.splitlines()[-2:]
    assert skipped == "skipped   intent-a.json  Superseded by intent-b.json"
    assert failed.startswith("failed    intent-c.json  E013")


def test_nothing_is_sent_where_one_file_breaks_a_rule(tmp_path: Path, world: World) -> None:
    result = run(write(tmp_path, "intent-a.json"), write(tmp_path, "intent-b.json", replicas=5000))
    assert (result.exit_code, world.listing()) == (1, [])
    assert "$.replicas breaks maximum: 5000 is more than 100" in result.stderr
    assert "nothing was sent: 1 of 2 files break a rule" in result.stderr


@pytest.mark.long
def test_the_json_of_a_refused_file_reports_what_validate_reports(tmp_path: Path, world: World) -> None:
    good, broken = write(tmp_path, "intent-a.json"), write(tmp_path, "intent-b.json", replicas=5000)
    result = run(good, broken, "--output", "json")
    assert (result.exit_code, world.listing()) == (1, [])
    validated = CliRunner().invoke(main, ["validate", str(broken), "--output", "json"])
    assert json.loads(result.stdout) == [json.loads(validated.stdout) | {"file": "intent-b.json"}]
    assert result.stderr == "Error: nothing was sent: 1 of 2 files break a rule; correct or leave out those above\n"


@pytest.mark.long
def test_what_only_the_security_mode_strict_refuses_is_said_with_the_operators_choice(
    tmp_path: Path, world: World
) -> None:
    prose = write(tmp_path, "intent-a.json", reason="R&D test (second)")
    result = run(prose, write(tmp_path, "intent-b.json", replicas=5000))
    assert (result.exit_code, world.listing()) == (1, [])
    assert "the security mode strict alone refuses intent-a.json:" in result.stderr
    assert "template parameter SecurityMode" in result.stderr
    configure({"security": {"validation": {"strict_mode": False}}})
    assert run(prose).exit_code == 0
    assert "security mode" not in run(write(tmp_path, "intent-c.json", replicas=5000)).stderr


def test_the_rules_are_those_of_the_stack(tmp_path: Path, world: World) -> None:
    configure({"validation": {"max_replicas": 2}})
    result = run(write(tmp_path, "intent-a.json", replicas=3))
    assert (result.exit_code, world.listing()) == (1, [])
    assert "$.replicas" in result.stderr


@pytest.mark.long
def test_who_may_not_read_the_rules_has_the_built_in_ones_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Any:
        error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
        return AWSResponse("", 400, HTTPHeaders(), None), error

    boto3._get_default_session().events.register("before-call.ssm", refuse)
    result = run(write(tmp_path, "intent-a.json"))
    assert result.exit_code == 0, result.output
    assert "the built-in ones are checked here" in result.stderr
    del monkeypatch


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(tmp_path: Path, world: World) -> None:
    result = run(write(tmp_path, "intent-a.json", priority="high"), "--dry-run")
    assert (result.exit_code, world.listing()) == (0, [])
    assert result.stdout == "intent-a.json\toran-sim\tcnf-simulator\t3\thigh\n"
    (reported,) = json.loads(run(write(tmp_path, "intent-a.json"), "--dry-run", "--output", "json").stdout)
    assert (reported["replicas"], reported["priority"]) == (3, "normal")
    assert f"would be sent to s3://{BUCKET}/; nothing was sent" in result.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("document", "longest"), [({}, 105), ({"porch": {"execution_timeout": "60s"}}, 60)], ids=["function", "porch"]
)
def test_a_timeout_that_the_stack_does_not_give_is_named(
    tmp_path: Path, document: dict[str, Any], longest: int
) -> None:
    configure({"processing": {"priority_queues": False}} | document)
    fitting = write(tmp_path, "intent-a.json", timeout=f"{longest}s")
    result = run(fitting, write(tmp_path, "intent-b.json", timeout="1h"), "--dry-run")
    assert result.exit_code == 0, result.output
    (noted, _) = result.stderr.splitlines()
    assert noted.startswith(
        f"note      intent-b.json  timeout 3600s is more than this stack gives, and will be cut to {longest}s"
    )


def test_every_file_that_cannot_be_sent_is_named_at_once(tmp_path: Path, world: World) -> None:
    (tmp_path / "sub").mkdir()
    twice = write(tmp_path, "intent-a.json"), write(tmp_path / "sub", "intent-a.json")
    result = run(*twice, tmp_path / "intent-none.json")
    assert (result.exit_code, world.listing()) == (2, [])
    assert "two files are called intent-a.json" in result.stderr
    assert "intent-none.json cannot be read: No such file" in result.stderr


def test_without_waiting_the_versions_are_printed(tmp_path: Path, world: World) -> None:
    result = run(write(tmp_path, "intent-a.json"))
    assert result.exit_code == 0
    version = world.bucket.client.head_object(Bucket=BUCKET, Key="intent-a.json")["VersionId"]
    assert result.stdout == f"intent-a.json\t{version}\n"
    assert "follow them with" in result.stderr


def test_an_answer_that_does_not_come_in_time_exits_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    result = run(write(tmp_path, "intent-a.json"), "--wait", "--timeout", "1ms")
    assert result.exit_code == 3
    assert "received  intent-a.json  no answer yet; see: conductor-loop logs intent-a.json" in result.stderr


@pytest.mark.long
def test_programs_get_the_statuses(tmp_path: Path, world: World) -> None:
    result = run(write(tmp_path, "intent-a.json"), "--wait", "--output", "json")
    (reported,) = json.loads(result.stdout)
    assert (reported["file"], reported["state"]) == ("intent-a.json", "success")
    assert reported["status"] == world.status()


def test_the_newest_version_is_followed_and_no_older_answer_taken_for_its_own(tmp_path: Path, world: World) -> None:
    file = write(tmp_path, "intent-a.json")
    assert run(file, "--wait").exit_code == 0
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    assert run(file, "--wait").exit_code == 1


@pytest.mark.long
@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_wait_reports_what_was_sent(
    tmp_path: Path, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, *, interrupted: bool
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    if interrupted:
        monkeypatch.setattr(time, "sleep", interrupt)
    else:
        stacks["conductor-loop"]["StateTable"] = "no-such-table"
    result = run(write(tmp_path, "intent-a.json"), "--wait")
    assert result.exit_code == (130 if interrupted else 4)
    assert "what was sent goes on" in result.stderr
    assert "received  intent-a.json  no answer yet" in result.stderr


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Handle SIGINT as in a terminal: a shell starts a background job with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _interrupt() -> None:
    """Interrupt the command, and not the thread that sends, as a terminal does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.long
@pytest.mark.usefixtures("interruptible")
def test_an_interruption_while_files_are_sent_says_which_were(tmp_path: Path, world: World) -> None:
    files = [write(tmp_path, f"intent-{number}.json", target=f"cnf-{number}") for number in range(200)]
    begun = itertools.count(1)

    def put(**_: Any) -> None:
        if next(begun) == 20:
            _interrupt()
        threading.Event().wait(0.02)

    boto3._get_default_session().events.register("before-call.s3.PutObject", put)
    result = run(*files, "--wait", "--output", "json")
    assert result.exit_code == 130
    reported = {one["file"]: one for one in json.loads(result.stdout)}
    sent = {name for name, one in reported.items() if one["version_id"]}
    assert sent == set(world.listing())
    assert 20 <= len(sent) < 200
    assert {one.get("error") for name, one in reported.items() if name not in sent} == {
        "interrupted before it was sent"
    }
    assert f"interrupted; {len(sent)} of 200 were sent, and go on\n" in result.stderr


@pytest.mark.long
@pytest.mark.usefixtures("interruptible")
def test_an_interruption_while_the_last_file_is_sent_ends_the_command_too(tmp_path: Path, world: World) -> None:
    def put(**_: Any) -> None:
        _interrupt()
        threading.Event().wait(0.2)

    boto3._get_default_session().events.register("before-call.s3.PutObject", put)
    result = run(write(tmp_path, "intent-a.json"), "--wait")
    assert result.exit_code == 130
    assert world.listing() == ["intent-a.json"], "and not waited for, which the pipeline would have answered"
    assert "interrupted; 1 of 1 were sent, and go on" in result.stderr


def test_what_s3_does_not_take_is_said_and_exits_with_4(tmp_path: Path, stacks: dict[str, dict[str, str]]) -> None:
    stacks["conductor-loop"]["HandoffBucket"] = "no-such-bucket"
    result = run(write(tmp_path, "intent-a.json"), "--wait")
    assert result.exit_code == 4
    assert "not sent  intent-a.json  there is no bucket no-such-bucket" in result.stderr


@pytest.mark.long
def test_an_intent_is_followed_until_its_input_was_moved_and_not_only_decided(world: World) -> None:
    handoff = world.drop()
    sent = Sent("intent-a.json", handoff)
    remove, world.bucket.remove = world.bucket.remove, lambda _: None
    admit.answer(world.app, handoff, world.deadline)
    assert look([sent], TABLE) == [sent]
    assert sent.document, "decided"
    world.drop()  # a newer version of the name is another intent
    assert look([sent], TABLE) == [sent]
    remove(handoff)
    assert look([sent], TABLE) == []
