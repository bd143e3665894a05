from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.integration.cluster.apiserver import ApiServer, serving
from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import World, deployment


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api(ca: trustme.CA) -> Iterator[ApiServer]:
    """A cluster in which the Deployment of the default intent runs with one replica."""
    with serving(ApiServer(), ca) as server:
        server.add("deployments", "cnf-simulator", **deployment())
        yield server


@pytest.fixture
def world(api: ApiServer, ca: trustme.CA, tmp_path: Path) -> World:
    return World(api, ca, tmp_path)


@pytest.fixture
def registry(world: World) -> PorchRegistry:
    world.api.porch = PorchRegistry({"edge-1": "v1alpha1", "newer": "v1alpha2"})
    return world.api.porch
