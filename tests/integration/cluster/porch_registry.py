"""Porch's server: what it keeps and what it refuses.

After nephio-project/porch: pkg/registry/porch (packagerevision.go, packagerevision_approval.go,
packagerevisionresources.go, packagecommon.go, strategy.go), pkg/engine/engine.go and pkg/task (init.go, edit.go).
"""

import copy
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.integration.cluster.statuses import Document, conflict, internal, invalid, not_found, status

GROUP = "porch.kpt.dev"
LATEST = "kpt.dev/latest-revision"
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
BUSY = "another request is already in progress"
PUBLISHED = ("Published", "DeletionProposed")


@dataclass
class PorchRegistry:
    """The package revisions of a namespace; a placeholder of the main branch follows each publication."""

    repositories: dict[str, str] = field(default_factory=dict)  # name to the API version that manages it
    revisions: dict[str, Document] = field(default_factory=dict)  # by name
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # by the revision's name
    busy: int = 0  # how many of the next writes find another client at work
    meddling: int = 0  # how many of the next writes find that another client was faster
    commits: int = 0
    names: str = "{repository}.{packageName}.{workspaceName}"  # an older server has others

    def get(self, kind: str, name: str) -> Document:
        if name not in self.revisions:
            raise not_found(kind, name, GROUP)
        return self._resources(name) if kind == "packagerevisionresources" else copy.deepcopy(self.revisions[name])

    def matching(self, selector: str) -> list[Document]:
        wanted = dict(each.split("=", 1) for each in selector.split(",") if each)
        if unknown := wanted.keys() - {"spec.repository", "spec.packageName", "spec.workspaceName", "spec.lifecycle"}:
            raise status(400, "BadRequest", f"{unknown} is not a known field selector")
        return [
            copy.deepcopy(each)
            for each in self.revisions.values()
            if all(each["spec"][key.removeprefix("spec.")] == value for key, value in wanted.items())
        ]

    # -------------------------------------------------------------- create
    def create(self, document: Document) -> Document:
        spec = document["spec"]
        if not spec.get("repository"):
            raise status(400, "BadRequest", "spec.repositoryName is required")
        if spec["repository"] not in self.repositories:
            raise not_found("repositories", spec["repository"], "config.porch.kpt.dev")
        if self.repositories[spec["repository"]] == "v1alpha2":
            raise status(410, "Gone", f'repository "{spec["repository"]}" is managed by v1alpha2; use the v1alpha2 API')
        self._validate_new(document)
        self._require_idle("packagerevisions", "(new creation)")
        self._check_new(spec)
        name = self.names.format(**spec)
        self.files[name] = self._task_files(spec)
        self._keep(name, {**spec, "lifecycle": spec.get("lifecycle") or "Draft", "revision": 0})
        return self.get("packagerevisions", name)

    def _validate_new(self, document: Document) -> None:
        spec = document["spec"]
        if LATEST in document.get("metadata", {}).get("labels", {}):
            raise invalid("PackageRevision", "", f"metadata.labels.{LATEST}", "Forbidden: label is managed by porch")
        if not LABEL.fullmatch(spec.get("packageName", "").replace("/", "")):
            raise invalid("PackageRevision", "", "spec.packageName", "a lowercase RFC 1123 label must consist of ...")
        if not LABEL.fullmatch(spec.get("workspaceName", "")):
            raise invalid("PackageRevision", "", "spec.workspaceName", "a lowercase RFC 1123 label must consist of ...")
        if spec.get("lifecycle", "") not in {"", "Draft"}:
            raise invalid("PackageRevision", "", "spec.lifecycle", "value can be only created as Draft")

    def _check_new(self, spec: Document) -> None:
        package, repository, workspace = spec["packageName"], spec["repository"], spec["workspaceName"]
        if len(spec["tasks"]) != 1:
            raise internal("task list must not contain more than one task")
        same = [each for each in self.revisions.values() if each["spec"]["packageName"] == package]
        if any(each["spec"]["workspaceName"] == workspace for each in same):
            raise internal(
                f"package revision workspaceNames must be unique; package revision with name {package} in repo "
                f"{repository} with workspaceName {workspace} already exists"
            )
        if spec["tasks"][0]["type"] == "init" and same:
            raise internal(f'package "{package}" already exists in repository "{repository}"')

    def _task_files(self, spec: Document) -> dict[str, str]:
        task = spec["tasks"][0]
        if task["type"] == "init":
            return _initial(spec["packageName"], task["init"]["description"])
        assert task["type"] == "edit"
        source = self.revisions.get(task["edit"]["sourceRef"]["name"])
        if source is None or source["spec"]["packageName"] != spec["packageName"]:
            raise internal(f"source revision must be from same package {spec['repository']}/{spec['packageName']}")
        if source["spec"]["revision"] == -1:
            raise internal("source revision may not be the placeholder package revision")
        if source["spec"]["lifecycle"] not in PUBLISHED:
            raise internal("source revision must be published")
        return dict(self.files[source["metadata"]["name"]])

    # -------------------------------------------------------------- replace
    def replace(self, name: str, document: Document, *, approval: bool = False) -> Document:
        self._require_idle("packagerevisions", name)
        old = self.get("packagerevisions", name)
        was, will = old["spec"]["lifecycle"], document["spec"].get("lifecycle") or "Draft"
        (_validate_approval if approval else _validate_update)(name, was, will)
        self._check_version("packagerevisions", name, document)
        revision = old["spec"]["revision"]
        if was == "Proposed" and will == "Published":
            revision = 1 + max((each["spec"]["revision"] for each in self._of_package(old)), default=0)
        self._keep(name, {**document["spec"], "lifecycle": will, "revision": max(revision, 0)})
        if will == "Published":
            self._keep_placeholder(old)
        return self.get("packagerevisions", name)

    def fill(self, name: str, document: Document) -> Document:
        self._require_idle("packagerevisionresources", name)
        self.get("packagerevisionresources", name)
        self._check_version("packagerevisionresources", name, document)
        lifecycle = self.revisions[name]["spec"]["lifecycle"]
        if lifecycle != "Draft":
            raise internal(
                f'cannot update a package revision with lifecycle value "{lifecycle}"; package must be Draft'
            )
        files = document["spec"]["resources"]
        if "Kptfile" not in files:
            raise internal("package must contain Kptfile at root: file does not exist")
        self.files[name] = {path: _formatted(path, text) for path, text in files.items()}
        self._keep(name, self.revisions[name]["spec"])
        return self.get("packagerevisionresources", name)

    def _check_version(self, kind: str, name: str, document: Document) -> None:
        given = document["metadata"].get("resourceVersion", "")
        if not given:
            raise internal("resourceVersion must be specified for an update")
        if self.meddling:
            self.meddling -= 1
            self._keep(name, self.revisions[name]["spec"])
        if given != self.revisions[name]["metadata"]["resourceVersion"]:
            # The registry wraps the engine's 409 into a 500.
            raise internal(f'Operation cannot be fulfilled on {kind}.{GROUP} "{name}": {MODIFIED}')

    def _require_idle(self, kind: str, name: str) -> None:
        if self.busy:
            self.busy -= 1
            raise conflict(kind, name, f'{BUSY} on package revision "default/{name}"', GROUP)

    # -------------------------------------------------------------- what is kept
    def _keep(self, name: str, spec: Document) -> None:
        self.commits += 1
        metadata = {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": f"{self.commits:040x}",
        }
        conditions = self.revisions.get(name, {}).get("status", {}).get("conditions", [])
        self.revisions[name] = {
            "kind": "PackageRevision",
            "apiVersion": f"{GROUP}/v1alpha1",
            "metadata": metadata,
            "spec": spec,
            "status": {"conditions": conditions},
        }
        self._label_latest(self._of_package(self.revisions[name]))

    def _label_latest(self, revisions: list[Document]) -> None:
        latest = max((each["spec"]["revision"] for each in revisions), default=0)
        for each in revisions:
            number = each["spec"]["revision"]
            each["metadata"]["labels"] = {LATEST: "true"} if number == latest > 0 else {}

    def _keep_placeholder(self, published: Document) -> None:
        spec = {**published["spec"], "workspaceName": "main", "lifecycle": "Published", "revision": -1}
        name = f"{spec['repository']}.{spec['packageName']}.main"
        self.files[name] = dict(self.files[published["metadata"]["name"]])
        self._keep(name, spec)

    def _of_package(self, revision: Document) -> list[Document]:
        package = revision["spec"]["packageName"]
        return [each for each in self.revisions.values() if each["spec"]["packageName"] == package]

    def _resources(self, name: str) -> Document:
        revision = self.revisions[name]
        known = {key: revision["spec"][key] for key in ("packageName", "repository", "workspaceName", "revision")}
        return {
            "kind": "PackageRevisionResources",
            "apiVersion": f"{GROUP}/v1alpha1",
            "metadata": copy.deepcopy(revision["metadata"]),
            "spec": {**known, "resources": dict(self.files[name])},
            "status": {"renderStatus": {"error": "", "result": {"exitCode": 0, "metadata": {}}}},
        }


def _validate_update(name: str, was: str, will: str) -> None:
    if was in PUBLISHED and will not in PUBLISHED:
        raise invalid("PackageRevision", name, "spec", "spec can only update package with lifecycle Draft,Proposed")
    if was not in PUBLISHED and will in PUBLISHED:
        raise invalid("PackageRevision", name, "spec.lifecycle", "value can be only updated to Draft,Proposed")


def _validate_approval(name: str, was: str, will: str) -> None:
    if was == "Draft":
        why = "cannot approve package with Draft lifecycle value; only Proposed packages can be approved"
        raise invalid("PackageRevision", name, "spec.lifecycle", why)
    if was == "Published" and will != "DeletionProposed":
        why = "package with Published lifecycle value can only be updated to 'ProposeDeletion'"
        raise invalid("PackageRevision", name, "spec.lifecycle", why)


def _initial(package: str, description: str) -> dict[str, str]:
    local = {"config.kubernetes.io/local-config": "true"}
    kptfile: dict[str, Any] = {
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {"name": package, "annotations": local},
        "info": {"description": description},
    }
    context = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kptfile.kpt.dev", "annotations": local},
        "data": {"name": "example"},
    }
    return {
        "Kptfile": yaml.safe_dump(kptfile, sort_keys=False),
        "README.md": f"# {package}\n",
        "package-context.yaml": yaml.safe_dump(context, sort_keys=False),
    }


def _formatted(path: str, text: str) -> str:
    # As rendering does: YAML comes back in another spelling, and the Kptfile with a condition.
    if not path.endswith((".yaml", "Kptfile")):
        return text
    document = yaml.safe_load(text)
    if path == "Kptfile":
        document["status"] = {"conditions": [{"type": "Rendered", "status": "True", "reason": "RenderSuccess"}]}
    return yaml.safe_dump(document)
