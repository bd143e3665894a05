import json
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from conductor_loop import messages, pipeline
from conductor_loop.app import Message
from conductor_loop.aws import operator
from conductor_loop.cli import main
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff, Priority
from tests.factories import BUCKET, World


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_status_is_printed_as_it_lies_in_the_bucket(world: World) -> None:
    pipeline.answer(world.app, world.drop(), world.deadline)
    result = run("status", "intent-a.json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == world.status()


def test_a_failed_intent_exits_with_1_and_can_be_sent_again(world: World) -> None:
    world.porch.script = [Cause.PORCH_FAILED]
    pipeline.answer(world.app, world.drop(), world.deadline)
    assert run("status", "intent-a.json").exit_code == 1
    assert run("retry", "intent-a.json").exit_code == 0
    assert {"intent-a.json", "failed/intent-a.json"} <= set(world.listing())


def test_an_old_status_is_not_taken_for_the_answer_to_a_file_that_waits(world: World) -> None:
    pipeline.answer(world.app, world.drop(), world.deadline)
    world.drop()
    assert run("status", "intent-a.json", "--wait", "0.1").exit_code == 3
    result = run("status", "intent-a.json")
    assert result.exit_code == 0
    assert "was sent again and waits" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("name", "says"), [("intent-a.json", "copy it there first"), ("readme.txt", "no intent's name")]
)
def test_a_missing_status_exits_with_3_and_says_what_to_do(name: str, says: str) -> None:
    result = run("status", name)
    assert (result.exit_code, result.stdout) == (3, "")
    assert says in result.stderr


@pytest.mark.usefixtures("world")
def test_what_never_failed_cannot_be_sent_again() -> None:
    result = run("retry", "intent-a.json")
    assert result.exit_code == 1
    assert "only failed intents" in result.stderr


@pytest.mark.usefixtures("world")
def test_an_aws_that_refuses_is_said_in_a_line_and_exits_with_4() -> None:
    result = run("status", "intent-a.json", "--bucket", "no-such-bucket")
    assert result.exit_code == 4
    assert "NoSuchBucket" in result.stderr
    assert "Traceback" not in result.stderr


def test_dead_letters_go_back_to_their_queues(aws: boto3.session.Session) -> None:
    client: Any = aws.client("sqs")
    urls = {name: client.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "high", "normal", "low")}
    body = messages.write(Message(Handoff(BUCKET, "intent-a.json", "v1"), Priority.HIGH))
    client.send_message(QueueUrl=urls["dead"], MessageBody=body)
    queues = {Priority(name): url for name, url in urls.items() if name != "dead"}
    moved = operator._move(urls["dead"], queues)  # moto, like the embedded AWS, has no message-move task
    assert moved == 1
    assert client.receive_message(QueueUrl=urls["high"])["Messages"][0]["Body"] == body
    assert "Messages" not in client.receive_message(QueueUrl=urls["dead"])
