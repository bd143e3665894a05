"""The token is in the request and nowhere else, whatever a hostile server says."""

import json
from pathlib import Path

import pytest

from tests.integration.cluster.delivering import REPOSITORY
from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import Result, World


def everything(world: World, result: Result) -> bytes:
    """Return all that porch printed, and all that it wrote below the test's directory but the kubeconfig."""
    written = [path for path in world.directory.rglob("*") if path.is_file() and path.name != "kubeconfig"]
    return b"".join([result.stdout.encode(), result.stderr.encode(), *map(Path.read_bytes, written)])


def echo(world: World, path: str, code: int) -> None:
    """Let the server say the token back, in a Status and in a header."""
    status = {
        "kind": "Status",
        "reason": "Forbidden",
        "message": f"denied\nto \x1b[31m{world.api.token} {world.api.token}",
    }
    world.api.faults.answers[path] = (code, {"X-Echo": world.api.token}, json.dumps(status).encode())


PATHS = ["/deployments/cnf-simulator", "/horizontalpodautoscalers", "/packagerevisions"]
CODES = [200, 302, 400, 401, 404, 409, 422, 429, 500]


@pytest.mark.parametrize(("path", "code"), [*((path, 403) for path in PATHS), *((PATHS[0], code) for code in CODES)])
def test_a_token_that_the_server_says_back_is_not_shown(world: World, path: str, code: int) -> None:
    world.api.porch = PorchRegistry({"edge-1": "v1alpha1"})
    echo(world, path, code)
    result = world.porch(**REPOSITORY)
    assert world.api.headers, "nothing was asked"
    assert world.api.token.encode() not in everything(world, result)
    assert "\x1b" not in result.stderr
    assert result.stderr.count("\n") <= 1


def test_a_token_is_not_shown_when_all_goes_well(world: World) -> None:
    world.api.porch = PorchRegistry({"edge-1": "v1alpha1"})
    result = world.porch(
        "-structured",
        PORCH_DELIVERY="repository",
        PORCH_REPOSITORY="edge-1",
        PORCH_PUBLISH="true",
        TMPDIR=str(world.directory),
    )
    assert result.returncode == 0
    assert world.api.token.encode() not in everything(world, result)
    assert world.api.token not in json.dumps([world.api.porch.revisions, world.api.porch.files])
