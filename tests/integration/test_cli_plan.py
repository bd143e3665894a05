"""``conductor-loop plan``, on moto; the function is called as Lambda would call it."""

import io
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import CliRunner, Result

from conductor_loop import planning
from conductor_loop.cli import main
from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from conductor_loop.porch import Delivered, NoDryRun, Package, PorchRequest, Run
from conductor_loop.porch import Result as Made
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE

NOTHING = Run(exit_code=0, stdout="", stderr="", duration_seconds=0.1)


class Function:
    """ConductorFunction, as the Lambda API has it."""

    def __init__(self, world: World) -> None:
        self.world, self.asked, self.error = world, list[Any](), ""

    def invoke(self, params: Any, **_: Any) -> Any:
        asked = json.loads(params["body"])["plan"]
        self.asked.append(asked)
        answer: Any = {"errorType": "KeyError", "errorMessage": self.error}
        if not self.error:
            answer = planning.plan(self.world.app, planning.draft(asked), self.world.deadline)
        body = {"Payload": io.BytesIO(json.dumps(answer).encode()), "StatusCode": 200}
        return AWSResponse("", 200, HTTPHeaders(), None), body | ({"FunctionError": "Unhandled"} if self.error else {})


@pytest.fixture(autouse=True)
def function(world: World, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Function:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    stacks["conductor-loop"] = {"HandoffBucket": BUCKET, "StateTable": TABLE, "ConductorFunction": "conductor"}
    function = Function(world)
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-call.lambda.Invoke", function.invoke)
    return function


def run(folder: Path, *arguments: str, name: str = "intent-b.json", **fields: Any) -> Result:
    path = folder / name
    path.write_bytes(intent(**fields))
    return CliRunner().invoke(main, ["plan", str(path), *arguments])


def reported(folder: Path, name: str = "intent-b.json", **fields: Any) -> Any:
    result = run(folder, "--output", "json", name=name, **fields)
    return json.loads(result.stdout)


def applied(world: World, file: str = "intent-a.json", **fields: Any) -> None:
    admit.answer(world.app, world.drop(file, intent(**fields)), world.deadline)


def test_a_plan_shows_the_change_and_the_difference_of_the_packages(tmp_path: Path, world: World) -> None:
    applied(world, replicas=3)
    before = world.listing()
    result = run(tmp_path, replicas=5)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:6] == [
        "intent-b.json  would be applied",
        "  target       oran-sim/cnf-simulator",
        "  replicas     3 -> 5",
        "  priority     normal",
        "  delivery     package",
        "  package      cnf-simulator-v1.0.1",
    ]
    assert {"-replicas: 3 # run 1", "+replicas: 5 # run 2"} <= set(result.stdout.splitlines())
    assert "cnf-simulator-v1.0.0 -> cnf-simulator-v1.0.1: 2 of 2 files differ" in result.stderr
    assert "nothing was changed; send it with: conductor-loop submit" in result.stderr
    assert world.listing() == before


@pytest.mark.long
def test_the_first_intent_for_a_target_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "  replicas     unknown -> 3\n" in result.stdout
    assert "cnf-simulator-v1.0.0 would be the target's first package" in result.stderr


@pytest.mark.long
def test_replicas_that_are_as_wanted_are_said_to_be(tmp_path: Path, world: World) -> None:
    applied(world, replicas=3)
    assert "3 -> 3 (as they are)" in run(tmp_path, replicas=3).stdout


@pytest.mark.long
def test_programs_get_one_document(tmp_path: Path, world: World) -> None:
    applied(world, replicas=3)
    document = reported(tmp_path, replicas=5)
    assert {key: document[key] for key in ("file", "verdict", "replicas", "previous_replicas", "error")} == {
        "file": "intent-b.json",
        "verdict": "applied",
        "replicas": 5,
        "previous_replicas": 3,
        "error": None,
    }
    assert (document["previous_package"], document["package"]) == ("cnf-simulator-v1.0.0", "cnf-simulator-v1.0.1")
    assert "+replicas: 5 # run 2" in document["changes"]["Kptfile"]


def test_what_breaks_a_rule_exits_with_1_and_names_every_violation(tmp_path: Path) -> None:
    result = run(tmp_path, replicas=5000, target="Upper")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "intent-b.json  would be refused")
    assert "E003 SCHEMA_VIOLATION" in result.stdout
    assert "$.replicas breaks maximum" in result.stdout
    assert "$.target breaks pattern" in result.stdout
    document = reported(tmp_path, replicas=5000)
    assert (document["verdict"], document["error"]["code"]) == ("refused", "E003")


@pytest.mark.long
@pytest.mark.parametrize(("cause", "again"), [(Cause.DEPLOYMENT_NOT_FOUND, False), (Cause.NETWORK_ERROR, True)])
def test_what_porch_fails_for_exits_with_1(tmp_path: Path, world: World, cause: Cause, *, again: bool) -> None:
    world.porch.script = [cause]
    result = run(tmp_path)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "intent-b.json  would fail")
    assert f"{cause.code} {cause.value}" in result.stdout
    assert ("it would be tried again" in result.stdout) is again


def test_the_caller_is_who_the_priority_is_asked_for(tmp_path: Path, world: World, function: Function) -> None:
    assert "priority critical refused to AWS:" in run(tmp_path, priority="critical").stdout
    world.configure(critical_principals=(function.asked[0]["principal"],))
    assert "  priority     critical\n" in run(tmp_path, priority="critical").stdout


@pytest.mark.long
def test_others_that_wait_for_the_same_target_are_named(tmp_path: Path, world: World) -> None:
    world.drop("intent-x.json", intent(replicas=9))
    world.drop("intent-y.json", intent(target="other"))
    world.drop("intent-z.json", b"not JSON")
    assert reported(tmp_path)["waiting"] == ["intent-x.json"]
    assert "intent-x.json: for the same target, and not answered yet" in run(tmp_path).stderr


@pytest.mark.long
def test_a_name_that_waits_or_was_used_before_is_remarked(tmp_path: Path, world: World) -> None:
    applied(world)
    assert "the name was used before (success)" in run(tmp_path, name="intent-a.json").stderr
    world.drop("intent-a.json")
    assert "intent-a.json lies in the bucket already" in run(tmp_path, name="intent-a.json").stderr


@pytest.mark.long
def test_what_the_cluster_has_goes_before_what_the_table_has(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(world, replicas=3)
    made = Made(Package("p", {"Kptfile": b"x"}), NOTHING, None, Delivered("scale", 4, None, None, ("mind the gap",)))
    monkeypatch.setattr(type(world.porch), "__call__", lambda *_: made)
    result = run(tmp_path, replicas=5)
    assert "4 -> 5 (the cluster's; intent-a.json, applied last, wanted 3)" in result.stdout
    assert "  delivery     scale\n" in result.stdout
    assert "  note         mind the gap\n" in result.stdout
    assert reported(tmp_path, replicas=5)["previous_replicas"] == 4


@pytest.mark.long
def test_a_porch_without_a_dry_run_leaves_the_package_unknown(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any, request: PorchRequest) -> Made:
        raise NoDryRun(Cause.PORCH_FAILED, NOTHING, f"no dry run of {request.file}")

    monkeypatch.setattr(type(world.porch), "__call__", refuse)
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "is valid; what porch would make of it is unknown" in result.stdout
    assert "  porch        no dry run of intent-b.json\n" in result.stdout
    assert reported(tmp_path)["verdict"] == "untried"


def test_a_file_that_cannot_be_planned_is_wrong_usage(tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, ["plan", str(tmp_path / "intent-none.json")])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
    large = run(tmp_path, reason="x" * 5 * 1024**2)
    assert (large.exit_code, "too large for a plan" in large.stderr) == (2, True)


def test_a_function_that_fails_or_is_older_exits_with_4(
    tmp_path: Path, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.error = "boom"
    failed = run(tmp_path)
    assert (failed.exit_code, "the function has failed (KeyError: boom)" in failed.stderr) == (4, True)
    function.error = ""
    monkeypatch.setattr(planning, "plan", lambda *_: {})
    older = run(tmp_path)
    assert (older.exit_code, "makes no plans" in older.stderr) == (4, True)
