"""What porch makes of a Porch repository: one package revision for one intent, however often it is run."""

import pytest
import yaml

from tests.integration.cluster.delivering import (
    NAME,
    PUBLISH,
    REPOSITORY,
    good,
    lifecycles,
    next_intent,
    only,
    patched,
    writes,
)
from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import World, report


# ------------------------------------------------------------------ the first revision
def test_an_intent_becomes_a_proposed_package_revision(world: World, registry: PorchRegistry) -> None:
    result = good(world.porch(**REPOSITORY))
    revision = only(registry)
    name = revision["metadata"]["name"]
    assert name.startswith(f"{NAME}.intent-")
    assert name.endswith("-v1-0-0")
    assert result.stdout.endswith(f"Delivery: repository\nPackage revision: default/{name} (Proposed)\n")
    assert revision["spec"]["lifecycle"] == "Proposed"
    assert world.wrote() == ["cnf-simulator-v1.0.0"]


def test_structured_output_names_the_package_revision(world: World, registry: PorchRegistry) -> None:
    document = report(world.porch("-structured", **REPOSITORY))
    name = only(registry)["metadata"]["name"]
    assert document["package_revision"] == {"namespace": "default", "name": name, "lifecycle": "Proposed"}
    assert document["delivery"] == "repository"


def test_the_revision_holds_our_files_beside_those_of_porch(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**REPOSITORY))
    files = registry.files[only(registry)["metadata"]["name"]]
    ours = world.directory / "out" / "cnf-simulator-v1.0.0"
    assert sorted(files) == ["Kptfile", "README.md", "kustomization.yaml", "package-context.yaml"]
    written = (ours / "kustomization.yaml").read_text()
    assert yaml.safe_load(files["kustomization.yaml"]) == yaml.safe_load(written)
    assert files["README.md"] == "# oran-sim--cnf-simulator\n"


def test_the_kptfile_keeps_the_name_that_porch_gave_it_and_takes_our_description(
    world: World, registry: PorchRegistry
) -> None:
    good(world.porch(**REPOSITORY))
    kptfile = yaml.safe_load(registry.files[only(registry)["metadata"]["name"]]["Kptfile"])
    assert kptfile["metadata"]["name"] == "oran-sim--cnf-simulator"
    assert kptfile["info"] == {"description": "Sets spec.replicas of Deployment oran-sim/cnf-simulator to 3"}


def test_a_revision_is_published_only_where_that_is_configured(world: World, registry: PorchRegistry) -> None:
    result = good(world.porch(**PUBLISH))
    assert "(Published)\n" in result.stdout
    assert lifecycles(registry) == [("Published", 1)]
    assert writes(world)[-1].endswith("/approval")


def test_a_revision_whose_gates_are_closed_stays_proposed_with_a_note(world: World, registry: PorchRegistry) -> None:
    def gate(_method: str, path: str) -> None:
        for revision in registry.revisions.values():
            if "/packagerevisions/" in path:
                revision["spec"]["readinessGates"] = [{"conditionType": "nephio.org/Reviewed"}]

    world.api.faults.before = gate
    result = good(world.porch(**PUBLISH))
    assert "(Proposed)\n" in result.stdout
    assert "Note: package revision " in result.stderr
    assert "its readiness gates are not met yet" in result.stderr


def test_the_namespace_can_be_another_than_the_kubeconfigs(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**REPOSITORY, PORCH_NAMESPACE="porch-demo"))
    assert registry.revisions
    assert any("/namespaces/porch-demo/packagerevisions" in each for each in world.api.requests)


# ------------------------------------------------------------------ again and again
@pytest.mark.parametrize("environment", [REPOSITORY, PUBLISH])
def test_a_second_run_finds_the_work_done_and_writes_nothing(
    world: World, registry: PorchRegistry, environment: dict[str, str]
) -> None:
    first = good(world.porch(**environment))
    world.api.requests.clear()
    assert good(world.porch(**environment)).stdout == first.stdout
    assert writes(world) == []
    assert len(lifecycles(registry)) == 1


def test_a_proposed_revision_is_published_once_that_is_configured(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**REPOSITORY))
    good(world.porch(**PUBLISH))
    assert lifecycles(registry) == [("Published", 1)]


@pytest.mark.parametrize("environment", [REPOSITORY, PUBLISH])
@pytest.mark.parametrize("published_before", [False, True])
def test_a_run_that_is_cut_off_after_any_request_is_continued_by_the_next(
    world: World, registry: PorchRegistry, environment: dict[str, str], *, published_before: bool
) -> None:
    known = {"PORCH_PREVIOUS_VERSION": "v1.0.0"} if published_before else {}
    if published_before:
        good(world.porch(**PUBLISH))
    before = set(registry.revisions)
    for cut in range(1, 40):
        world.api.requests.clear()
        world.api.faults.hang_up_after = cut
        result = world.porch(intent={"name": "intent-cut.json", "replicas": 2}, **environment, **known)
        if result.returncode == 0:
            break
        assert result.returncode == 4, result.stderr
    assert cut > 5
    own = [each for each in registry.revisions if each not in before and not each.endswith(".main")]
    assert len(own) == 1
    assert registry.revisions[own[0]]["spec"]["lifecycle"] == ("Published" if environment is PUBLISH else "Proposed")
    assert patched(registry, own[0]) == 2


# ------------------------------------------------------------------ the next revision
def test_a_further_intent_edits_the_latest_published_revision(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**PUBLISH))
    first = only(registry)["metadata"]["name"]
    next_intent(world, PUBLISH)
    assert lifecycles(registry) == [("Published", 1), ("Published", 2)]
    second = next(each for each in registry.revisions.values() if each["spec"]["revision"] == 2)
    assert second["spec"]["tasks"] == [{"type": "edit", "edit": {"sourceRef": {"name": first}}}]
    assert patched(registry, second["metadata"]["name"]) == 2


def test_what_people_added_to_the_last_revision_is_in_the_next_one(world: World, registry: PorchRegistry) -> None:
    good(world.porch(**PUBLISH))
    files = registry.files[only(registry)["metadata"]["name"]]
    files["policy.yaml"] = "kind: Policy\n"
    pipeline = {"mutators": [{"image": "set-annotations:v0.1.4"}]}
    files["Kptfile"] = yaml.safe_dump(yaml.safe_load(files["Kptfile"]) | {"pipeline": pipeline})
    next_intent(world, REPOSITORY)
    (name,) = [key for key, each in registry.revisions.items() if each["spec"]["lifecycle"] == "Proposed"]
    assert registry.files[name]["policy.yaml"] == "kind: Policy\n"
    assert yaml.safe_load(registry.files[name]["Kptfile"])["pipeline"] == pipeline


def test_an_intent_that_is_sent_again_after_others_gets_a_revision_of_its_own(
    world: World, registry: PorchRegistry
) -> None:
    good(world.porch(**PUBLISH))
    next_intent(world, PUBLISH)
    good(world.porch(**PUBLISH, PORCH_PREVIOUS_VERSION="v1.0.1"))
    assert lifecycles(registry) == [("Published", 1), ("Published", 2), ("Published", 3)]


@pytest.mark.usefixtures("registry")
def test_without_a_version_it_is_said_that_others_came_after(world: World) -> None:
    good(world.porch(**PUBLISH))
    next_intent(world, PUBLISH)
    assert "is not the latest one any more" in good(world.porch(**PUBLISH)).stderr
