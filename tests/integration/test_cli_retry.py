"""``conductor-loop status``, ``retry`` and ``list`` while others put, or have encrypted, what they are about."""

import json
import time

import pytest
from click.testing import CliRunner, Result

from conductor_loop.cli import intents, main
from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.integration.sealed import seal


@pytest.fixture(autouse=True)
def place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)
    world.clock.now = time.time() - 600  # what is dropped later is newer, by moto's clock, too
    seal(monkeypatch)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def failed(world: World, file: str = "intent-a.json") -> None:
    world.porch.script = [Cause.PORCH_FAILED]
    admit.answer(world.app, world.drop(file), world.deadline)


def put_with_own_key(world: World, file: str = "intent-a.json") -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    world.bucket.client.put_object(Bucket=BUCKET, Key=file, Body=intent(), **key)


def answered_with_own_key(world: World) -> None:
    """Answer a file that cannot be read: it stays in the root."""
    put_with_own_key(world)
    version = world.bucket.client.list_object_versions(Bucket=BUCKET, Prefix="intent-a.json")["Versions"][0]
    handoff = world.drop("intent-z.json")
    world.bucket.remove(handoff)
    mine = type(handoff)(
        BUCKET, "intent-a.json", version["VersionId"], event_time=handoff.event_time, order=handoff.order
    )
    admit.answer(world.app, mine, world.deadline)


# ---------------------------------------------------------------- the name is put while it is sent again


def test_a_version_put_meanwhile_is_not_undone_by_sending_the_failed_one_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(world)
    resubmit = intents._resubmit

    def late(bucket: str, file: str) -> None:
        world.drop(file, intent(replicas=7))  # after the look, before the put
        resubmit(bucket, file)

    monkeypatch.setattr(intents, "_resubmit", late)
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "intent-a.json was sent again just now, and is left as it is" in result.stderr
    assert json.loads(world.bucket.get(BUCKET, "intent-a.json"))["replicas"] == 7


def test_what_is_sent_again_is_what_failed_has(world: World) -> None:
    failed(world)
    assert run("retry", "intent-a.json").exit_code == 0
    assert world.bucket.get(BUCKET, "intent-a.json") == world.bucket.get(BUCKET, "failed/intent-a.json") == intent()


# ---------------------------------------------------------------- an object that is encrypted with its sender's own key


@pytest.mark.long
def test_a_file_with_its_senders_own_key_waits_as_any_other(world: World) -> None:
    put_with_own_key(world)
    result = run("status", "intent-a.json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "intent-a.json waits in" in result.stderr
    again = run("retry", "intent-a.json")
    assert again.exit_code == 1
    assert "waits in the root already" in again.stderr


def test_its_answer_is_shown(world: World) -> None:
    answered_with_own_key(world)
    result = run("status", "intent-a.json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "failed")
    again = run("retry", "intent-a.json")
    assert again.exit_code == 1
    assert "its input still lies in the root" in again.stderr


@pytest.mark.long
def test_the_success_of_a_plain_file_of_that_name_is_shown(world: World) -> None:
    answered_with_own_key(world)
    world.clock.now = time.time() + 60
    admit.answer(world.app, world.drop(), world.deadline)
    result = run("status", "intent-a.json", "--wait", "60")
    assert (result.exit_code, json.loads(result.stdout)["status"], result.stderr) == (0, "success", "")
    again = run("retry", "intent-a.json")
    assert again.exit_code == 1
    assert "the newest answer to intent-a.json is success" in again.stderr


def test_a_failure_is_not_sent_again_behind_an_older_file_that_stays(world: World) -> None:
    answered_with_own_key(world)
    world.clock.now = time.time() + 60
    failed(world)
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert f"remove it: aws s3 rm s3://{BUCKET}/intent-a.json" in result.stderr


def test_a_kept_input_with_its_senders_own_key_is_said_not_to_be_readable(world: World) -> None:
    failed(world)
    put_with_own_key(world, "failed/intent-a.json")
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "failed/intent-a.json cannot be read" in result.stderr


@pytest.mark.long
def test_what_was_answered_and_stays_is_not_listed_as_received(world: World, stacks: dict[str, dict[str, str]]) -> None:
    stacks["conductor-loop"] = {"HandoffBucket": BUCKET, "StateTable": TABLE}
    world.clock.now = time.time()
    answered_with_own_key(world)
    listed = json.loads(run("list", "--output", "json", "--stack", "conductor-loop").stdout)
    assert [(one["name"], one["state"]) for one in listed] == [("intent-a.json", "failed")]


# ---------------------------------------------------------------- names, and what others wrote


@pytest.mark.long
@pytest.mark.parametrize("command", ["status", "retry", "package", "diff"])
def test_a_name_without_its_ending_is_suggested(command: str) -> None:
    result = run(command, "intent-a")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("did you mean intent-a.json?")


@pytest.mark.long
def test_a_status_shows_what_others_wrote_without_moving_the_cursor(world: World) -> None:
    evil = "\x1b[2J\u202e"
    texts = ("intent_file", "status", "message", "timestamp", "processing_duration", "correlation_id")
    document = dict.fromkeys(texts, f"a{evil}b") | {
        "attempt": evil,
        "package": {"prefix": evil},
        "error_details": {"code": evil, "error_code": evil, "validation_errors": [{"message": evil}]},
    }
    world.bucket.drop(BUCKET, "status/intent-a.json.status", json.dumps(document).encode())
    result = run("status", "intent-a.json", "--output", "text")
    assert "a\ufffd[2J\ufffdb" in result.stdout
    assert not set(evil[::4]) & set(result.output)


def test_a_status_shows_the_last_lines_that_porch_printed_and_where_all_of_them_are(world: World) -> None:
    error = {"code": "E016", "error_code": "PORCH_FAILED", "porch_stderr": "".join(f"line {n}\n\n" for n in range(9))}
    document = {"intent_file": "intent-a.json", "status": "failed", "message": "no", "error_details": error}
    world.bucket.drop(BUCKET, "status/intent-a.json.status", json.dumps(document).encode())
    *_, first, _, _, _, last, more = run("status", "intent-a.json", "--output", "text").stdout.splitlines()
    assert (first.split(), last.split()) == (["printed", "line", "4"], ["printed", "line", "8"])
    assert more.strip() == "all of it: conductor-loop status intent-a.json --output json"


@pytest.mark.long
def test_a_status_is_json_in_a_pipe_and_text_where_it_is_asked_for(world: World) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    assert run("status", "intent-a.json").stdout == run("status", "intent-a.json", "--output", "json").stdout
    assert run("status", "intent-a.json", "--output", "text").stdout.startswith("intent-a.json  success\n")


# ---------------------------------------------------------------- what is no status


@pytest.mark.long
@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"{}", b'{"status": 3}', b"\xff\xfe"])
def test_what_lies_there_as_a_status_and_is_none_counts_for_nothing(world: World, body: bytes) -> None:
    world.bucket.drop(BUCKET, "status/intent-a.json.status", body)
    result = run("status", "intent-a.json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nothing of that name was answered" in result.stderr
