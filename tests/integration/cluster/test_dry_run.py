"""``-dry-run``: everything is looked at, the package is written, and nothing changes at the cluster."""

import json
from typing import Any

import pytest

from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.statuses import Document
from tests.integration.cluster.world import World, report

PATH = "/apis/apps/v1/namespaces/oran-sim/deployments/cnf-simulator"
PODS = "a dry run makes no pods: whether quotas and limits leave room for them, only the real one tells"


def dry(world: World, delivery: str, *flags: str, **environment: Any) -> Any:
    return world.porch("-dry-run", *flags, PORCH_DELIVERY=delivery, **environment)


def deployment(world: World) -> Document:
    """Give a copy of the Deployment, its versions included."""
    copy: Document = json.loads(json.dumps(world.api.deployment()))
    return copy


@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_a_dry_scale_changes_nothing_and_reports_what_it_would_change(world: World, wanted: int) -> None:
    before = deployment(world)
    document = report(dry(world, "scale", "-structured", intent={"replicas": wanted}))
    assert deployment(world) == before
    assert (document["dry_run"], document["delivery"]) == (True, "scale")
    assert document["deployment"]["previous_replicas"] == 1
    assert document["deployment"]["new_replicas"] == wanted
    assert "observed_replicas" not in document["deployment"]
    assert world.wrote() == ["cnf-simulator-v1.0.0"]


def test_the_cluster_is_asked_by_a_dry_run_of_its_own(world: World) -> None:
    result = dry(world, "scale")
    asked = dict(zip(world.api.requests, zip(world.api.queries, world.api.bodies, strict=True), strict=True))
    query, body = asked[f"PATCH {PATH}/scale"]
    assert (query, json.loads(body)) == ("fieldManager=conductor-loop&dryRun=All", {"spec": {"replicas": 3}})
    assert result.stderr == f"Note: {PODS}\n"
    assert "Dry run: nothing was changed elsewhere\n" in result.stdout


def test_what_admission_refuses_a_dry_scale_is_refused_too(world: World) -> None:
    status = {"kind": "Status", "reason": "Invalid", "message": "admission webhook says: at most two"}
    world.api.faults.answers["/scale"] = (422, {}, json.dumps(status).encode())
    result = dry(world, "scale")
    assert result.returncode == 76
    assert "at most two" in result.stderr


@pytest.mark.parametrize("delivery", ["check", "scale"])
def test_a_deployment_that_is_missing_is_exit_2_in_a_dry_run_too(world: World, delivery: str) -> None:
    del world.api.objects["deployments"]["oran-sim/cnf-simulator"]
    assert dry(world, delivery).returncode == 2


def test_a_dry_scale_that_porch_may_not_make_is_exit_3(world: World) -> None:
    world.api.faults.forbidden = {"deployments/scale"}
    assert dry(world, "scale").returncode == 3


def test_nothing_of_porch_is_asked_in_a_dry_delivery_to_a_repository(world: World, registry: PorchRegistry) -> None:
    result = dry(world, "repository", PORCH_REPOSITORY="edge-1", PORCH_NAMESPACE="default")
    assert (result.returncode, result.stderr) == (0, "Note: Porch itself is not asked in a dry run\n")
    assert not [request for request in world.api.requests if "porch" in request]
    del registry
