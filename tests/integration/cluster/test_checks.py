"""What porch makes of a cluster: the exit codes 2 to 5 of the specification, and true replicas."""

import pytest

from tests.integration.cluster.world import World, deployment, report


# ------------------------------------------------------------------ 0
def test_the_replicas_before_are_those_of_the_deployment(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(replicas=2))
    result = world.porch(PORCH_PREVIOUS_REPLICAS="7")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Package successfully created: cnf-simulator-v1.0.0\n"
        "Deployment target: oran-sim/cnf-simulator\n"
        "Replicas updated: 2 -> 3\n"
        "Delivery: check\n"
    )


def test_structured_output_says_that_the_cluster_was_looked_at(world: World) -> None:
    document = report(world.porch("-structured"))
    assert document["delivery"] == "check"
    assert document["deployment"]["previous_replicas"] == 1


def test_a_deployment_without_replicas_has_one_as_kubernetes_has_it(world: World) -> None:
    del world.api.deployment()["spec"]["replicas"]
    assert "Replicas updated: 1 -> 3\n" in world.porch().stdout


def test_an_empty_kubeconfig_flag_works_offline_whatever_the_environment_says(world: World) -> None:
    assert "Delivery: package\n" in world.porch("-kubeconfig=").stdout
    assert world.api.requests == []


def test_the_flag_goes_before_the_environment(world: World) -> None:
    result = world.porch("-kubeconfig", str(world.kubeconfig()), KUBECONFIG="/nowhere")
    assert result.returncode == 0


def test_only_what_is_needed_is_asked(world: World) -> None:
    world.porch()
    assert world.api.requests == ["GET /apis/apps/v1/namespaces/oran-sim/deployments/cnf-simulator"]


# ------------------------------------------------------------------ 2
def test_a_deployment_that_is_not_there_is_exit_2(world: World) -> None:
    world.api.objects.clear()
    result = world.porch()
    assert result.returncode == 2
    assert result.stderr == ("Error: Deployment oran-sim/cnf-simulator is not found: create it, or correct $.target\n")
    assert world.wrote() == []


def test_a_namespace_that_is_not_there_is_exit_2(world: World) -> None:
    world.api.objects.clear()
    world.api.namespaces.clear()
    result = world.porch()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: namespace oran-sim is not found: create it, or correct $.namespace\n"


def test_a_namespace_that_is_not_there_is_seen_behind_a_role_that_went_with_it(world: World) -> None:
    world.api.namespaces.clear()
    world.api.faults.forbidden = {"deployments"}
    assert world.porch().returncode == 2


# ------------------------------------------------------------------ 3
@pytest.mark.parametrize("kind", ["deployments", "horizontalpodautoscalers"])
def test_what_porch_may_not_look_at_is_exit_3(world: World, kind: str) -> None:
    world.api.faults.forbidden = {kind, "namespaces"}
    result = world.porch(PORCH_DELIVERY="scale")
    assert (result.returncode, world.wrote()) == (3, [])
    assert f'resource "{kind}"' in result.stderr
    assert "docs/porch.md has the Role" in result.stderr


def test_credentials_that_are_not_accepted_are_exit_3(world: World) -> None:
    result = world.porch(KUBECONFIG=str(world.kubeconfig({"token": "an-old-one"})))
    assert result.returncode == 3
    assert "401 (Unauthorized)" in result.stderr
