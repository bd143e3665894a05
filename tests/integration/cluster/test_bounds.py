"""HorizontalPodAutoscalers that would undo the replicas: exit 5, before anything is changed."""

import pytest

from tests.integration.cluster.world import World


def autoscaler(world: World, least: int | None, most: int, **target: str) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cnf-simulator"} | target
    spec = {"scaleTargetRef": reference, "maxReplicas": most} | ({} if least is None else {"minReplicas": least})
    number = len(world.api.objects.get("horizontalpodautoscalers", {})) + 1
    world.api.add("horizontalpodautoscalers", f"hpa-{number}", spec=spec)


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
    result = world.porch(PORCH_DELIVERY="scale")
    assert (result.returncode, world.wrote(), world.api.deployment()["spec"]["replicas"]) == (5, [], 1)
    assert f"HorizontalPodAutoscaler hpa-1 would undo 3 replicas, {words}" in result.stderr


def test_an_autoscaler_that_allows_the_replicas_is_a_note(world: World) -> None:
    autoscaler(world, 1, 10)
    result = world.porch(PORCH_DELIVERY="scale")
    assert result.returncode == 0
    assert result.stderr == "Note: HorizontalPodAutoscaler hpa-1 may change the replicas again, within 1 to 10\n"


def test_zero_replicas_turn_an_autoscaler_off_and_are_fine(world: World) -> None:
    autoscaler(world, 2, 10)
    result = world.porch(intent={"replicas": 0}, PORCH_DELIVERY="scale")
    assert result.returncode == 0
    assert result.stderr == "Note: HorizontalPodAutoscaler hpa-1 is off while there are 0 replicas\n"


@pytest.mark.parametrize("target", [{"name": "another"}, {"kind": "StatefulSet"}, {"apiVersion": "example.com/v1"}])
def test_an_autoscaler_of_something_else_does_not_matter(world: World, target: dict[str, str]) -> None:
    autoscaler(world, 10, 20, **target)
    result = world.porch(PORCH_DELIVERY="scale")
    assert (result.returncode, result.stderr) == (0, "")


def test_autoscalers_on_later_pages_count(world: World) -> None:
    world.api.page = 1
    for _ in range(3):
        autoscaler(world, 1, 10)
    autoscaler(world, 1, 2)
    assert world.porch(PORCH_DELIVERY="scale").returncode == 5
