"""docs/gitops.md: its layout, its example and its manifests, built with the kustomize that kubectl brings."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conductor_loop.porch import Package, PorchRequest, Result, Run
from porch.cli import main
from tests.factories import BUCKET
from tests.promises import Site, die
from tests.unit.porch_program.support import KUBECTL, ROOT

DOCUMENT = (ROOT / "docs/gitops.md").read_text()
EXAMPLES = ROOT / "examples/gitops"
NAMESPACES = ("oran-sim", "edge", "edge-2")
TARGETS = tuple(f"cnf-{number}" for number in range(8))


class Bundled:
    """The bundled porch, run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0

    def __call__(self, request: PorchRequest) -> Result:
        self.runs += 1
        space = self.folder / f"run-{self.runs}"
        space.mkdir()
        intent = space / request.file
        intent.write_text(json.dumps(dict(request.document)))
        os.environ["PORCH_PREVIOUS_VERSION"] = request.previous_version or ""
        assert main(["-intent", str(intent), "-out", str(space / "out")]) == 0
        (package,) = (space / "out").iterdir()
        files = {path.name: path.read_bytes() for path in package.iterdir()}
        return Result(Package(package.name, files), Run(0, "", "", 0.1))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("PORCH_PREVIOUS_VERSION", "")  # and back, at the end
    (tmp_path / "runs").mkdir()
    site = Site.open(priority_queues=False)
    site.world.porch = Bundled(tmp_path / "runs")  # type: ignore[assignment]
    return site


def copy_live(site: Site, folder: Path) -> None:
    """Do what `aws s3 sync` of the live tree does."""
    for key in site.world.listing():
        if key.startswith("live/"):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(site.world.bucket.get(BUCKET, key))


def kustomize(directory: Path) -> list[Any]:
    result = subprocess.run([KUBECTL, "kustomize", str(directory)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def replicas(directory: Path) -> dict[str, int | None]:
    """Give the replicas of each Deployment that a directory builds; ``None`` where it names none."""
    return {one["metadata"]["name"]: one["spec"].get("replicas") for one in kustomize(directory)}


def overlay(folder: Path, namespace: str, targets: tuple[str, ...]) -> Path:
    """Make an overlay of a base with these Deployments, which lists what the live tree has of its namespace."""
    place = folder / namespace
    place.mkdir(exist_ok=True)
    base = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 77}}
        for name in targets
    ]
    (place / "base.yaml").write_text(yaml.safe_dump_all(base))
    listed = sorted(f"../live/{namespace}/{one.name}" for one in (folder / "live" / namespace).glob("*"))
    given = {"kind": "Kustomization", "namespace": namespace, "resources": ["base.yaml"], "components": listed}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(given))
    return place


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_random_intents_leave_the_replicas_of_the_last_applied_ones(site: Site, tmp_path: Path, count: int) -> None:
    """Some workers die before the live tree; the sweeper settles what they left, in an order of its own."""
    dice, bucket = random.Random(20261128), site.world.bucket  # noqa: S311 - to be repeated
    put = bucket.put_live

    def put_or_die(*given: Any) -> None:
        if dice.random() < 0.3:
            die()
        put(*given)

    bucket.put_live = put_or_die
    for number in range(count):
        fields: dict[str, Any] = {"namespace": dice.choice(NAMESPACES), "target": dice.choice(TARGETS)}
        fields["replicas"] = dice.randint(0, 100)
        if dice.random() < 0.5:
            fields["reason"] = dice.choice(("Peak hours", "night: 50% #1", "'quoted' \"words\"", "größer als zuvor"))
        site.event(site.put(f"intent-{number}.json", at=dice.random(), **fields))
    bucket.put_live = put
    site.settle()
    copy_live(site, tmp_path)
    for namespace in NAMESPACES:
        applied = {name: site.world.state.target(f"{namespace}/{name}").replicas for name in TARGETS}
        assert replicas(overlay(tmp_path, namespace, TARGETS)) == applied
    porch: Any = site.world.porch
    assert porch.runs == count


def test_of_two_intents_that_race_for_one_target_the_newer_ones_replicas_are_built(site: Site, tmp_path: Path) -> None:
    bucket = site.world.bucket
    put, bucket.put_live = bucket.put_live, lambda *_: die()
    older, newer = site.put("intent-a.json", replicas=2), site.put("intent-b.json", replicas=9)
    site.event(older, newer)
    bucket.put_live = put
    site.event(newer, older)  # the older one is settled last
    copy_live(site, tmp_path)
    assert replicas(overlay(tmp_path, "oran-sim", ("cnf-simulator",))) == {"cnf-simulator": 9}


def test_a_target_that_is_not_in_the_base_is_passed_over(site: Site, tmp_path: Path) -> None:
    site.event(site.put("intent-a.json", target="missing"))
    copy_live(site, tmp_path)
    assert replicas(overlay(tmp_path, "oran-sim", ("cnf-simulator",))) == {"cnf-simulator": 77}


# -- the example, and the manifests


@pytest.fixture
def repository(site: Site, tmp_path: Path) -> Path:
    site.event(site.put("intent-a.json", replicas=4, reason="Peak hours"))
    shutil.copytree(EXAMPLES / "repository", tmp_path / "repository")
    copy_live(site, tmp_path / "repository")
    return tmp_path / "repository"


def without_components(overlay: Path) -> Callable[[list[str], bool], None]:
    """Take the Components out of an overlay; gives what adds some, as Flux and Argo CD do before they build."""
    file = overlay / "kustomization.yaml"
    plain = yaml.safe_load(file.read_text())
    del plain["components"]
    file.write_text(yaml.safe_dump(plain))

    def add(components: list[str], missing_too: bool) -> None:
        there = [one for one in components if missing_too or (overlay / one).is_dir()]
        file.write_text(yaml.safe_dump(plain | {"components": there}))

    return add


def test_the_example_builds_with_the_replicas_of_the_live_tree(repository: Path) -> None:
    (deployment,) = kustomize(repository / "oran-sim")
    assert deployment["spec"]["replicas"] == 4
    assert deployment["metadata"]["namespace"] == "oran-sim"
    assert deployment["metadata"]["annotations"]["nephoran.com/reason"] == "Peak hours"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith("registry.example.com/")


def test_what_flux_composes_builds_with_the_replicas_of_the_live_tree(repository: Path, tmp_path: Path) -> None:
    generator, kustomization = found("ArtifactGenerator"), found("Kustomization", "components")
    assert found("Bucket")["spec"]["prefix"] == "live/"
    sources = {"base": repository, "bucket": repository}  # keys keep the prefix as their path
    assert [one["alias"] for one in generator["spec"]["sources"]] == list(sources)
    (artifact,) = generator["spec"]["artifacts"]
    for one in artifact["copy"]:
        alias, path = re.fullmatch(r"@(\w+)/(.+)/\*\*", one["from"]).groups()  # type: ignore[union-attr]
        shutil.copytree(sources[alias] / path, tmp_path / "artifact" / one["to"].removeprefix("@artifact/"))
    spec = kustomization["spec"]
    assert spec["sourceRef"] == {"kind": "ExternalArtifact", "name": artifact["name"]}
    add = without_components(tmp_path / "artifact" / spec["path"])
    add(spec["components"], not spec["ignoreMissingComponents"])
    assert replicas(tmp_path / "artifact" / spec["path"]) == {"cnf-simulator": 4}
    shutil.rmtree(tmp_path / "artifact/live")
    add(spec["components"], not spec["ignoreMissingComponents"])
    assert replicas(tmp_path / "artifact" / spec["path"]) == {"cnf-simulator": None}


def test_what_argo_cd_renders_has_the_replicas_of_the_live_tree(repository: Path) -> None:
    source = found("Application", "kustomize")["spec"]["source"]
    add = without_components(repository / source["path"])
    add(source["kustomize"]["components"], not source["kustomize"]["ignoreMissingComponents"])
    assert replicas(repository / source["path"]) == {"cnf-simulator": 4}


def test_flux_takes_the_replicas_out_of_a_base_that_names_them(tmp_path: Path) -> None:
    place = overlay(tmp_path, "oran-sim", ("cnf-simulator",))
    given = yaml.safe_load((place / "kustomization.yaml").read_text())
    assert replicas(place) == {"cnf-simulator": 77}
    given["patches"] = found("Kustomization", "patches")["spec"]["patches"]
    (place / "kustomization.yaml").write_text(yaml.safe_dump(given))
    assert replicas(place) == {"cnf-simulator": None}


def test_the_patch_by_hand_is_a_partial_deployment(repository: Path) -> None:
    component = yaml.safe_load((repository / "live/oran-sim/cnf-simulator/kustomization.yaml").read_text())
    assert ".patches[0].patch" in DOCUMENT
    assert yaml.safe_load(component["patches"][0]["patch"])["spec"] == {"replicas": 4}


def manifests() -> list[Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    return [one for block in blocks for one in yaml.safe_load_all(block)]


def found(kind: str, field: str = "spec") -> Any:
    """Give the one manifest of the page that is of a kind, and mentions a field; kustomize's own files apart."""
    (one,) = (one for one in manifests() if one["kind"] == kind and f"'{field}'" in str(one) and "metadata" in one)
    return one


def test_each_manifest_is_of_an_api_that_is_served_and_none_forces() -> None:
    assert {(one["apiVersion"], one["kind"]) for one in manifests()} == {
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        ("source.toolkit.fluxcd.io/v1", "Bucket"),
        ("source.extensions.fluxcd.io/v1beta1", "ArtifactGenerator"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        ("argoproj.io/v1alpha1", "Application"),
    }
    assert all(one["spec"].get("force") is not True for one in manifests() if "spec" in one)
    ignoring = found("Application", "ignoreDifferences")["spec"]
    assert ignoring["ignoreDifferences"][0]["jsonPointers"] == ["/spec/replicas"]
    assert ignoring["syncPolicy"]["syncOptions"] == ["RespectIgnoreDifferences=true"]
    (policy,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert json.loads(policy)["Version"] == "2012-10-17"


def test_every_cell_of_the_table_says_whether_it_was_run_or_read() -> None:
    (table,) = re.findall(r"^\| the Deployment is created by.*?(?=\n\n)", DOCUMENT, re.DOTALL | re.MULTILINE)
    _, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert len(rows) == 7
    assert all(re.search("[¹²³]", cell) for _, *cells in rows for cell in cells)
    assert all(re.search(f"^{mark} \\*R", DOCUMENT, re.MULTILINE) for mark in "¹²³")


RECORDED = json.loads((ROOT / "tests/data/kubernetes/exchanges-1.36.json").read_text())["exchanges"]
SAID = {  # a request that was recorded: the row, the column, and what stands there
    "scale one made by create to 6": ("`kubectl create`", 1, "works", 200),
    "scale one made by apply to 6": ("`kubectl apply`", 1, "works", 200),
    "scale one made by ssa without replicas to 6": ("`kubectl apply --server-side`", 1, "works", 200),
    "scale one made by flux to 6": ("Flux", 1, "works", 200),
    "scale what is not there": ("it is missing", 1, "fails", 404),
    "server-side apply of a partial Deployment over one made by create": ("`kubectl create`", 4, "409", 409),
    "server-side apply of a partial Deployment over one made by apply": ("`kubectl apply`", 4, "409", 409),
    "server-side apply of a partial Deployment over one made by ssa without replicas": (
        "`kubectl apply --server-side`", 4, "works", 200
    ),
    "server-side apply of a partial Deployment over one made by flux": ("Flux", 4, "409", 409),
    "server-side apply of a partial Deployment that is not there": ("it is missing", 4, "422", 422),
    "server-side apply of a partial Deployment as the manager of the whole one": ("Flux", 4, "422", 422),
}  # fmt: skip


@pytest.mark.parametrize("request_made", SAID)
def test_what_the_table_says_was_run_is_what_the_server_answered(request_made: str) -> None:
    row, column, text, status = SAID[request_made]
    (exchange,) = (one for one in RECORDED if request_made in one.values())
    assert exchange["response"]["status"] == status
    lines = [line for line in DOCUMENT.splitlines() if re.match(rf"\| {re.escape(row)}(,| \|)", line)]
    (cells,) = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert text in cells[column]
    assert "¹" in cells[column]


def test_every_file_the_document_links_to_exists() -> None:
    links = re.findall(r"\]\((\.\./[^)#]+)", DOCUMENT)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
