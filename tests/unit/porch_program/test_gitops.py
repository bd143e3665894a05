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
from tests.unit.porch_program.support import KUBECTL, PATH, ROOT, write_intent

NEWEST = ROOT / "examples/gitops/newest"
DOCUMENT = (ROOT / "docs/gitops.md").read_text()


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
    patch = yaml.safe_load((tmp_path / "tree/oran-sim/cnf-simulator/deployment-patch.yaml").read_text())
    assert patch["spec"] == {"replicas": 10}


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


def test_kustomize_refuses_all_packages_at_once_and_builds_the_tree(packages: Path, tmp_path: Path) -> None:
    target = packages / "oran-sim/cnf-simulator"
    resources = sorted(path.name for path in target.iterdir())
    (target / "kustomization.yaml").write_text(json.dumps({"resources": resources}))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kustomize(target)
    assert b"may not add resource with an already registered id" in refused.value.stderr
    (target / "kustomization.yaml").unlink()
    newest(packages, tmp_path / "tree")
    (tmp_path / "tree/kustomization.yaml").write_text("resources: [edge/other, oran-sim/cnf-simulator]\n")
    assert {one["metadata"]["name"]: one["spec"]["replicas"] for one in kustomize(tmp_path / "tree")} == {
        "other": 2,
        "cnf-simulator": 10,
    }


def test_the_patch_of_the_flux_kustomization_protects_the_deployment(packages: Path) -> None:
    (flux,) = [one for one in manifests() if one["kind"] == "Kustomization"]
    overlay = {"resources": ["cnf-simulator/cnf-simulator-v1.0.10"], "patches": flux["spec"]["patches"]}
    (packages / "oran-sim/kustomization.yaml").write_text(json.dumps(overlay))
    (built,) = kustomize(packages / "oran-sim")
    assert built["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/ssa"] == "Merge"
    assert built["metadata"]["name"] == "cnf-simulator"


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
