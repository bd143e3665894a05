"""What a plan says of an intent, and that it changes nothing; on memory, and on moto."""

import base64
from typing import Any

import boto3
import pytest

from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from conductor_loop.planning import Draft, plan
from conductor_loop.porch import Delivered, NoDryRun, Package, PorchRequest, Result, Run
from conductor_loop.rates import Rate
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE


def planned(world: World, file: str = "intent-b.json", principal: str = "AWS:caller", **fields: Any) -> Any:
    return plan(world.app, Draft(file, intent(**fields), principal), world.deadline)


def applied(world: World, file: str = "intent-a.json", **fields: Any) -> None:
    admit.answer(world.app, world.drop(file, intent(**fields)), world.deadline)


def test_a_plan_names_what_is_there_what_is_wanted_and_the_package(parts: World) -> None:
    applied(parts, replicas=3)
    found = planned(parts, replicas=5)
    assert (found["target"], found["replicas"]) == ("oran-sim/cnf-simulator", 5)
    assert found["applied"] == {"file": "intent-a.json", "replicas": 3}
    assert found["package"]["name"] == "cnf-simulator-v1.0.1"
    assert base64.b64decode(found["package"]["files"]["Kptfile"]) == b"replicas: 5 # run 2\n"
    assert found["priority"] == {"asked": "normal", "granted": "normal", "note": ""}


def test_a_target_that_no_intent_was_applied_to_has_no_previous_one(parts: World) -> None:
    found = planned(parts)
    assert found["applied"] is None
    assert found["busy"] is False


def test_porch_receives_the_dry_run_flag_and_what_the_state_table_holds(parts: World) -> None:
    applied(parts, replicas=3)
    planned(parts, replicas=5, timeout="10s")
    request = parts.porch.requests[-1]
    assert request.dry_run
    assert (request.previous_version, request.previous_replicas, request.timeout_seconds) == ("v1.0.0", 3, 10)


def test_porch_gets_no_more_time_than_is_left_to_answer_in(parts: World) -> None:
    plan(parts.app, Draft("intent-b.json", intent()), parts.clock.now + 12)
    assert 0 < parts.porch.requests[-1].timeout_seconds < 12


@pytest.mark.parametrize("fields", [{}, {"replicas": 5000}, {"priority": "high"}, {"correlation_id": "c-1"}])
def test_a_plan_changes_nothing(world: World, aws: boto3.session.Session, fields: dict[str, Any]) -> None:
    applied(world, correlation_id="c-1")
    table = aws.client("dynamodb")
    before = table.scan(TableName=TABLE)["Items"], world.listing(), world.measured[:], world.noted[:]
    planned(world, "intent-a.json", **fields)
    after = table.scan(TableName=TABLE)["Items"], world.listing(), world.measured[:], world.noted[:]
    assert after == before


def test_an_intent_that_breaks_a_rule_is_refused_with_every_violation_and_porch_is_not_run(parts: World) -> None:
    refused = planned(parts, replicas=5000, target="Upper")["refused"]
    assert (refused["code"], refused["error_code"]) == ("E003", "SCHEMA_VIOLATION")
    assert {one["path"] for one in refused["violations"]} == {"$.replicas", "$.target"}
    assert parts.porch.requests == []


def test_a_name_that_no_intent_can_have_is_refused(parts: World) -> None:
    assert planned(parts, "scale.json")["refused"]["code"] == "E001"


def test_a_correlation_id_of_another_file_is_refused_as_it_would_be(parts: World) -> None:
    applied(parts, correlation_id="c-1")
    assert planned(parts, correlation_id="c-1")["refused"]["code"] == "E004"
    assert "refused" not in planned(parts, "intent-a.json", correlation_id="c-1")
    parts.configure(unique_correlation_ids=False)
    assert "refused" not in planned(parts, correlation_id="c-1")


@pytest.mark.parametrize(("principal", "granted"), [("AWS:oncall-7", "critical"), ("AWS:caller", "normal")])
def test_critical_is_granted_to_those_who_have_the_right(parts: World, principal: str, granted: str) -> None:
    parts.configure(critical_principals=("AWS:oncall-*",))
    found = planned(parts, principal=principal, priority="critical")["priority"]
    assert (found["asked"], found["granted"]) == ("critical", granted)
    assert ("refused to AWS:caller" in found["note"]) is (granted == "normal")


def test_high_is_granted_within_its_limit_and_planning_takes_no_token(parts: World) -> None:
    parts.configure(high_per_minute=2)
    for _ in range(5):
        assert planned(parts, priority="high")["priority"]["granted"] == "high"
    rate = Rate(2, 60, 2)
    assert parts.buckets.take("priority-high", rate, parts.clock()).remaining == 1
    parts.buckets.take("priority-high", rate, parts.clock())
    found = planned(parts, priority="high")["priority"]
    assert (found["granted"], found["note"]) == (
        "normal",
        "priority high is over its rate limit: treated as normal",
    )


@pytest.mark.parametrize(
    ("cause", "code", "retried"),
    [(Cause.DEPLOYMENT_NOT_FOUND, "E013", False), (Cause.NETWORK_ERROR, "E014", True)],
)
def test_what_porch_fails_for_is_named(parts: World, cause: Cause, code: str, *, retried: bool) -> None:
    parts.porch.script = [cause]
    failed = planned(parts)["failed"]
    assert (failed["error_code"], failed["code"], failed["retried"]) == (cause.value, code, retried)


def answering(answer: Result | Exception) -> Any:
    def run(_: Any, request: PorchRequest) -> Result:
        del request
        if isinstance(answer, Exception):
            raise answer
        return answer

    return run


NOTHING = Run(exit_code=0, stdout="", stderr="", duration_seconds=0.1)


def test_the_replicas_of_the_cluster_are_shown_beside_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    made = Result(Package("p", {"Kptfile": b"x"}), NOTHING, None, Delivered("scale", 4, None, None, ("mind",)))
    monkeypatch.setattr(type(world.porch), "__call__", answering(made))
    assert planned(world)["delivered"] == {"delivery": "scale", "previous_replicas": 4, "notes": ["mind"]}


def test_a_porch_without_a_dry_run_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(type(world.porch), "__call__", answering(NoDryRun(Cause.PORCH_FAILED, NOTHING, "it has none")))
    found = planned(world)
    assert found["untried"] == "it has none"
    assert "package" not in found


def test_a_package_that_is_too_large_for_an_answer_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    made = Result(Package("p", {"Kptfile": b"x" * 5 * 1024**2}), NOTHING)
    monkeypatch.setattr(type(world.porch), "__call__", answering(made))
    assert planned(world)["package"] == {"name": "p", "files": None}


def test_a_target_whose_lease_is_held_is_busy(parts: World) -> None:
    seen: list[bool] = []

    def look() -> None:
        if len(parts.porch.requests) == 1:
            seen.append(planned(parts, replicas=9)["busy"])

    parts.porch.on_run = look
    applied(parts)
    assert seen == [True]


def test_the_bucket_is_not_looked_at(parts: World) -> None:
    planned(parts)
    assert parts.bucket.keys(BUCKET) == []
