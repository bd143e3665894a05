"""LimitRanges and HorizontalPodAutoscalers that rule the replicas out: exit 5."""

from typing import Any

import pytest

from tests.integration.cluster.world import World, cpu_memory


def autoscaler(world: World, least: int | None, most: int, **target: str) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cnf-simulator"} | target
    spec = {"scaleTargetRef": reference, "maxReplicas": most} | ({} if least is None else {"minReplicas": least})
    world.api.add("horizontalpodautoscalers", f"hpa-{len(world.api.objects)}", spec=spec)


def limit_range(world: World, **limit: Any) -> None:
    world.api.add("limitranges", "bounds", spec={"limits": [{"type": "Container", **limit}]})


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
