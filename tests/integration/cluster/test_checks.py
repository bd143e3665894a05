"""What porch makes of a cluster: the exit codes 2 to 5 of the specification, and true replicas."""

from typing import Any

import pytest
import yaml

from tests.integration.cluster.world import World, cpu_memory, deployment, report


def quota(world: World, hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> None:
    status = {"hard": hard, "used": used or {}}
    world.api.add("resourcequotas", "compute", spec={"hard": hard, **spec}, status=status)


def autoscaler(world: World, least: int | None, most: int, **target: str) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cnf-simulator"} | target
    spec = {"scaleTargetRef": reference, "maxReplicas": most} | ({} if least is None else {"minReplicas": least})
    world.api.add("horizontalpodautoscalers", f"hpa-{len(world.api.objects)}", spec=spec)


def limit_range(world: World, **limit: Any) -> None:
    world.api.add("limitranges", "bounds", spec={"limits": [{"type": "Container", **limit}]})


# ------------------------------------------------------------------ 0
def test_the_replicas_before_are_those_of_the_deployment(world: World) -> None:
    world.api.add("deployments", "cnf-simulator", **deployment(replicas=2))
    result = world.porch(PORCH_PREVIOUS_REPLICAS="7")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Package successfully created: cnf-simulator-v1.0.0\n"
        "Deployment target: oran-sim/cnf-simulator\n"
        "Replicas updated: 2 -> 3\n"
        "Cluster: checked\n"
    )


def test_structured_output_says_that_the_cluster_was_checked(world: World) -> None:
    document = report(world.porch("-structured"))
    assert document["cluster"] == "checked"
    assert document["deployment"]["previous_replicas"] == 1


def test_a_deployment_without_replicas_has_one_as_kubernetes_has_it(world: World) -> None:
    del world.api.objects["deployments"]["cnf-simulator"]["spec"]["replicas"]
    assert "Replicas updated: 1 -> 3\n" in world.porch().stdout


def test_an_empty_kubeconfig_flag_works_offline_whatever_the_environment_says(world: World) -> None:
    assert "Cluster: offline, nothing was checked\n" in world.porch("-kubeconfig=").stdout
    assert world.api.requests == []


def test_the_flag_goes_before_the_environment(world: World) -> None:
    result = world.porch("-kubeconfig", str(world.kubeconfig()), KUBECONFIG="/nowhere")
    assert result.returncode == 0


def test_only_what_is_needed_is_asked(world: World) -> None:
    world.porch(intent={"replicas": 1})
    assert world.api.requests == [
        "GET /apis/apps/v1/namespaces/oran-sim/deployments/cnf-simulator",
        "GET /apis/autoscaling/v2/namespaces/oran-sim/horizontalpodautoscalers",
    ]


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
@pytest.mark.parametrize("kind", ["deployments", "horizontalpodautoscalers", "resourcequotas", "limitranges"])
def test_what_porch_may_not_look_at_is_exit_3(world: World, kind: str) -> None:
    world.api.faults.forbidden = {kind, "namespaces"}
    result = world.porch()
    assert (result.returncode, world.wrote()) == (3, [])
    assert f'cannot get resource "{kind}"' in result.stderr
    assert "docs/porch.md has the Role" in result.stderr


def test_credentials_that_are_not_accepted_are_exit_3(world: World) -> None:
    result = world.porch(KUBECONFIG=str(world.kubeconfig({"token": "an-old-one"})))
    assert result.returncode == 3
    assert "401 (Unauthorized)" in result.stderr


# ------------------------------------------------------------------ 5: ResourceQuota
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


# ------------------------------------------------------------------ 5: LimitRange
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max": {"cpu": "500m"}}, "container cnf has a limit of 1 cpu, max.cpu is 500m"),
        ({"min": {"memory": "300Mi"}}, "container cnf has a request of 256Mi memory, min.memory is 300Mi"),
        ({"max": {"nvidia.com/gpu": "1"}}, "container cnf has no limit of nvidia.com/gpu, max is 1"),
        ({"min": {"ephemeral-storage": "1Gi"}}, "container cnf has no request of ephemeral-storage, min is 1Gi"),
        ({"maxLimitRequestRatio": {"cpu": "1.5"}}, "container cnf has a limit of cpu more than 1.5 times its request"),
        ({"type": "Pod", "max": {"memory": "400Mi"}}, "the pod has a limit of 512Mi memory, max.memory is 400Mi"),
    ],
)
def test_a_limit_range_that_admits_no_such_pod_is_exit_5(world: World, limit: dict[str, Any], words: str) -> None:
    limit_range(world, **limit)
    result = world.porch()
    assert result.returncode == 5
    assert f"LimitRange bounds admits no new pod: {words}" in result.stderr


def test_a_limit_range_that_the_pods_keep_is_fine(world: World) -> None:
    limit_range(world, min=cpu_memory("100m", "64Mi"), max=cpu_memory("1", "512Mi"), maxLimitRequestRatio={"cpu": "2"})
    assert world.porch().returncode == 0


# ------------------------------------------------------------------ 5: HorizontalPodAutoscaler
@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (4, 10, "its spec.minReplicas is 4: lower spec.minReplicas, or ask for 4 to 10 replicas"),
        (1, 2, "its spec.maxReplicas is 2: raise spec.maxReplicas, or ask for 1 to 2 replicas"),
        (None, 2, "its spec.maxReplicas is 2"),
    ],
)
def test_replicas_that_an_autoscaler_would_undo_are_exit_5(
    world: World, least: int | None, most: int, words: str
) -> None:
    autoscaler(world, least, most)
    result = world.porch()
    assert (result.returncode, world.wrote()) == (5, [])
    assert f"HorizontalPodAutoscaler hpa-1 would undo 3 replicas, {words}" in result.stderr


def test_an_autoscaler_that_allows_the_replicas_is_a_note(world: World) -> None:
    autoscaler(world, 1, 10)
    result = world.porch()
    assert result.returncode == 0
    assert result.stderr == "Note: HorizontalPodAutoscaler hpa-1 may change the replicas again, within 1 to 10\n"


def test_zero_replicas_turn_an_autoscaler_off_and_are_fine(world: World) -> None:
    autoscaler(world, 2, 10)
    result = world.porch(intent={"replicas": 0})
    assert result.returncode == 0
    assert result.stderr == "Note: HorizontalPodAutoscaler hpa-1 is off while there are 0 replicas\n"


@pytest.mark.parametrize("target", [{"name": "another"}, {"kind": "StatefulSet"}, {"apiVersion": "example.com/v1"}])
def test_an_autoscaler_of_something_else_does_not_matter(world: World, target: dict[str, str]) -> None:
    autoscaler(world, 10, 20, **target)
    assert (world.porch().returncode, world.porch().stderr) == (0, "")


def test_the_package_tells_of_the_replicas_in_the_cluster(world: World) -> None:
    world.porch()
    package = world.directory / "out" / "cnf-simulator-v1.0.0"
    assert "Replicas: 1 -> 3." in (package / "README.md").read_text()
    assert yaml.safe_load((package / "deployment-patch.yaml").read_text())["spec"] == {"replicas": 3}
