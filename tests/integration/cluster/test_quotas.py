"""ResourceQuotas, counted as Kubernetes counts them: exit 5 where the new pods do not fit."""

from typing import Any

import pytest

from tests.integration.cluster.world import World, deployment


def quota(world: World, hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> None:
    status = {"hard": hard, "used": used or {}}
    world.api.add("resourcequotas", "compute", spec={"hard": hard, **spec}, status=status)


def limit_range(world: World, **limit: Any) -> None:
    world.api.add("limitranges", "bounds", spec={"limits": [{"type": "Container", **limit}]})


def test_replicas_that_fit_the_quota_exactly_are_fine(world: World) -> None:
    quota(
        world,
        {"pods": "3", "requests.cpu": "1500m", "limits.memory": "1536Mi"},
        {"pods": "1", "requests.cpu": "500m", "limits.memory": "512Mi"},
    )
    assert world.porch().returncode == 0


@pytest.mark.parametrize(
    ("line", "hard", "used", "numbers"),
    [
        ("pods", "2", "1", "leaves 1 of 2 pods, 2 more pods need 2"),
        ("count/pods", "2", "1", "leaves 1 of 2 count/pods, 2 more pods need 2"),
        ("cpu", "1", "500m", "leaves 500m of 1 cpu, 2 more pods need 1"),
        ("requests.cpu", "1499m", "500m", "leaves 999m of 1499m requests.cpu, 2 more pods need 1"),
        ("limits.cpu", "2", "1", "leaves 1 of 2 limits.cpu, 2 more pods need 2"),
        ("memory", "700Mi", "256Mi", "leaves 444Mi of 700Mi memory, 2 more pods need 512Mi"),
        ("requests.memory", "0.5Gi", "256Mi", "leaves 256Mi of 0.5Gi requests.memory, 2 more pods need 512Mi"),
        ("limits.memory", "1Gi", "512Mi", "leaves 512Mi of 1Gi limits.memory, 2 more pods need 1Gi"),
    ],
)
def test_replicas_beyond_a_quota_are_exit_5_with_the_line_and_the_numbers(
    world: World, line: str, hard: str, used: str, numbers: str
) -> None:
    quota(world, {line: hard}, {line: used})
    result = world.porch()
    assert (result.returncode, world.wrote()) == (5, [])
    assert f"ResourceQuota compute {numbers}: raise spec.hard of {line}, or ask for at most " in result.stderr


def test_every_line_that_is_exceeded_is_named_at_once(world: World) -> None:
    quota(world, {"pods": "1", "requests.cpu": "500m"}, {"pods": "1", "requests.cpu": "500m"})
    assert world.porch().stderr.count("Error: ResourceQuota compute leaves 0 of ") == 2


def test_only_pods_that_are_still_to_come_need_room(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(replicas=3))
    quota(world, {"pods": "4"}, {"pods": "3"})
    assert world.porch(intent={"replicas": 4}).returncode == 0


def test_pods_that_a_quota_kept_out_before_are_still_to_come(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(replicas=3) | {"status": {"replicas": 1}})
    quota(world, {"pods": "2"}, {"pods": "1"})
    result = world.porch(intent={"replicas": 3})
    assert result.returncode == 5
    assert "ask for at most 2 replicas" in result.stderr


def test_scaling_down_passes_an_exceeded_quota(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(replicas=5))
    quota(world, {"pods": "1"}, {"pods": "5"})
    assert world.porch().returncode == 0


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"scopes": ["NotTerminating"]}, 5),
        ({"scopes": ["Terminating"]}, 0),
        ({"scopes": ["NotBestEffort"]}, 5),
        ({"scopes": ["BestEffort"]}, 0),
        ({"scopes": ["CrossNamespacePodAffinity"]}, 0),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            5,
        ),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]
                }
            },
            0,
        ),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}, 0),
        ({"scopes": ["NotTerminating", "BestEffort"]}, 0),
    ],
)
def test_a_quota_counts_only_for_the_pods_in_its_scope(world: World, spec: dict[str, Any], code: int) -> None:
    template = deployment()["spec"]["template"]
    template["spec"]["priorityClassName"] = "high"
    world.api.add("deployments", "cnf-simulator", **deployment(template=template))
    quota(world, {"pods": "1"}, {"pods": "1"}, **spec)
    assert world.porch().returncode == code


def test_a_quota_over_a_figure_that_no_container_has_is_exit_5(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(resources={"requests": {"cpu": "1"}}))
    quota(world, {"requests.memory": "10Gi"})
    result = world.porch()
    assert result.returncode == 5
    assert "admits no pod without requests.memory, which container cnf lacks" in result.stderr


def test_defaults_of_a_limit_range_count_against_the_quota(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(resources={}))
    limit_range(world, default={"cpu": "2"}, defaultRequest={"cpu": "2"})
    quota(world, {"requests.cpu": "5"}, {"requests.cpu": "2"})
    assert "leaves 3 of 5 requests.cpu, 2 more pods need 4" in world.porch().stderr


def test_quotas_on_later_pages_count(world: World) -> None:
    world.api.page = 1
    for number in range(3):
        world.api.add("resourcequotas", f"wide-{number}", spec={"hard": {"pods": "100"}})
    quota(world, {"pods": "1"}, {"pods": "1"})
    assert world.porch().returncode == 5


def test_a_quota_without_room_for_a_rolling_update_is_a_note(world: World) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}
    world.api.add("deployments", "cnf-simulator", **deployment(strategy=rolling))
    quota(world, {"pods": "3"}, {"pods": "1"})
    result = world.porch()
    assert result.returncode == 0
    assert result.stderr == (
        "Note: a rolling update adds up to 1 pods for a while (maxSurge), and the quota has no room for them\n"
    )


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_a_quota_asks_no_figures_of_containers_whose_pod_has_its_own(world: World, kind: str) -> None:
    made = deployment(resources={})
    made["spec"]["template"]["spec"]["resources"] = {kind: {"cpu": "1"}}
    world.api.add("deployments", "cnf-simulator", **made)
    quota(world, {"requests.cpu": "10", "requests.memory": "10Gi"})
    assert world.porch().returncode == 0
