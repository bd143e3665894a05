import json

import pytest
from click.testing import CliRunner

from conductor_loop import pipeline
from conductor_loop.cli import main
from conductor_loop.errors import Cause
from tests.factories import BUCKET, World


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)


def test_a_status_is_printed_as_it_lies_in_the_bucket(world: World) -> None:
    pipeline.answer(world.app, world.drop(), world.deadline)
    result = CliRunner().invoke(main, ["status", "intent-a.json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == world.status()


def test_a_failed_intent_exits_with_1(world: World) -> None:
    world.porch.script = [Cause.PORCH_FAILED]
    pipeline.answer(world.app, world.drop(), world.deadline)
    assert CliRunner().invoke(main, ["status", "intent-a.json"]).exit_code == 1


@pytest.mark.usefixtures("world")
def test_a_missing_status_exits_with_3_and_says_what_to_do() -> None:
    result = CliRunner().invoke(main, ["status", "intent-a.json"])
    assert result.exit_code == 3
    assert "--wait" in result.stderr
    assert result.stdout == ""
