"""docs/gitops.md: its layout, its example and its manifests."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from porch.cli import main
from tests.unit.porch_program.packages import patch
from tests.unit.porch_program.support import KUBECTL, PATH, ROOT, write_intent

NEWEST = ROOT / "examples/gitops/newest"
DOCUMENT = (ROOT / "docs/gitops.md").read_text()
TARGETS = {"other": 2, "cnf-simulator": 10}


def newest(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [str(NEWEST), *map(str, arguments)]
    return subprocess.run(command, env={"PATH": PATH}, capture_output=True, text=True, check=False)


def publish(packages: Path, monkeypatch: pytest.MonkeyPatch, previous: str, **changes: Any) -> None:
    """Put a package where the function would."""
    intent = write_intent(packages.parent, **changes)
    fields = json.loads(intent.read_text())
    monkeypatch.setenv("PORCH_PREVIOUS_VERSION", previous)
    assert main(["-intent", str(intent), "-out", str(packages / fields["namespace"] / fields["target"])]) == 0


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for previous, replicas in (("", 1), ("v1.0.8", 9), ("v1.0.9", 10)):
        publish(tmp_path / "packages", monkeypatch, previous, replicas=replicas)
    publish(tmp_path / "packages", monkeypatch, "", target="other", namespace="edge", replicas=2)
    return tmp_path / "packages"


def kustomize(directory: Path) -> list[Any]:
    result = subprocess.run([KUBECTL, "kustomize", str(directory)], capture_output=True, check=True)
    return list(yaml.safe_load_all(result.stdout))


def test_the_newest_package_of_each_target_is_at_a_path_that_stays(packages: Path, tmp_path: Path) -> None:
    assert newest(packages, tmp_path / "tree").returncode == 0
    found = sorted(str(path.parent.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("Kptfile"))
    assert found == ["edge/other", "oran-sim/cnf-simulator"]
    assert patch(tmp_path / "tree/oran-sim/cnf-simulator")["spec"] == {"replicas": 10}


def test_a_target_that_is_gone_is_gone_from_the_tree(packages: Path, tmp_path: Path) -> None:
    assert newest(packages, tmp_path / "tree").returncode == 0
    shutil.rmtree(packages / "edge")
    assert newest(packages, tmp_path / "tree").returncode == 0
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["oran-sim"]


def test_nothing_to_copy_is_said_and_the_tree_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    result = newest(tmp_path / "packages", tmp_path / "tree")
    assert result.returncode == 1
    assert "copy packages/ there first" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    assert newest(tmp_path).returncode == 2


def test_the_tree_is_laid_over_a_base_target_by_target(packages: Path, tmp_path: Path) -> None:
    newest(packages, tmp_path / "tree")
    base = [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}} for name in TARGETS]
    (tmp_path / "tree/base.yaml").write_text("\n---\n".join(map(json.dumps, base)))
    overlay = {"resources": ["base.yaml"], "components": ["edge/other", "oran-sim/cnf-simulator"]}
    (tmp_path / "tree/kustomization.yaml").write_text(json.dumps(overlay))
    assert {one["metadata"]["name"]: one["spec"]["replicas"] for one in kustomize(tmp_path / "tree")} == TARGETS


def manifests() -> list[Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    return [one for block in blocks for one in yaml.safe_load_all(block)]


def test_no_manifest_prunes_and_each_is_of_an_api_that_is_served() -> None:
    assert {one["apiVersion"]: one["kind"] for one in manifests()} == {
        "source.toolkit.fluxcd.io/v1": "Bucket",
        "kustomize.toolkit.fluxcd.io/v1": "Kustomization",
        "argoproj.io/v1alpha1": "ApplicationSet",
        "configsync.gke.io/v1beta1": "RootSync",
    }
    assert "prune: true" not in DOCUMENT
    (policy,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert json.loads(policy)["Version"] == "2012-10-17"


def test_every_file_the_document_links_to_exists() -> None:
    links = re.findall(r"\]\((\.\./[^)#]+)", DOCUMENT)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
