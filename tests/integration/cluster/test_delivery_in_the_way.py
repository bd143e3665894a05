"""Deliveries that something stands in the way of: older intents, other people, and what cannot be."""

from collections.abc import Callable

import pytest

from tests.integration.cluster.delivering import (
    NAME,
    PUBLISH,
    REPOSITORY,
    good,
    lifecycles,
    next_intent,
    only,
    patched,
    propose_deletion,
    writes,
)
from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import World


# ------------------------------------------------------------------ what an older intent left
@pytest.mark.parametrize("left_behind", ["Draft", "Proposed"])
@pytest.mark.parametrize("environment", [REPOSITORY, PUBLISH])
def test_an_unpublished_first_revision_of_an_older_intent_is_taken_over(
    world: World, registry: PorchRegistry, environment: dict[str, str], left_behind: str
) -> None:
    good(world.porch(**REPOSITORY))
    only(registry)["spec"]["lifecycle"] = left_behind
    for _ in range(2):
        next_intent(world, environment)
        revision = only(registry)
        assert patched(registry, revision["metadata"]["name"]) == 2
        assert revision["spec"]["lifecycle"] == ("Published" if environment is PUBLISH else "Proposed")


@pytest.mark.parametrize("environment", [REPOSITORY, PUBLISH])
def test_taking_over_is_continued_after_any_request(
    world: World, registry: PorchRegistry, environment: dict[str, str]
) -> None:
    good(world.porch(**REPOSITORY))
    for cut in range(1, 40):
        world.api.requests.clear()
        world.api.faults.hang_up_after = cut
        result = world.porch(intent={"name": "intent-cut.json", "replicas": 2}, **environment)
        if result.returncode == 0:
            break
    assert cut > 5
    assert patched(registry, only(registry)["metadata"]["name"]) == 2


def test_a_draft_of_another_client_is_not_touched(world: World, registry: PorchRegistry) -> None:
    task = {"type": "init", "init": {"description": "by hand"}}
    spec = {
        "repository": "edge-1",
        "packageName": "oran-sim--cnf-simulator",
        "workspaceName": "by-hand",
        "tasks": [task],
    }
    registry.create({"spec": spec})
    result = world.porch(**REPOSITORY)
    assert result.returncode == 76
    assert f"{NAME}.by-hand is not of porch's making: publish it, or delete it" in result.stderr
    assert writes(world) == []


# ------------------------------------------------------------------ others at work
def test_conflicts_that_pass_are_tried_again_with_what_is_there_then(world: World, registry: PorchRegistry) -> None:
    registry.busy = 2
    registry.meddling = 2
    good(world.porch(**PUBLISH))
    assert lifecycles(registry) == [("Published", 1)]


def test_conflicts_that_do_not_pass_are_exit_4_after_a_bounded_number_of_attempts(
    world: World, registry: PorchRegistry
) -> None:
    registry.meddling = 1000
    result = world.porch(**REPOSITORY)
    assert result.returncode == 4
    assert "keeps changing in Porch (Internal error occurred: Operation cannot be fulfilled" in result.stderr
    assert sum("packagerevisionresources" in each for each in writes(world)) == 5


def moved(registry: PorchRegistry, lifecycle: str) -> Callable[[str, str], None]:
    """Let another client change every revision just before porch fills it."""

    def move(method: str, path: str) -> None:
        if method == "PUT" and "packagerevisionresources" in path:
            for revision in registry.revisions.values():
                revision["spec"]["lifecycle"] = lifecycle

    return move


def test_a_draft_that_another_client_proposes_meanwhile_is_left_as_it_is(world: World, registry: PorchRegistry) -> None:
    world.api.faults.before = moved(registry, "Proposed")
    good(world.porch(**REPOSITORY))
    assert lifecycles(registry) == [("Proposed", 0)]


# ------------------------------------------------------------------ what is not possible
@pytest.mark.parametrize(
    ("environment", "code", "words"),
    [
        ({**REPOSITORY, "PORCH_REPOSITORY": "nowhere"}, 78, "Porch has no repository default/nowhere: register it"),
        ({**REPOSITORY, "PORCH_REPOSITORY": "newer"}, 76, "is managed by v1alpha2"),
        ({**REPOSITORY, "PORCH_REPOSITORY": "../up"}, 64, "PORCH_REPOSITORY is '../up': make it a name"),
        ({**REPOSITORY, "PORCH_NAMESPACE": "a/b"}, 64, "PORCH_NAMESPACE is 'a/b'"),
        ({**REPOSITORY, "PORCH_PUBLISH": "perhaps"}, 64, "PORCH_PUBLISH is 'perhaps': make it true or false"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_repository_that_cannot_be_used_is_named(
    world: World, environment: dict[str, str], code: int, words: str
) -> None:
    result = world.porch(**environment)
    assert (result.returncode, result.stdout) == (code, "")
    assert words in result.stderr


def test_a_cluster_without_porch_is_a_fault_of_the_configuration(world: World) -> None:
    result = world.porch(**REPOSITORY)
    assert result.returncode == 78
    assert "the cluster has no Porch (porch.kpt.dev/v1alpha1): install it, or choose another delivery" in result.stderr


@pytest.mark.parametrize("published_before", [False, True])
def test_an_older_porch_is_refused_plainly(world: World, registry: PorchRegistry, *, published_before: bool) -> None:
    if published_before:
        good(world.porch(**PUBLISH))
        only(registry)["spec"]["revision"] = 1
        for each in registry.revisions.values():
            each["spec"]["revision"] = f"v{each['spec']['revision']}"
    else:
        registry.names = "{repository}-5f3a"
    result = world.porch(intent={"name": "intent-b.json", "replicas": 2}, **REPOSITORY, PORCH_PREVIOUS_VERSION="v1.0.0")
    assert result.returncode == 78
    assert "is of an older Porch: upgrade that to 1.5 or newer, or to 4.1.2" in result.stderr


def test_a_repository_without_a_cluster_is_wrong_usage(world: World) -> None:
    result = world.porch("-kubeconfig=", **REPOSITORY)
    assert result.returncode == 64
    assert "delivery repository needs a cluster: give -kubeconfig" in result.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORCH_DELIVERY": "repository"}, "set PORCH_REPOSITORY"),
        ({"PORCH_REPOSITORY": "edge-1"}, "nothing says to use it: set PORCH_DELIVERY=repository"),
        ({"PORCH_DELIVERY": "by-post"}, "PORCH_DELIVERY is 'by-post': make it package, check, scale, repository"),
        ({"PORCH_DELIVERY": "scale", "KUBECONFIG": ""}, "delivery scale needs a cluster"),
        ({"PORCH_DELIVERY": "check", "KUBECONFIG": ""}, "delivery check needs a cluster"),
    ],
)
def test_a_delivery_without_what_it_needs_is_wrong_usage(world: World, environment: dict[str, str], words: str) -> None:
    result = world.porch(**environment)
    assert (result.returncode, result.stdout, world.wrote(), world.api.requests) == (64, "", [], [])
    assert words in result.stderr


def test_delivery_package_asks_no_cluster_though_there_is_one(world: World) -> None:
    result = world.porch(PORCH_DELIVERY="package")
    assert (result.returncode, world.api.requests) == (0, [])
    assert "Delivery: package\n" in result.stdout


@pytest.mark.parametrize("kind", ["packagerevisions", "packagerevisionresources", "packagerevisions/approval"])
@pytest.mark.usefixtures("registry")
def test_what_porch_may_not_write_is_exit_3(world: World, kind: str) -> None:
    world.api.faults.forbidden = {kind}
    assert world.porch(**PUBLISH).returncode == 3


@pytest.mark.usefixtures("registry")
def test_a_porch_server_that_is_down_is_exit_4(world: World) -> None:
    world.api.faults.answers["/packagerevisions"] = (
        503,
        {},
        b'{"kind":"Status","message":"error trying to reach service"}',
    )
    result = world.porch(**REPOSITORY)
    assert result.returncode == 4
    assert "503 (error trying to reach service)" in result.stderr


@pytest.mark.usefixtures("registry")
def test_an_intent_that_the_cluster_rules_out_never_reaches_porch(world: World) -> None:
    world.api.objects.clear()
    assert world.porch(**REPOSITORY).returncode == 2
    assert not any("packagerevisions" in each for each in world.api.requests)


# ------------------------------------------------------------------ proposed for deletion
def test_a_revision_that_is_to_be_deleted_is_published_again(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**PUBLISH))
    propose_deletion(registry)
    assert "(Published)\n" in good(world.porch(**PUBLISH)).stdout
    assert lifecycles(registry) == [("Published", 1)]


def test_a_revision_that_is_to_be_deleted_is_exit_76_where_porch_publishes_nothing(
    world: World, registry: PorchRegistry
) -> None:
    good(world.porch(**PUBLISH))
    propose_deletion(registry)
    result = world.porch(**REPOSITORY)
    assert result.returncode == 76
    assert "its deletion is proposed: reject that (porchctl rpkg reject)" in result.stderr
    assert lifecycles(registry) == [("DeletionProposed", 1)]


def test_an_older_revision_that_says_the_same_and_is_to_be_deleted_is_not_relied_on(
    world: World, registry: PorchRegistry
) -> None:
    good(world.porch(**PUBLISH))
    propose_deletion(registry)
    revision, name = only(registry), f"{NAME}.by-hand"
    for kept in (registry.revisions, registry.files):
        kept[name] = kept.pop(revision["metadata"]["name"])
    revision["metadata"]["name"], revision["spec"]["workspaceName"] = name, "by-hand"
    result = good(world.porch(**PUBLISH))
    assert "(Published)\n" in result.stdout
    assert lifecycles(registry) == [("DeletionProposed", 1), ("Published", 2)]
