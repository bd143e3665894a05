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
metadata: {name: cnf-simulator, namespace: oran-sim}
spec:
  selector: {matchLabels: {app: cnf}}
  template: {metadata: {labels: {app: cnf}}, spec: {containers: [{name: cnf, image: cnf}]}}
"""

needs_kpt = pytest.mark.skipif(shutil.which("kpt") is None, reason="kpt is not installed")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    arguments = ["-intent", str(write_intent(tmp_path, reason=REASON)), "-out", str(tmp_path)]
    assert main(arguments) == 0
    return tmp_path / PACKAGE


def kustomize(directory: Path) -> Any:
    result = subprocess.run([KUBECTL, "kustomize", str(directory)], capture_output=True, check=True)
    assert result.stderr == b""  # nor a warning about a deprecated field
    return yaml.safe_load(result.stdout)


def documents(package: Path) -> dict[str, Any]:
    # Read, not compared as bytes: kpt spells some escapes its own way when it writes a file back.
    return {path.name: yaml.safe_load(path.read_text()) for path in package.iterdir() if path.name != "README.md"}


def test_kustomize_builds_the_package_as_it_is(package: Path) -> None:
    assert kustomize(package) == yaml.safe_load((package / "deployment-patch.yaml").read_text())


def test_the_patch_applies_over_a_base_as_the_readme_shows(package: Path) -> None:
    overlay = package.parent
    (overlay / "base").mkdir()
    (overlay / "base" / "deployment.yaml").write_text(BASE)
    (overlay / "base" / "kustomization.yaml").write_text("resources: [deployment.yaml]\n")
    readme = (package / "README.md").read_text()
    (overlay / "kustomization.yaml").write_text(readme.partition("patch to find it.\n\n")[2].partition("\n\n")[0])
    built = kustomize(overlay)
    assert built["spec"]["replicas"] == 3
    assert built["spec"]["template"] == yaml.safe_load(BASE)["spec"]["template"]
    assert built["metadata"]["annotations"]["nephoran.com/reason"] == REASON


@needs_kpt
def test_kpt_renders_the_package_without_changing_what_it_says(package: Path) -> None:
    before = documents(package)
    subprocess.run(["kpt", "fn", "render", str(package)], capture_output=True, check=True)
    assert documents(package) == before
