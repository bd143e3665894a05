"""The Roles in docs/porch.md allow what porch does, and nothing else."""

import re

import yaml

from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import World
from tests.unit.porch_program.support import ROOT

type Grant = tuple[str, str, str]

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
REQUEST = re.compile(r"(\w+) /apis?/(?:([\w.]+)/)?v\w+/namespaces/[\w-]+/(\w+)(?:/([\w.-]+))?(?:/(\w+))?")


def documented() -> set[Grant]:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "porch.md").read_text(), re.DOTALL)
    rules = [rule for block in blocks for rule in yaml.safe_load(block)["rules"]]
    return {
        (group, kind, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }


def needed(request: str) -> Grant:
    found = REQUEST.fullmatch(request)
    assert found, request
    method, group, kind, name, subresource = found.groups()
    verb = VERBS.get(method) or ("get" if name else "list")
    return group or "", f"{kind}/{subresource}" if subresource else kind, verb


def test_the_documented_roles_are_what_porch_uses(world: World) -> None:
    world.api.porch = PorchRegistry({"edge-1": "v1alpha1"})
    result = world.porch(PORCH_DELIVERY="repository", PORCH_REPOSITORY="edge-1", PORCH_PUBLISH="true")
    assert result.returncode == 0, result.stderr
    scaled = world.porch(PORCH_DELIVERY="scale")
    assert scaled.returncode == 0, scaled.stderr
    assert set(map(needed, world.api.requests)) == documented()
