"""Porch's own API, as its server really answers (nephio-project/porch, pkg/registry/porch and pkg/engine/engine.go)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from porch.cluster.answers import Refusal
from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import MISCONFIGURED, PorchError
from porch.repository.settings import Place

_GROUP = "porch.kpt.dev/v1alpha1"
DRAFT, PROPOSED, PUBLISHED, DELETION_PROPOSED = "Draft", "Proposed", "Published", "DeletionProposed"
_IMMUTABLE = {PUBLISHED, DELETION_PROPOSED}
_CONFLICT, _INTERNAL = 409, 500
# The engine's own conflicts reach the client as 500 InternalError, for the registry wraps every error of the engine:
# only the words tell them from a fault. All of them mean that somebody was faster: look again.
_CONFLICTS = ("the object has been modified", "another request is already in progress", "package must be Draft")
_EXISTS = ("workspaceNames must be unique", "already exists in repository")


class Outrun(Exception):  # noqa: N818 - reads as what happened
    """Somebody else changed the package revision meanwhile. What was read is old; nothing was written."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


@dataclass(frozen=True, slots=True)
class Revision:
    """A PackageRevision as the server has it."""

    document: Fields

    @property
    def name(self) -> str:
        """Its Kubernetes name, ``<repository>.<package>.<workspace>``."""
        return text(at(self.document, "metadata", "name"))

    @property
    def workspace(self) -> str:
        """The name of the change that it is."""
        return text(at(self.document, "spec", "workspaceName"))

    @property
    def lifecycle(self) -> str:
        """Draft, Proposed, Published or DeletionProposed."""
        return text(at(self.document, "spec", "lifecycle"))

    @property
    def number(self) -> int:
        """1, 2, 3 once published; 0 before, and -1 for the placeholder that follows the repository's branch."""
        return whole(at(self.document, "spec", "revision"), 0)

    @property
    def is_published(self) -> bool:
        """Whether it can be a source of a new revision."""
        return self.lifecycle in _IMMUTABLE and self.number > 0

    @property
    def is_latest(self) -> bool:
        """Whether it is the newest published one of its package, by the label that the server keeps."""
        return at(self.document, "metadata", "labels", "kpt.dev/latest-revision") == "true"

    @property
    def is_pending(self) -> bool:
        """Whether it waits for being written or approved."""
        return self.lifecycle in {DRAFT, PROPOSED}

    @property
    def is_ready(self) -> bool:
        """Whether every readiness gate is met; the server leaves that to clients (porchctl rpkg approve looks, too)."""
        stated = map(mapping, sequence(at(self.document, "status", "conditions")))
        conditions = {each.get("type"): each.get("status") for each in stated}
        gates = sequence(at(self.document, "spec", "readinessGates"))
        return all(conditions.get(at(gate, "conditionType")) == "True" for gate in gates)


@dataclass(frozen=True, slots=True)
class Porch:
    """The package revisions of one repository. Each method makes one request."""

    client: Client
    place: Place

    def find(self, package: str, workspace: str) -> Revision | None:
        """Return the revision of this workspace, or None."""
        try:
            return Revision(self.client.get(self._path("packagerevisions", self._name(package, workspace))))
        except Refusal as refusal:
            if refusal.missing == "packagerevisions":
                return None
            raise self._meant(refusal) from None

    def revisions(self, package: str) -> Iterator[Revision]:
        """Yield all revisions of the package."""
        selector = f"spec.repository={self.place.repository},spec.packageName={package}"
        try:
            for document in self.client.items(self._path("packagerevisions"), fieldSelector=selector):
                spec = mapping(document.get("spec"))
                if (spec.get("repository"), spec.get("packageName")) == (self.place.repository, package):
                    yield self._supported(Revision(document))
        except Refusal as refusal:
            raise self._meant(refusal) from None

    def create(self, package: str, workspace: str, task: Fields) -> Revision:
        """Create a Draft by ``task``; `Outrun` when there is one of this name, or a first one of this package."""
        spec = {
            "packageName": package,
            "repository": self.place.repository,
            "workspaceName": workspace,
            "lifecycle": DRAFT,
            "tasks": [task],
        }
        document = {
            "apiVersion": _GROUP,
            "kind": "PackageRevision",
            "metadata": {"namespace": self.place.namespace},
            "spec": spec,
        }
        try:
            made = Revision(self.client.create(self._path("packagerevisions"), document))
        except Refusal as refusal:
            raise self._meant(refusal) from None
        return self._supported(made)

    def contents(self, revision: Revision) -> tuple[Fields, Mapping[str, str]]:
        """Return the PackageRevisionResources of ``revision`` and the files in it by name."""
        try:
            document = self.client.get(self._path("packagerevisionresources", revision.name))
        except Refusal as refusal:
            raise self._meant(refusal) from None
        return document, mapping(at(document, "spec", "resources"))

    def fill(self, document: Fields, files: Mapping[str, str]) -> None:
        """Replace the files of a Draft; ``document`` is what `contents` gave."""
        spec = {**mapping(document.get("spec")), "resources": dict(files)}
        self._replace("packagerevisionresources", {**document, "spec": spec})

    def move(self, revision: Revision, lifecycle: str) -> Revision:
        """Make it Proposed or Draft, or, if it is Proposed or DeletionProposed, Published by way of approval."""
        spec = {**mapping(revision.document.get("spec")), "lifecycle": lifecycle}
        subresource = "approval" if lifecycle == PUBLISHED else ""
        return Revision(self._replace("packagerevisions", {**revision.document, "spec": spec}, subresource))

    def _replace(self, kind: str, document: Fields, subresource: str = "") -> Fields:
        path = self._path(kind, text(at(document, "metadata", "name")), subresource)
        try:
            return self.client.replace(path, document)
        except Refusal as refusal:
            raise self._meant(refusal) from None

    def _supported(self, revision: Revision) -> Revision:
        """Refuse the revision of an older server: it goes by other names, and counts in texts such as "v1"."""
        spec = at(revision.document, "spec")
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

    def _meant(self, refusal: Refusal) -> Exception:
        if refusal.status == _CONFLICT:
            return Outrun(refusal.words)
        if refusal.status == _INTERNAL and any(words in refusal.message for words in _CONFLICTS + _EXISTS):
            return Outrun(refusal.words)
        if refusal.missing in {"repositories", "namespaces"}:
            where = f"{self.place.namespace}/{self.place.repository}"
            return PorchError(
                MISCONFIGURED,
                f"Porch has no repository {where}: register it (porchctl repo register), "
                "or correct PORCH_REPOSITORY and PORCH_NAMESPACE",
            )
        if refusal.status == 404 and refusal.reason == "":  # noqa: PLR2004 - no Status: nothing serves this path
            return PorchError(
                MISCONFIGURED, f"the cluster has no Porch ({_GROUP}): install it, or choose another delivery"
            )
        return refusal
