import json
import time
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import CliRunner, Result

from conductor_loop.app import Message
from conductor_loop.cli import main
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents import admit
from tests.factories import BUCKET, World
from tests.long import first


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)


@pytest.fixture
def world(world: World) -> World:
    world.clock.now = time.time() - 600  # what is dropped later is newer, by moto's clock, too
    return world


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_status_is_printed_as_it_lies_in_the_bucket(world: World) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    result = run("status", "intent-a.json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == world.status()


def test_a_failed_intent_exits_with_1_and_can_be_sent_again(world: World) -> None:
    world.porch.script = [Cause.PORCH_FAILED]
    admit.answer(world.app, world.drop(), world.deadline)
    assert run("status", "intent-a.json").exit_code == 1
    assert run("retry", "intent-a.json").exit_code == 0
    assert {"intent-a.json", "failed/intent-a.json"} <= set(world.listing())


def test_an_old_status_is_not_taken_for_the_answer_to_a_file_that_waits(world: World) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    world.drop()
    waited = run("status", "intent-a.json", "--wait", "0.1")
    assert (waited.exit_code, waited.stdout) == (3, "")
    result = run("status", "intent-a.json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (3, "success")
    assert "was sent again" in result.stderr


# ---------------------------------------------------------------- while an intent is being retried


def retrying(world: World) -> Handoff:
    """Leave intent-a.json after its first attempt, which failed; in 30 s the next one is due."""
    world.configure(priority_queues=True)
    world.porch.script = [Cause.PORCH_PERMISSION_DENIED]
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.work()
    return handoff


@pytest.mark.parametrize(
    "wait", [(), ("--wait", "0.1"), ("--wait", "100ms")], ids=["at once", "after waiting", "after a duration"]
)
def test_an_attempt_that_failed_is_shown_with_the_time_of_the_next(world: World, wait: tuple[str, ...]) -> None:
    retrying(world)
    result = run("status", "intent-a.json", *wait)
    assert result.exit_code == 3, "another attempt is due"
    status = json.loads(result.stdout)
    assert status["error_details"]["code"] == "E008"
    due = status["next_retry"]
    assert result.stderr == f"attempt 1 failed (E008 PORCH_PERMISSION_DENIED); the next one is due at {due}\n"


@pytest.mark.long
def test_an_intent_that_was_removed_while_it_was_retried_is_not_waited_for(world: World) -> None:
    world.bucket.remove(retrying(world))
    result = run("status", "intent-a.json", "--wait", "60")
    assert result.exit_code == 1
    assert "was withdrawn" in result.stderr
    assert "next one is due" not in result.stderr


@pytest.mark.long
def test_what_is_tried_again_by_itself_is_not_sent_again(world: World) -> None:
    retrying(world)
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert f"tried again by itself at {world.status()['next_retry']}" in result.stderr


@pytest.mark.long
def test_what_was_withdrawn_is_not_sent_again_from_an_older_failure(world: World) -> None:
    admit.answer(world.app, world.drop(body=b"not JSON"), world.deadline)
    world.bucket.remove(retrying(world))
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "withdrawn" in result.stderr
    assert "intent-a.json" not in world.listing()


# ---------------------------------------------------------------- sending again


def test_an_old_failure_is_not_sent_over_a_newer_success(world: World) -> None:
    admit.answer(world.app, world.drop(body=b"not JSON"), world.deadline)
    admit.answer(world.app, world.drop(), world.deadline)
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "newest answer to intent-a.json is success" in result.stderr
    assert f"aws s3 cp s3://{BUCKET}/failed/intent-a.json s3://{BUCKET}/intent-a.json" in result.stderr
    assert "intent-a.json" not in world.listing()


@pytest.mark.long
def test_what_was_skipped_is_not_sent_again(world: World) -> None:
    world.configure(priority_queues=True)
    admit.answer(world.app, world.drop(), world.deadline)
    old = world.queues.waiting.pop()
    admit.answer(world.app, world.drop("intent-b.json"), world.deadline)
    world.work()
    world.queues.waiting.append(old)
    world.work()
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "is skipped" in result.stderr
    assert "Superseded by intent-b.json" in result.stderr


@pytest.mark.long
def test_what_waits_already_is_not_sent_again(world: World) -> None:
    admit.answer(world.app, world.drop(body=b"not JSON"), world.deadline)
    assert run("retry", "intent-a.json").exit_code == 0
    again = run("retry", "intent-a.json")
    assert again.exit_code == 1
    assert "waits in the root already" in again.stderr


def test_a_rejected_file_is_sent_again_with_a_warning(world: World) -> None:
    admit.answer(world.app, world.drop(body=b"not JSON"), world.deadline)
    result = run("retry", "intent-a.json")
    assert result.exit_code == 0
    assert "rejected (E001 INVALID_FORMAT), and will be again" in result.stderr


@pytest.mark.long
def test_a_failure_that_may_pass_is_sent_again_without_a_warning(world: World) -> None:
    world.porch.script = [Cause.PORCH_FAILED]
    admit.answer(world.app, world.drop(), world.deadline)
    assert "rejected" not in run("retry", "intent-a.json").stderr


@pytest.mark.long
def test_an_input_that_is_not_kept_any_more_is_to_be_copied_again(world: World) -> None:
    admit.answer(world.app, world.drop(body=b"not JSON"), world.deadline)
    world.bucket.client.delete_object(Bucket=BUCKET, Key="failed/intent-a.json")
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "failed/intent-a.json is gone" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("intent-a.json", 2, "never failed"),
        ("scale.json", 2, f"no intent's name, and nothing of it is kept in {BUCKET}"),
        ("failed/intent-a.json", 2, "give the file's name alone: intent-a.json"),
        ("", 2, "the name is empty"),
    ],
)
def test_what_never_failed_cannot_be_sent_again(name: str, code: int, says: str) -> None:
    result = run("retry", name)
    assert result.exit_code == code
    assert says in result.stderr


def test_a_kept_input_of_a_wrong_name_is_to_be_sent_under_another(world: World) -> None:
    world.bucket.client.put_object(Bucket=BUCKET, Key="failed/scale.json", Body=b"{}")
    result = run("retry", "scale.json")
    assert result.exit_code == 2
    assert f"aws s3 cp s3://{BUCKET}/failed/scale.json s3://{BUCKET}/intent-" in result.stderr


# ---------------------------------------------------------------- names, and what is said of wrong ones


@pytest.mark.usefixtures("world")
def test_a_missing_status_exits_with_3_and_says_what_to_do() -> None:
    result = run("status", "intent-a.json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "send it first, or see what was sent: conductor-loop list" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("readme.txt", "no intent's name"),
        ("sub/intent-b.json", "what lies in a folder is never processed; give the file's name alone: intent-b.json"),
        ("status/intent-b.json.status", "give the file's name alone: intent-b.json"),
        ("s3://handoff/intent-b.json", "give the file's name alone: intent-b.json"),
        ("", "the name is empty"),
    ],
)
def test_a_name_that_no_intent_can_have_is_wrong_usage_however_long_one_waits(name: str, says: str) -> None:
    result = run("status", name, "--wait", "60")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_wrong_name_in_the_root_is_said_to_be_moved(world: World) -> None:
    world.drop("scale.json")
    result = run("status", "scale.json", "--wait", "0.1")
    assert result.exit_code == 3
    assert "not an intent's name; once it has lain there for processing.sweep_after" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("wait", first("-1", "soon", "1e9"))
def test_a_wait_is_a_number_of_seconds_from_0(wait: str) -> None:
    assert run("status", "intent-a.json", "--wait", wait).exit_code == 2


# ---------------------------------------------------------------- where to look


@pytest.mark.usefixtures("world", "stacks")
@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--bucket", "no-such-bucket", "there is no bucket no-such-bucket"),
        ("--bucket", "", "AWS takes no such name"),
        ("--stack", "no-such-stack", "there is no stack no-such-stack in us-east-1"),
        ("--stack", "", "the stack's name is empty"),
    ],
)
def test_a_place_that_does_not_exist_is_wrong_usage(option: str, value: str, says: str) -> None:
    result = run("status", "intent-a.json", option, value)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_stack_that_was_typed_beats_the_bucket_of_the_environment(
    world: World, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    stacks["another"] = {"HandoffBucket": BUCKET}
    monkeypatch.setenv("HANDOFF_BUCKET", "no-such-bucket")
    assert run("status", "intent-a.json").exit_code == 2
    assert run("status", "intent-a.json", "--stack", "another").exit_code == 0


@pytest.mark.usefixtures("world")
def test_a_bucket_and_a_stack_are_not_both_taken() -> None:
    result = run("status", "intent-a.json", "--stack", "another", "--bucket", BUCKET)
    assert result.exit_code == 2
    assert "give one of them" in result.stderr


def test_a_stack_of_another_product_is_rejected(stacks: dict[str, dict[str, str]]) -> None:
    stacks["another"] = {"Something": "else"}
    result = run("list", "--stack", "another")
    assert result.exit_code == 2
    assert "no output StateTable" in result.stderr


# ---------------------------------------------------------------- logs, dead letters


def log(aws: boto3.session.Session, function: str, *events: dict[str, Any] | str) -> None:
    """Write log events, a second apart, the last one now."""
    client: Any = aws.client("logs")
    group, now = f"/conductor-loop/conductor-loop/{function}", int(time.time() * 1000)
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="a")
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    lines = [{"timestamp": now - 1000 * (len(texts) - at), "message": text} for at, text in enumerate(texts, 1)]
    if lines:
        client.put_log_events(logGroupName=group, logStreamName="a", logEvents=lines)


def test_logs_are_a_line_for_each_event_of_every_function(aws: boto3.session.Session) -> None:
    reported = {"level": "WARNING", "handoff": "intent-a.json", "message": "tried", "service": "conductor-loop"}
    log(
        aws,
        "conductor",
        "START RequestId: 1",
        reported | {"status": "failed", "status_message": "Failed:\nporch says no", "attempt": 2},
        {"_aws": {}, "status": "failed"},
        {"type": "platform.report", "record": {"status": "success"}},
        {"type": "platform.report", "record": {"status": "timeout"}},
        "cannot import handlers",
    )
    log(aws, "sweeper", {"level": "INFO", "message": "swept", "seen": 0})
    log(aws, "api")
    lines = [line.partition("Z ")[2] for line in run("logs").stdout.splitlines()]
    assert lines[0] == 'WARNING intent-a.json tried status=failed attempt=2 status_message="porch says no"'
    assert set(lines[1:]) == {
        "ERROR   - platform.report status=timeout",
        "cannot import handlers",
        "INFO    - swept seen=0",
    }


def test_logs_of_an_intent_have_the_requests_about_it(aws: boto3.session.Session) -> None:
    asked = {"level": "INFO", "message": "POST /intents 202", "client": "9f2c", "intent": "intent-a.json"}
    log(aws, "api", asked, asked | {"intent": "intent-b.json"}, asked | {"intent": None})
    log(aws, "conductor", {"level": "INFO", "message": "answered", "handoff": "intent-a.json"})
    log(aws, "sweeper")
    assert {line.partition("Z ")[2] for line in run("logs", "intent-a.json").stdout.splitlines()} == {
        "INFO    intent-a.json answered",
        "INFO    intent-a.json POST /intents 202 client=9f2c",
    }


def test_logs_can_be_those_of_one_intent(aws: boto3.session.Session) -> None:
    reported = {"level": "INFO", "message": "answered"}
    log(
        aws,
        "conductor",
        reported | {"handoff": "intent-a.json"},
        reported | {"handoff": "intent-a.json-not"},
        "intent-a.json",
    )
    log(aws, "sweeper", reported | {"handoff": "intent-b.json"})
    log(aws, "api")
    assert [line.partition("Z ")[2] for line in run("logs", "intent-a.json").stdout.splitlines()] == [
        "INFO    intent-a.json answered"
    ]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ((), 0, ""),
        (("intent-b.json",), 2, "nothing is logged of intent-b.json"),
        (("intent-b",), 2, "did you mean intent-b.json?"),
    ],
)
def test_a_name_that_nothing_is_logged_of_is_wrong_usage(
    aws: boto3.session.Session, name: tuple[str, ...], code: int, says: str
) -> None:
    for function in ("conductor", "sweeper", "api"):
        log(aws, function)
    result = run("logs", *name)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert ("nothing is logged of" in result.stderr) is bool(name)


@pytest.mark.usefixtures("aws")
def test_logs_of_no_stack_are_wrong_usage() -> None:
    result = run("logs", "--stack", "no-such-stack")
    assert result.exit_code == 2
    assert "there is no log group /conductor-loop/no-such-stack/conductor" in result.stderr


def asks_few_servers(params: dict[str, Any], **_: Any) -> Any:
    """Answer as SQS may where a call does not wait: nothing, although there are messages."""
    if json.loads(params["body"]).get("WaitTimeSeconds"):
        return None
    return AWSResponse("", 200, HTTPHeaders(), None), {"ResponseMetadata": {"HTTPStatusCode": 200}}


def test_dead_letters_are_looked_at_without_being_moved(
    aws: boto3.session.Session, stacks: dict[str, dict[str, str]]
) -> None:
    client: Any = aws.client("sqs")
    url = client.create_queue(QueueName="dead")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody=Message(Handoff(BUCKET, "intent-a.json", "v1"), Priority.HIGH).body)
    odd = ["nonsense", "[1, 2]", '"text"', "3"]
    for body in odd:
        client.send_message(QueueUrl=url, MessageBody=body)
    stacks["another"] = {"DeadLetterQueue": url}
    boto3._get_default_session().events.register("before-call.sqs.ReceiveMessage", asks_few_servers)
    shown = run("redrive", "--dry-run", "--stack", "another").stdout.splitlines()
    assert sorted(shown) == sorted(["intent-a.json high v1", *(f"not a message of ours: {body!r}" for body in odd)])
    again = run("redrive", "--dry-run", "--stack", "another")
    assert (sorted(again.stdout.splitlines()), again.stderr) == (sorted(shown), ""), "there, and visible"
    client.receive_message(QueueUrl=url, MaxNumberOfMessages=1)  # another reader looks at one
    partly = run("redrive", "--dry-run", "--stack", "another", "--output", "json")
    document = json.loads(partly.stdout)
    assert (len(document["dead_letters"]), document["in_queue"]) == (4, 5)
    assert partly.stderr.startswith("4 of about 5 dead letters: others are looking at the rest")
    client.purge_queue(QueueUrl=url)
    nothing = run("redrive", "--dry-run", "--stack", "another")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "no dead letters\n")


def set_no_visibility_timeout(params: dict[str, Any], **_: Any) -> None:
    """Have messages visible again at once, as the first of thousands are while the last ones are read."""
    params["body"] = json.dumps(json.loads(params["body"]) | {"VisibilityTimeout": 0})


def test_looking_at_dead_letters_ends_where_the_first_are_visible_again(
    aws: boto3.session.Session, stacks: dict[str, dict[str, str]]
) -> None:
    client: Any = aws.client("sqs")
    url = client.create_queue(QueueName="dead")["QueueUrl"]
    for number in range(25):
        client.send_message(QueueUrl=url, MessageBody=f"{number}")
    stacks["another"] = {"DeadLetterQueue": url}
    boto3._get_default_session().events.register("before-call.sqs.ReceiveMessage", set_no_visibility_timeout)
    result = run("redrive", "--dry-run", "--stack", "another")
    assert result.exit_code == 0, result.output
    assert len(set(result.stdout.splitlines())) >= 10


def test_dead_letters_go_back_to_their_queues(aws: boto3.session.Session, stacks: dict[str, dict[str, str]]) -> None:
    client: Any = aws.client("sqs")
    urls = {name: client.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "high", "normal", "low")}
    stacks["another"] = {f"{name.title()}Queue": url for name, url in urls.items()} | {"DeadLetterQueue": urls["dead"]}
    body = Message(Handoff(BUCKET, "intent-a.json", "v1"), Priority.HIGH).body
    for letter in (body, "nonsense"):
        client.send_message(QueueUrl=urls["dead"], MessageBody=letter)
    result = run("redrive", "--stack", "another", "--output", "json")
    assert (json.loads(result.stdout), result.stderr) == ({"moved": 2}, "2 moved back\n")
    assert client.receive_message(QueueUrl=urls["high"])["Messages"][0]["Body"] == body
    assert client.receive_message(QueueUrl=urls["normal"])["Messages"][0]["Body"] == "nonsense"
    assert "Messages" not in client.receive_message(QueueUrl=urls["dead"])
