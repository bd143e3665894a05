"""What the tests of deliveries share: intents to deliver, and what is in the registry then."""

from typing import Any

import yaml

from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import Result, World

NAME = "edge-1.oran-sim--cnf-simulator"
REPOSITORY = {"PORCH_DELIVERY": "repository", "PORCH_REPOSITORY": "edge-1"}
PUBLISH = {**REPOSITORY, "PORCH_PUBLISH": "true"}


def lifecycles(registry: PorchRegistry) -> list[tuple[str, int]]:
    """Return lifecycle and number of each revision but the placeholder."""
    specs = [each["spec"] for each in registry.revisions.values() if each["spec"]["revision"] >= 0]
    return [(spec["lifecycle"], spec["revision"]) for spec in specs]


def only(registry: PorchRegistry) -> Any:
    (revision,) = [each for each in registry.revisions.values() if each["spec"]["revision"] >= 0]
    return revision


def propose_deletion(registry: PorchRegistry) -> None:
    only(registry)["spec"]["lifecycle"] = "DeletionProposed"


def writes(world: World) -> list[str]:
    return [each.partition("/namespaces/default/")[2] for each in world.api.requests if not each.startswith("GET")]


def patched(registry: PorchRegistry, name: str) -> int:
    (only,) = yaml.safe_load(registry.files[name]["kustomization.yaml"])["patches"]
    replicas: int = yaml.safe_load(only["patch"])["spec"]["replicas"]
    return replicas


def good(result: Result) -> Result:
    assert result.returncode == 0, result.stderr
    return result


def next_intent(world: World, environment: dict[str, str], **changes: Any) -> Result:
    changes = {"name": "intent-next.json", "replicas": 2} | changes
    return good(world.porch(intent=changes, **environment, PORCH_PREVIOUS_VERSION="v1.0.0"))
