"""``conductor-loop undo``, on moto; while it waits, the pipeline works."""

import json
import time
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from conductor_loop.cli import config, intents, main
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Target, order
from conductor_loop.porch import Delivered, Package, Run
from conductor_loop.porch import Result as Made
from conductor_loop.storage.state import DynamoDBStateTable
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE


@pytest.fixture(autouse=True)
def stack(world: World, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    environment = {"Variables": {"CONDUCTOR_STATE_TABLE": TABLE, "CONDUCTOR_PROCESSING_PRIORITY_QUEUES": "false"}}
    monkeypatch.setattr(config, "_function", lambda _: {"Environment": environment, "Timeout": 120})
    stacks["conductor-loop"] = {
        "HandoffBucket": BUCKET,
        "StateTable": TABLE,
        "ConfigParameter": "/stack/config",
        "ConductorFunction": "conductor",
    }
    monkeypatch.setattr(time, "sleep", lambda _: work(world))


def work(world: World) -> None:
    """Answer whatever lies in the root."""
    for name in [name for name in world.listing() if "/" not in name]:
        version = world.bucket.client.head_object(Bucket=BUCKET, Key=name)["VersionId"]
        world.clock.wait(1)
        handoff = Handoff(BUCKET, name, version, event_time=when(world), order=order(when(world), "0A"))
        admit.answer(world.app, handoff, world.deadline)


def when(world: World) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(world.clock.now))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["undo", *arguments])


def applied(world: World, file: str, **fields: Any) -> None:
    admit.answer(world.app, world.drop(file, intent(**fields)), world.deadline)


def body(world: World, file: str) -> Any:
    return json.loads(world.bucket.get(BUCKET, file))


def replicas(world: World) -> int | None:
    return world.state.target("oran-sim/cnf-simulator").replicas


def test_a_target_is_put_back_to_what_it_was_before(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    result = run("intent-b.json", "--wait")
    assert result.exit_code == 0, result.output
    assert "intent-undo-b.json puts oran-sim/cnf-simulator back to 3 replicas" in result.stderr
    assert replicas(world) == 3
    assert world.status("intent-undo-b.json")["status"] == "success"


@pytest.mark.long
def test_the_intent_that_is_sent_says_what_it_is(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=0, priority="low", correlation_id="c-1")
    result = run("intent-b.json")
    assert result.exit_code == 0, result.output
    assert body(world, "intent-undo-b.json") == {
        "intent_type": "scaling",
        "target": "cnf-simulator",
        "namespace": "oran-sim",
        "replicas": 3,
        "reason": "Undo of intent-b.json",
        "source": "user",
    }


@pytest.mark.long
def test_what_was_undone_can_be_done_again_by_undoing_that(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    assert run("intent-b.json", "--wait").exit_code == 0
    assert run("intent-undo-b.json", "--wait").exit_code == 0
    assert replicas(world) == 5


@pytest.mark.long
def test_the_clusters_number_goes_before_that_of_the_intent_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of = Run(exit_code=0, stdout="", stderr="", duration_seconds=0.1)
    made = Made(Package("p-v1.0.0", {"Kptfile": b"x"}), run_of, None, Delivered("scale", 7, 5))
    monkeypatch.setattr(type(world.porch), "__call__", lambda *_: made)
    applied(world, "intent-b.json", replicas=5)
    assert run("intent-b.json").exit_code == 0
    assert body(world, "intent-undo-b.json")["replicas"] == 7


def test_only_the_last_applied_intent_of_a_target_is_undone(world: World) -> None:
    for number, file in enumerate(("intent-a.json", "intent-b.json", "intent-c.json")):
        applied(world, file, replicas=number + 1)
    before = world.listing()
    result = run("intent-b.json")
    assert result.exit_code == 1
    assert "intent-b.json is not the last applied intent of oran-sim/cnf-simulator: intent-c.json is" in result.stderr
    assert world.listing() == before


@pytest.mark.long
def test_an_intent_of_another_target_blocks_no_undo(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    applied(world, "intent-c.json", target="other")
    world.drop("intent-d.json", intent(target="other"))
    assert run("intent-b.json").exit_code == 0


@pytest.mark.long
def test_one_that_waits_for_the_same_target_goes_first(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    world.drop("intent-c.json", intent(replicas=9))
    result = run("intent-b.json")
    assert result.exit_code == 1
    assert "intent-c.json waits for the same target" in result.stderr


def test_one_that_is_applied_while_undo_looks_is_not_undone_unseen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    world.drop("intent-c.json", intent(replicas=9))
    look = DynamoDBStateTable.target

    def looked(state: DynamoDBStateTable, name: str) -> Target:
        found = look(state, name)
        monkeypatch.setattr(DynamoDBStateTable, "target", look)
        work(world)  # just after: the root is empty by now
        return found

    monkeypatch.setattr(DynamoDBStateTable, "target", looked)
    assert run("intent-b.json").exit_code == 1
    assert "intent-undo-b.json" not in world.listing()


def test_where_not_all_that_waits_can_be_looked_at_nothing_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    monkeypatch.setattr(intents, "_MOST_WAITING", 1)
    for file in ("intent-c.json", "intent-d.json"):
        world.drop(file, intent(target="other"))
    result = run("intent-b.json")
    assert (result.exit_code, "more intents wait than are looked at" in result.stderr) == (1, True)
    assert "intent-undo-b.json" not in world.listing()


def test_the_first_intent_of_a_target_has_nothing_known_before_it(world: World) -> None:
    applied(world, "intent-a.json")
    result = run("intent-a.json")
    assert result.exit_code == 1
    assert "how many replicas there were before intent-a.json is unknown" in result.stderr


@pytest.mark.long
def test_an_intent_that_left_the_replicas_as_they_were_is_nothing_to_undo(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=3)
    result = run("intent-b.json")
    assert (result.exit_code, "there is nothing to undo" in result.stderr) == (1, True)


@pytest.mark.long
def test_an_intent_that_failed_changed_nothing(world: World) -> None:
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    applied(world, "intent-a.json")
    result = run("intent-a.json")
    assert (result.exit_code, "intent-a.json changed nothing: it is failed" in result.stderr) == (1, True)


@pytest.mark.long
@pytest.mark.parametrize("newer", ["refused", "withdrawn"])
def test_a_name_that_was_applied_is_undone_whatever_came_of_it_when_it_was_sent_again(world: World, newer: str) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    world.configure(priority_queues=True)
    again = world.drop("intent-b.json", intent(replicas="9" if newer == "refused" else 9))
    admit.answer(world.app, again, world.deadline)
    if newer == "withdrawn":
        world.bucket.client.delete_object(Bucket=BUCKET, Key="intent-b.json")
        world.work()
    assert world.status("intent-b.json")["version_id"] == again.version_id
    result = run("intent-b.json")
    assert result.exit_code == 0, result.output
    assert body(world, "intent-undo-b.json")["replicas"] == 3


@pytest.mark.long
def test_an_intent_whose_row_has_expired_is_undone_by_its_status(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    version = world.status("intent-b.json")["version_id"]
    key = {"pk": {"S": "intent#intent-b.json"}, "sk": {"S": version}}
    boto3.client("dynamodb").delete_item(TableName=TABLE, Key=key)
    assert run("intent-b.json").exit_code == 0
    assert body(world, "intent-undo-b.json")["replicas"] == 3


def test_a_name_without_an_answer_exits_with_3_and_one_of_nothing_with_2(world: World) -> None:
    world.drop("intent-a.json")
    assert run("intent-a.json").exit_code == 3
    assert run("intent-b.json").exit_code == 2


def test_a_second_undo_does_not_replace_the_first(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    assert run("intent-b.json").exit_code == 0
    again = run("intent-b.json")
    assert again.exit_code == 1
    assert "intent-undo-b.json waits for the same target" in again.stderr


def test_what_the_rules_forbid_by_now_is_not_sent(world: World) -> None:
    applied(world, "intent-a.json", replicas=30)
    applied(world, "intent-b.json", replicas=5)
    document = json.dumps({"validation": {"max_replicas": 9}})
    boto3.client("ssm").put_parameter(Name="/stack/config", Value=document, Type="String")
    result = run("intent-b.json")
    assert (result.exit_code, "$.replicas breaks maximum" in result.stderr) == (1, True)
    assert "intent-undo-b.json" not in world.listing()


@pytest.mark.long
def test_a_name_with_a_word_that_the_strict_list_refuses_is_undone_all_the_same(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-format-eval.json", replicas=5)
    result = run("intent-format-eval.json")
    assert result.exit_code == 0, result.output
    assert body(world, "intent-undo-format-eval.json")["replicas"] == 3


@pytest.mark.long
def test_a_long_name_gives_a_name_that_fits(world: World) -> None:
    long = f"intent-{'x' * 180}.json"
    applied(world, "intent-a.json", replicas=3)
    applied(world, long, replicas=5)
    assert run(long).exit_code == 0
    (sent,) = [name for name in world.listing() if name.startswith("intent-undo-")]
    assert len(sent) <= 200


@pytest.mark.long
def test_programs_get_what_was_sent(world: World) -> None:
    applied(world, "intent-a.json", replicas=3)
    applied(world, "intent-b.json", replicas=5)
    result = run("intent-b.json", "--wait", "--output", "json")
    (one,) = json.loads(result.stdout)
    assert (one["file"], one["state"]) == ("intent-undo-b.json", "success")
