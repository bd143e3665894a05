"""What one pod takes: the sums that Kubernetes makes of containers, init containers and sidecars."""

from typing import Any

import pytest

from porch.cluster.pods import Pod, pod_of
from porch.cluster.quantity import parse


def container(cpu: str = "", name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"cpu": cpu}} if cpu else {}} | fields


def pod(*containers: dict[str, Any], limit_ranges: list[dict[str, Any]] | None = None, **spec: Any) -> Pod:
    return pod_of({"spec": {"containers": list(containers), **spec}}, limit_ranges or [])


def test_containers_run_side_by_side() -> None:
    assert pod(container("1"), container("500m")).requests == {"cpu": parse("1500m")}


def test_an_init_container_counts_where_it_needs_more_than_what_runs_after_it() -> None:
    assert pod(container("1"), initContainers=[container("3"), container("2")]).requests == {"cpu": parse("3")}


def test_an_init_container_that_needs_less_does_not_count() -> None:
    assert pod(container("1"), initContainers=[container("500m")]).requests == {"cpu": parse("1")}


def test_a_sidecar_runs_beside_the_containers_and_the_init_containers_after_it() -> None:
    sidecar = container("1", restartPolicy="Always")
    assert pod(container("1"), initContainers=[sidecar]).requests == {"cpu": parse("2")}
    assert pod(container("1"), initContainers=[sidecar, container("3")]).requests == {"cpu": parse("4")}
    assert pod(container("1"), initContainers=[container("3"), sidecar]).requests == {"cpu": parse("3")}


def test_a_runtimes_overhead_is_added() -> None:
    assert pod(container("1"), overhead={"cpu": "250m"}).requests == {"cpu": parse("1250m")}


def test_figures_of_the_pod_itself_replace_the_sum() -> None:
    assert pod(container("1"), resources={"requests": {"cpu": "3"}}).requests == {"cpu": parse("3")}


def test_a_limit_of_the_pod_itself_is_a_request_where_no_container_has_one() -> None:
    limits = {"cpu": "6", "memory": "1Gi", "hugepages-2Mi": "4Gi"}
    made = pod(container("1"), resources={"limits": limits})
    assert made.requests == {"cpu": parse("1"), "memory": parse("1Gi"), "hugepages-2Mi": parse("4Gi")}


def test_a_limit_of_the_pod_itself_goes_before_a_default_request() -> None:
    item = {"type": "Container", "defaultRequest": {"cpu": "1"}}
    made = pod(container(), limit_ranges=[{"spec": {"limits": [item]}}], resources={"limits": {"cpu": "6"}})
    assert made.requests == {"cpu": parse("6")}


def test_a_limit_of_the_pod_itself_is_no_more_than_a_limit_where_it_has_a_request() -> None:
    own = {"requests": {"cpu": "2"}, "limits": {"cpu": "6"}}
    assert pod(container(), resources=own).requests == {"cpu": parse("2")}


def test_a_limit_is_a_request_where_there_is_none() -> None:
    made = pod({"name": "app", "resources": {"limits": {"memory": "1Gi"}}})
    assert made.requests == made.limits == {"memory": parse("1Gi")}


def test_a_default_fills_in_only_what_is_missing() -> None:
    item = {
        "type": "Container",
        "default": {"cpu": "2", "memory": "1Gi"},
        "defaultRequest": {"cpu": "1", "memory": "1Gi"},
    }
    made = pod(container("500m"), limit_ranges=[{"spec": {"limits": [item]}}])
    assert made.requests == {"cpu": parse("500m"), "memory": parse("1Gi")}
    assert made.limits == {"cpu": parse("2"), "memory": parse("1Gi")}


@pytest.mark.parametrize(
    ("made", "best_effort"),
    [
        (pod(container()), True),
        (pod(container("1")), False),
        (pod(container("0")), True),
        (pod(container(), resources={"limits": {"memory": "1Gi"}}), False),
        (pod({"name": "app", "resources": {"requests": {"ephemeral-storage": "1Gi"}}}), True),
    ],
)
def test_a_pod_that_asks_for_neither_processor_nor_memory_is_best_effort(made: Pod, *, best_effort: bool) -> None:
    assert made.is_best_effort == best_effort


def test_an_affinity_to_pods_elsewhere_is_seen() -> None:
    term: dict[str, Any] = {"podAffinityTerm": {"namespaceSelector": {}}}
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert pod(container(), affinity=affinity).reaches_other_namespaces
    assert not pod(container()).reaches_other_namespaces


@pytest.mark.parametrize(
    "template", [{}, {"spec": None}, {"spec": {"containers": "none"}}, {"spec": {"containers": [None]}}]
)
def test_a_template_of_the_wrong_shape_asks_for_nothing(template: dict[str, Any]) -> None:
    assert pod_of(template, []).requests == {}
