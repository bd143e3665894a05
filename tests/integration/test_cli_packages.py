"""``conductor-loop package`` and ``diff``, on moto."""

import json
from pathlib import Path
from typing import Never

import boto3
import pytest
from click.testing import CliRunner, Result

from conductor_loop.cli import main
from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from conductor_loop.porch import Package, PorchRequest, Run
from conductor_loop.porch import Result as Made
from tests.factories import BUCKET, World, intent
from tests.writes import instead, is_decision


@pytest.fixture(autouse=True)
def region(stacks: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)
    del stacks


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def answered(world: World, file: str = "intent-a.json", **fields: object) -> None:
    admit.answer(world.app, world.drop(file, intent(**fields)), world.deadline)


def named_alike(request: PorchRequest) -> Made:
    """Make packages of one name."""
    mark = f"replicas: {request.document['replicas']}\n".encode()
    files = {"Kptfile": mark} | ({"extra.yaml": b"extra\n"} if request.document["replicas"] == 1 else {})
    return Made(Package("newest", files), Run(exit_code=0, stdout="", stderr="", duration_seconds=0.1))


def test_a_package_is_shown_file_by_file(world: World) -> None:
    answered(world)
    result = run("package", "intent-a.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "==> Kptfile",
        "replicas: 3 # run 1",
        "==> kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1",
        "kind: Component",
        "metadata:",
        "  name: cnf-simulator-v1.0.0-run-1",
    ]
    assert "packages/oran-sim/cnf-simulator/cnf-simulator-v1.0.0/" in result.stderr


def test_a_package_is_written_into_a_new_folder_and_over_no_other(world: World, tmp_path: Path) -> None:
    answered(world)
    assert run("package", "intent-a.json", "--to", tmp_path / "new").exit_code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"Kptfile", "kustomization.yaml"}
    again = run("package", "intent-a.json", "--to", tmp_path / "new")
    assert again.exit_code == 2
    assert "name a folder that does not" in again.stderr


@pytest.mark.long
def test_programs_get_the_files(world: World) -> None:
    answered(world)
    reported = json.loads(run("package", "intent-a.json", "--output", "json").stdout)
    assert reported["name"] == "cnf-simulator-v1.0.0"
    assert reported["files"]["Kptfile"] == "replicas: 3 # run 1\n"


def test_an_intent_without_a_package_says_why(world: World) -> None:
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    answered(world)
    result = run("package", "intent-a.json")
    assert result.exit_code == 1
    assert "has no package: it is failed" in result.stderr
    assert "conductor-loop logs intent-a.json" in result.stderr


def test_the_next_step_for_a_name_with_a_space_is_quoted(world: World) -> None:
    answered(world, "intent-bad name.json")
    assert "see: conductor-loop logs 'intent-bad name.json'\n" in run("package", "intent-bad name.json").stderr


def test_an_intent_without_an_answer_exits_with_3_and_a_name_of_nothing_with_2(world: World) -> None:
    world.drop()
    assert run("package", "intent-a.json").exit_code == 3
    assert run("diff", "intent-b.json").exit_code == 2


def test_two_packages_of_a_target_are_compared(world: World) -> None:
    answered(world)
    answered(world, "intent-b.json", replicas=5)
    result = run("diff", "intent-b.json")
    assert result.exit_code == 0, result.output
    assert "--- cnf-simulator-v1.0.0/Kptfile" in result.stdout
    assert {"-replicas: 3 # run 1", "+replicas: 5 # run 2"} <= set(result.stdout.splitlines())
    assert "cnf-simulator-v1.0.0 -> cnf-simulator-v1.0.1: 2 of 2 files differ" in result.stderr


@pytest.mark.long
def test_the_tenth_package_is_compared_with_the_ninth_although_all_are_of_one_second(world: World) -> None:
    for number in range(11):
        answered(world, f"intent-{number}.json", replicas=number)
    reported = json.loads(run("diff", "intent-10.json", "--output", "json").stdout)
    assert (reported["previous"], reported["package"]) == ("cnf-simulator-v1.0.9", "cnf-simulator-v1.0.10")


@pytest.mark.long
def test_the_first_package_of_a_target_is_compared_with_nothing(world: World) -> None:
    answered(world, target="cnf-simulator-b")
    answered(world, "intent-b.json")
    result = run("diff", "intent-b.json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "is the target's first package" in result.stderr


@pytest.mark.long
def test_packages_of_one_name_are_distinguished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(world.porch), "__call__", lambda _, request: named_alike(request))
    answered(world, replicas=1)
    answered(world, "intent-b.json", replicas=2)
    answered(world, "intent-c.json", replicas=4)
    assert "replicas: 2" in run("package", "intent-b.json").stdout
    reported = json.loads(run("diff", "intent-b.json", "--output", "json").stdout)
    assert "-replicas: 1" in reported["changes"]["Kptfile"]
    assert "-extra" in reported["changes"]["extra.yaml"], "a file that it no longer has"


def test_what_an_attempt_has_left_that_died_is_not_the_package_before(world: World) -> None:
    answered(world)
    handoff = world.drop("intent-b.json", intent(replicas=5))
    with instead(world, is_decision, _die), pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    world.clock.wait(150)
    admit.answer(world.app, handoff, world.deadline)
    reported = json.loads(run("diff", "intent-b.json", "--output", "json").stdout)
    assert (reported["previous"], reported["package"]) == ("cnf-simulator-v1.0.0", "cnf-simulator-v1.0.2")


@pytest.mark.long
def test_a_file_that_another_program_has_replaced_or_removed_is_not_shown(
    world: World, aws: boto3.session.Session
) -> None:
    answered(world)
    key = f"{world.status()['package']['prefix']}Kptfile"
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"-")
    assert "was replaced" in run("package", "intent-a.json").stderr
    aws.client("s3").delete_object(Bucket=BUCKET, Key=key)
    assert "is gone" in run("package", "intent-a.json").stderr


def _die(*_: object) -> Never:
    raise SystemExit


@pytest.mark.long
def test_what_a_porch_wrote_moves_no_cursor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def hostile(_: object, request: PorchRequest) -> Made:
        del request
        files = {"Kptfile": b"a\x1b[2Jb\n\ttab\n", "binary": b"\xff\xfe"}
        return Made(Package("x", files), Run(exit_code=0, stdout="", stderr="", duration_seconds=0.1))

    monkeypatch.setattr(type(world.porch), "__call__", hostile)
    answered(world)
    shown = run("package", "intent-a.json").stdout
    assert "\x1b" not in shown
    assert "\ttab" in shown
    assert "(2 bytes that are no text)" in shown
