"""Porch's own API, as its server really answers (nephio-project/porch, pkg/registry/porch and pkg/engine/engine.go)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from porch.cluster.client import Client, Refusal
from porch.cluster.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import MISCONFIGURED, PorchError
from porch.repository.settings import Place

_GROUP = "porch.kpt.dev/v1alpha1"
DRAFT, PROPOSED, PUBLISHED, DELETION_PROPOSED = "Draft", "Proposed", "Published", "DeletionProposed"
_CONFLICT, _INTERNAL, _NOT_FOUND = 409, 500, 404
# The engine's own conflicts reach the client as 500 InternalError, for the registry wraps every error of the engine:
# only the words tell them from a fault. All of them mean that another client was faster.
_CONFLICTS = (
    *("the object has been modified", "another request is already in progress", "package must be Draft"),
    *("workspaceNames must be unique", "already exists in repository"),
)


class Conflict(Exception):  # noqa: N818 - no failure: the attempt is made again
    """Another client changed the package revision. What was read is stale; nothing was written."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A PackageRevision as the server has it."""

    document: Fields
    name: str  # its Kubernetes name, <repository>.<package>.<workspace>
    workspace: str
    lifecycle: str  # Draft, Proposed, Published or DeletionProposed
    number: int  # 1, 2, 3 once published; 0 before, and -1 for the placeholder that follows the repository's branch
    is_published: bool  # can be a source of a new revision
    is_latest: bool  # the newest published one of its package, by the label that the server keeps
    is_ready: bool  # every readiness gate is met; the server leaves that to clients (porchctl rpkg approve looks, too)


def _revision(document: Fields) -> Revision:
    metadata, spec = mapping(document.get("metadata")), mapping(document.get("spec"))
    stated = map(mapping, sequence(at(document, "status", "conditions")))
    conditions = {each.get("type"): each.get("status") for each in stated}
    gates = sequence(spec.get("readinessGates"))
    lifecycle, number = text(spec.get("lifecycle")), whole(spec.get("revision"), 0)
    return Revision(
        document,
        name=text(metadata.get("name")),
        workspace=text(spec.get("workspaceName")),
        lifecycle=lifecycle,
        number=number,
        is_published=lifecycle in {PUBLISHED, DELETION_PROPOSED} and number > 0,
        is_latest=at(metadata, "labels", "kpt.dev/latest-revision") == "true",
        is_ready=all(conditions.get(at(gate, "conditionType")) == "True" for gate in gates),
    )


@dataclass(frozen=True, slots=True)
class Porch:
    """The package revisions of one repository. Each method makes one request."""

    client: Client
    place: Place

    def find(self, package: str, workspace: str) -> Revision | None:
        """Return the revision of this workspace, or None."""
        try:
            return _revision(self.client.get(self._path("packagerevisions", self._name(package, workspace))))
        except Refusal as refusal:
            if refusal.missing == "packagerevisions":
                return None
            raise self._meant(refusal) from None

    def revisions(self, package: str) -> Iterator[Revision]:
        """Yield all revisions of the package."""
        selector = f"spec.repository={self.place.repository},spec.packageName={package}"
        with self._asked():
            for document in self.client.items(self._path("packagerevisions"), fieldSelector=selector):
                spec = mapping(document.get("spec"))
                if (spec.get("repository"), spec.get("packageName")) == (self.place.repository, package):
                    yield self._supported(document)

    def create(self, package: str, workspace: str, task: Fields) -> Revision:
        """Create a Draft by ``task``; `Conflict` when there is one of this name, or a first one of this package."""
        document = {
            "apiVersion": _GROUP,
            "kind": "PackageRevision",
            "metadata": {"namespace": self.place.namespace},
            "spec": {
                "packageName": package,
                "repository": self.place.repository,
                "workspaceName": workspace,
                "lifecycle": DRAFT,
                "tasks": [task],
            },
        }
        with self._asked():
            return self._supported(self.client.create(self._path("packagerevisions"), document))

    def contents(self, revision: Revision) -> tuple[Fields, Mapping[str, str]]:
        """Return the PackageRevisionResources of ``revision`` and the files in it by name."""
        with self._asked():
            document = self.client.get(self._path("packagerevisionresources", revision.name))
        return document, mapping(at(document, "spec", "resources"))

    def fill(self, document: Fields, files: Mapping[str, str]) -> None:
        """Replace the files of a Draft; ``document`` is that of `contents`."""
        self._replace("packagerevisionresources", document, {"resources": dict(files)})

    def move(self, revision: Revision, lifecycle: str) -> Revision:
        """Make it Proposed or Draft, or, if it is Proposed or DeletionProposed, Published by way of approval."""
        subresource = "approval" if lifecycle == PUBLISHED else ""
        return _revision(self._replace("packagerevisions", revision.document, {"lifecycle": lifecycle}, subresource))

    def _replace(self, kind: str, document: Fields, changes: Fields, subresource: str = "") -> Fields:
        path = self._path(kind, text(at(document, "metadata", "name")), subresource)
        with self._asked():
            return self.client.replace(path, {**document, "spec": {**mapping(document.get("spec")), **changes}})

    def _supported(self, document: Fields) -> Revision:
        """Refuse the revision of an older server: it has other names, and counts in texts such as "v1"."""
        revision, spec = _revision(document), at(document, "spec")
        expected = self._name(text(at(spec, "packageName")), revision.workspace)
        if revision.name == expected and not isinstance(at(spec, "revision"), str):
            return revision
        raise PorchError(
            MISCONFIGURED,
            f"package revision {revision.name!a:.200} is of an older Porch: upgrade that to 1.5 or newer, or to 4.1.2",
        )

    def _name(self, package: str, workspace: str) -> str:
        return f"{self.place.repository}.{package}.{workspace}"  # ComposePkgRevObjName in porch, pkg/util/util.go

    def _path(self, kind: str, *names: str) -> str:
        return "/".join((f"/apis/{_GROUP}/namespaces/{self.place.namespace}/{kind}", *filter(None, names)))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            raise self._meant(refusal) from None

    def _meant(self, refusal: Refusal) -> Exception:
        is_conflict = refusal.status == _INTERNAL and any(words in refusal.message for words in _CONFLICTS)
        if refusal.status == _CONFLICT or is_conflict:
            return Conflict(refusal.words)
        if refusal.missing in {"repositories", "namespaces"}:
            where = f"{self.place.namespace}/{self.place.repository}"
            return PorchError(
                MISCONFIGURED,
                f"Porch has no repository {where}: register it (porchctl repo register), "
                "or correct PORCH_REPOSITORY and PORCH_NAMESPACE",
            )
        if refusal.status == _NOT_FOUND and refusal.reason == "":  # no Status: nothing serves this path
            message = f"the cluster has no Porch ({_GROUP}): install it, or choose another delivery"
            return PorchError(MISCONFIGURED, message)
        return refusal
