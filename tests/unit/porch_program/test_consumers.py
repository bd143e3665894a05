"""Real kustomize on real packages, and kpt where it is installed: no package index has it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from porch.cli import main
from tests.unit.porch_program.support import KUBECTL, write_intent

PACKAGE = "cnf-simulator-v1.0.0"
REASON = 'quote " slash \\ tab \t null \0 {{ x }} <b> \u2028 \ufeff \U0001f600\n---\nkind: Secret'
BASE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cnf-simulator}
spec:
  replicas: 1
  selector: {matchLabels: {app: cnf}}
  template: {metadata: {labels: {app: cnf}}, spec: {containers: [{name: cnf, image: cnf}]}}
"""

needs_kpt = pytest.mark.skipif(shutil.which("kpt") is None, reason="kpt is not installed")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    arguments = ["-intent", str(write_intent(tmp_path, reason=REASON)), "-out", str(tmp_path)]
    assert main(arguments) == 0
    return tmp_path / PACKAGE


def kustomize(directory: Path) -> list[Any]:
    result = subprocess.run([KUBECTL, "kustomize", str(directory)], capture_output=True, check=True)
    assert result.stderr == b""  # nor a warning about a deprecated field
    return list(yaml.safe_load_all(result.stdout))


def overlay(package: Path, base: str, own: str = "") -> Path:
    """Write a base, and an overlay that lists the package as its component; ``own`` is more of the overlay."""
    directory = package.parent / "overlay"
    (directory / "base").mkdir(parents=True)
    (directory / "base" / "deployment.yaml").write_text(BASE)
    (directory / "base" / "kustomization.yaml").write_text(f"resources: [deployment.yaml]\n{base}")
    (directory / "kustomization.yaml").write_text(f"resources: [base]\ncomponents: [../{PACKAGE}]\n{own}")
    return directory


def documents(package: Path) -> dict[str, Any]:
    # Read, not compared as bytes: kpt spells some escapes its own way when it writes a file back.
    return {path.name: yaml.safe_load(path.read_text()) for path in package.iterdir()}


@pytest.mark.parametrize("base", ["", "namespace: oran-sim\n"])
@pytest.mark.parametrize("own", ["", "namespace: oran-sim\n"])
def test_the_component_sets_the_replicas_of_a_base_wherever_its_namespace_is_named(
    package: Path, base: str, own: str
) -> None:
    (built,) = kustomize(overlay(package, base, own))
    assert built["spec"] == {**yaml.safe_load(BASE)["spec"], "replicas": 3}
    assert built["metadata"]["annotations"]["nephoran.com/reason"] == REASON


def test_a_base_without_the_deployment_is_left_as_it_is(package: Path) -> None:
    directory = overlay(package, "")
    other = BASE.replace("name: cnf-simulator", "name: cnf-simulator-2")
    (directory / "base" / "deployment.yaml").write_text(other)
    assert kustomize(directory) == [yaml.safe_load(other)]


def test_the_component_by_itself_is_nothing(package: Path) -> None:
    assert kustomize(package) == [] or kustomize(package) == [None]


@needs_kpt
def test_kpt_renders_the_package_without_changing_what_it_says(package: Path) -> None:
    before = documents(package)
    subprocess.run(["kpt", "fn", "render", str(package)], capture_output=True, check=True)
    assert documents(package) == before
