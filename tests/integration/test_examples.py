"""The programs in examples/, run as a user would who has copied them."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.validation import inspect
from tests.factories import BUCKET, World

ROOT = Path(__file__).parents[2]
LOAD = ["oran-sim", "cnf-simulator", "--load", "740", "--per-replica", "100"]


@pytest.fixture
def planner(world: World, stacks: object, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the planner, in a world that works while it sleeps."""
    del stacks
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)
    spec = importlib.util.spec_from_file_location("planner", ROOT / "examples/planner/planner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def work(_: float) -> None:
        for name in [name for name in world.listing() if "/" not in name]:
            version = world.bucket.client.head_object(Bucket=BUCKET, Key=name)["VersionId"]
            admit.answer(world.app, Handoff(BUCKET, name, version), world.deadline)

    monkeypatch.setattr(time, "sleep", work)
    return module


def plan(planner: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["planner.py", *LOAD, *arguments])
    code: int = planner.main()
    return code


def test_the_planner_sends_a_valid_wish_and_waits_for_its_answer(
    planner: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(planner, monkeypatch) == 0
    (name,) = [key.removeprefix("processed/") for key in world.listing() if key.startswith("processed/")]
    body = world.bucket.get(BUCKET, f"processed/{name}")
    assert inspect(body, name=name).valid
    assert json.loads(body)["replicas"] == 8
    said = "Created package cnf-simulator-v1.0.0 to scale cnf-simulator to 8 replicas"
    assert f"{name}: success: {said}" in capsys.readouterr().out


def test_the_planner_distinguishes_a_failure_from_silence(
    planner: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    assert plan(planner, monkeypatch) == 1
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert plan(planner, monkeypatch, "--wait", "0.01") == 3
