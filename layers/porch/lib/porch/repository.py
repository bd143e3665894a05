"""One intent's package in one package revision of Porch: found or created, filled, proposed and, if wanted, published.

Every step looks at what is there, so a run that was killed anywhere is continued by the next one. Porch's API is
described as its server really answers (nephio-project/porch, pkg/registry/porch and pkg/engine/engine.go).
"""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from porch.client import Client, StatusError
from porch.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import MISCONFIGURED, REFUSED, UNREACHABLE, PorchError
from porch.inputs import is_true, variable
from porch.intent import Intent
from porch.package import Change, files
from porch.report import REPOSITORY, Outcome

_GROUP = "porch.kpt.dev/v1alpha1"
_DRAFT, _PROPOSED, _PUBLISHED, _DELETION_PROPOSED = "Draft", "Proposed", "Published", "DeletionProposed"
_CONFLICT, _INTERNAL, _NOT_FOUND = 409, 500, 404
# The engine's own conflicts reach the client as 500 InternalError, for the registry wraps every error of the engine:
# only the words tell them from a fault. All of them mean that another client was faster.
_CONFLICTS = (
    *("the object has been modified", "another request is already in progress", "package must be Draft"),
    *("workspaceNames must be unique", "already exists in repository"),
)
_KPTFILE = "Kptfile"
_PAUSES = (0.1, 0.3, 0.9, 2.7)  # seconds after a conflict
_MAX_LABEL = 63  # Porch's repositories, packages and workspaces are DNS labels (porch, pkg/util/util.go)
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_WORKSPACE_PREFIX = "intent-"
_PREFIXES = ("of-", "in-")  # a repository cannot begin both


@dataclass(frozen=True, slots=True)
class Place:
    """A repository registered with Porch, and whether packages are published in it."""

    namespace: str
    repository: str
    publish: bool


def load_place(namespace: str) -> Place:
    """Return the place that the environment names; ``namespace`` is the kubeconfig's."""
    rule = f"a name, 1 to {_MAX_LABEL} of a-z, 0-9 and -, no - at either end"
    named, repository = (variable(f"PORCH_{each}", _LABEL, rule) for each in ("NAMESPACE", "REPOSITORY"))
    if not named and not re.fullmatch(_LABEL, namespace):
        raise PorchError(MISCONFIGURED, f"kubeconfig: the context's namespace is {namespace!a:.80}: make it {rule}")
    return Place(named or namespace, repository, is_true("PORCH_PUBLISH"))


def package_of(intent: Intent, repository: str) -> str:
    """Return the Porch package of the intent's Deployment: ``<namespace>--<target>``, the same for every intent.

    Names that are too long, or that hold ``--`` themselves, get a digest in its place: no two Deployments share one.
    So does one that would begin with the repository's: some servers cut that off (nephio-project/nephio#950).
    """
    plain = f"{intent.namespace}--{intent.target}"
    if len(plain) <= _MAX_LABEL and plain.count("--") == 1 and "---" not in plain and not plain.startswith(repository):
        return plain
    head = re.sub("-+", "-", f"{intent.namespace}-{intent.target}")
    if head.startswith(repository):
        head = next(made for each in _PREFIXES if not (made := each + head).startswith(repository))
    digest = _digest(intent.namespace, intent.target)
    return f"{head[: _MAX_LABEL - len(digest) - 1].rstrip('-')}-{digest}"


def workspace_of(intent: Intent, package: str) -> str:
    """Return the workspace of this intent: of its fields and its version, so that a repetition finds it.

    The version (the end of ``package``, our own package name) tells an intent that is sent again, after others, from
    a repeated attempt.
    """
    fields = (intent.id, intent.target, intent.namespace, str(intent.replicas))
    version = package.rpartition("-")[2].replace(".", "-")
    return f"{_WORKSPACE_PREFIX}{_digest(*fields, intent.reason, intent.source, intent.correlation_id)}-{version}"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


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
        is_published=lifecycle in {_PUBLISHED, _DELETION_PROPOSED} and number > 0,
        is_latest=at(metadata, "labels", "kpt.dev/latest-revision") == "true",
        is_ready=all(conditions.get(at(gate, "conditionType")) == "True" for gate in gates),
    )


class _Package:
    """The revisions of one package in a repository, and what is wanted there. Each method makes one request."""

    def __init__(self, client: Client, place: Place, change: Change) -> None:
        self.client, self.place, self.intent, self.files = client, place, change.intent, files(change)
        self.name = package_of(self.intent, place.repository)
        self.workspace = workspace_of(self.intent, change.package)

    def find(self, workspace: str) -> Revision | None:
        """Return the revision of this workspace, or None."""
        try:
            return _revision(self.client.get(self._path("packagerevisions", self._name(self.name, workspace))))
        except StatusError as error:
            if error.missing == "packagerevisions":
                return None
            raise self._classify(error) from None

    def revisions(self) -> Iterator[Revision]:
        """Yield all revisions of the package."""
        selector = f"spec.repository={self.place.repository},spec.packageName={self.name}"
        with self._translate_refusals():
            for document in self.client.items(self._path("packagerevisions"), fieldSelector=selector):
                spec = mapping(document.get("spec"))
                if (spec.get("repository"), spec.get("packageName")) == (self.place.repository, self.name):
                    yield self._supported(document)

    def create(self, task: Fields) -> Revision:
        """Create a Draft by ``task``; `Conflict` when there is one of this name, or a first one of this package."""
        document = {
            "apiVersion": _GROUP,
            "kind": "PackageRevision",
            "metadata": {"namespace": self.place.namespace},
            "spec": {
                "packageName": self.name,
                "repository": self.place.repository,
                "workspaceName": self.workspace,
                "lifecycle": _DRAFT,
                "tasks": [task],
            },
        }
        with self._translate_refusals():
            return self._supported(self.client.create(self._path("packagerevisions"), document))

    def contents(self, revision: Revision) -> tuple[Fields, Mapping[str, str]]:
        """Return the PackageRevisionResources of ``revision`` and the files in it by name."""
        with self._translate_refusals():
            document = self.client.get(self._path("packagerevisionresources", revision.name))
        return document, mapping(at(document, "spec", "resources"))

    def fill(self, document: Fields, files: Mapping[str, str]) -> None:
        """Replace the files of a Draft; ``document`` is that of `contents`."""
        self._replace("packagerevisionresources", document, {"resources": dict(files)})

    def move(self, revision: Revision, lifecycle: str) -> Revision:
        """Make it Proposed or Draft, or, if it is Proposed or DeletionProposed, Published by way of approval."""
        subresource = "approval" if lifecycle == _PUBLISHED else ""
        return _revision(self._replace("packagerevisions", revision.document, {"lifecycle": lifecycle}, subresource))

    def _replace(self, kind: str, document: Fields, changes: Fields, subresource: str = "") -> Fields:
        path = self._path(kind, text(at(document, "metadata", "name")), subresource)
        with self._translate_refusals():
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
    def _translate_refusals(self) -> Iterator[None]:
        try:
            yield
        except StatusError as error:
            raise self._classify(error) from None

    def _classify(self, error: StatusError) -> Exception:
        is_conflict = error.status == _INTERNAL and any(words in error.message for words in _CONFLICTS)
        if error.status == _CONFLICT or is_conflict:
            return Conflict(error.words)
        if error.missing in {"repositories", "namespaces"}:
            where = f"{self.place.namespace}/{self.place.repository}"
            return PorchError(
                MISCONFIGURED,
                f"Porch has no repository {where}: register it (porchctl repo register), "
                "or correct PORCH_REPOSITORY and PORCH_NAMESPACE",
            )
        if error.status == _NOT_FOUND and error.reason == "":  # no Status: nothing serves this path
            message = f"the cluster has no Porch ({_GROUP}): install it, or choose another delivery"
            return PorchError(MISCONFIGURED, message)
        return error


def _merge(present: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return all files of the revision with ours in place.

    Other files stay, and so does what Porch and people wrote into the Kptfile: a pipeline, upstream, conditions. A file
    with the same content keeps its spelling, since Porch formats what it receives.
    """
    files = {name: present[name] if _has_same_content(present.get(name), text) else text for name, text in ours.items()}
    if kptfile := _read(present.get(_KPTFILE)):
        wanted = _overlay(kptfile, mapping(_read(ours[_KPTFILE])))
        files[_KPTFILE] = present[_KPTFILE] if wanted == kptfile else yaml.safe_dump(wanted, sort_keys=False)
    return {**present, **files}


def _is_current(present: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Return whether a revision has these files already."""
    return _merge(present, ours) == present


def _overlay(present: Fields, ours: Fields) -> dict[str, object]:
    # The name stays Porch's: it is the package's, where ours is that of one version.
    metadata = {**mapping(present.get("metadata"))}
    metadata["annotations"] = {**mapping(metadata.get("annotations")), **mapping(at(ours, "metadata", "annotations"))}
    info = {**mapping(present.get("info")), **mapping(ours.get("info"))}
    return {**present, "metadata": metadata, "info": info}


def _has_same_content(present: str | None, text: str) -> bool:
    return present == text or (present is not None and _read(present) == _read(text))


def _read(text: str | None) -> Fields | None:
    try:
        return mapping(yaml.safe_load(text)) if text else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # not what porch would have written, and not porch's to correct


def submit(client: Client, place: Place, change: Change) -> Outcome:
    """Bring the package of ``change`` into the repository.

    Raises ``PorchError`` when Porch refuses (3, 76, 78), does not answer (4), or others are faster every time (4).
    """
    package = _Package(client, place, change)
    for pause in (*_PAUSES, None):
        try:
            return _publish(package, _propose(package, _choose(package)))
        except Conflict as conflict:
            if pause is None:
                message = f"package {package.name} keeps changing in Porch ({conflict}): try again later"
                raise PorchError(UNREACHABLE, message) from None
            time.sleep(pause)
    raise AssertionError  # the loop returns or raises


def _choose(package: _Package) -> Revision:
    """Return this intent's revision: its own, the one that says the same, one to take over, or a new one."""
    if own := package.find(package.workspace):
        return _reuse(package, own)
    revisions = list(package.revisions())
    published = [each for each in revisions if each.is_published]
    if published:
        latest = max(published, key=lambda each: each.number)
        # One that is about to be deleted delivers nothing, though a new one can still start from it.
        if latest.lifecycle == _PUBLISHED and _is_current(package.contents(latest)[1], package.files):
            return latest
        return package.create({"type": "edit", "edit": {"sourceRef": {"name": latest.name}}})
    if revisions:
        return _take_over(package, revisions)
    description = f"Replicas of Deployment {package.intent.namespace}/{package.intent.target}"
    return package.create({"type": "init", "init": {"description": description}})


def _reuse(package: _Package, own: Revision) -> Revision:
    # Its workspace is taken until it is deleted, so there is no second one to make for this package.
    if own.lifecycle != _DELETION_PROPOSED:
        return own
    if package.place.publish:
        return package.move(own, _PUBLISHED)
    raise PorchError(
        REFUSED,
        f"package revision {own.name} carries this intent, and its deletion is proposed: reject that "
        "(porchctl rpkg reject), or send the intent again once it is deleted",
    )


def _take_over(package: _Package, revisions: list[Revision]) -> Revision:
    # Until one is published, Porch makes no second revision of a package: "init" finds the package there, "edit" has
    # nothing to start from. The one that is there is an older intent's, which this one replaces, or not ours to touch.
    only = revisions[0]
    if len(revisions) == 1 and only.lifecycle in {_DRAFT, _PROPOSED} and only.workspace.startswith(_WORKSPACE_PREFIX):
        return only
    names = ", ".join(each.name for each in revisions[:3])
    raise PorchError(
        REFUSED,
        f"package {package.name} has no published revision to start from, and {names} is not of porch's making: "
        "publish it, or delete it",
    )


def _propose(package: _Package, revision: Revision) -> Revision:
    if revision.lifecycle == _PROPOSED and revision.workspace != package.workspace:
        if _is_current(package.contents(revision)[1], package.files):
            return revision
        revision = package.move(revision, _DRAFT)  # in which alone files can be changed
    if revision.lifecycle != _DRAFT:
        return revision  # an earlier attempt has filled it
    document, present = package.contents(revision)
    files = _merge(present, package.files)
    if files != present:
        package.fill(document, files)
        fresh = package.find(revision.workspace)
        if fresh is None or fresh.lifecycle != _DRAFT:
            raise Conflict("it was moved on or deleted while it was written")
        revision = fresh
    return package.move(revision, _PROPOSED)


def _publish(package: _Package, revision: Revision) -> Outcome:
    notes: tuple[str, ...] = ()
    if revision.is_published and not revision.is_latest:
        # Others came after it, perhaps rightly so: nothing to undo, but not what one who sends it again expects.
        notes = (f"package revision {revision.name} was published before, and is not the latest one any more",)
    elif revision.lifecycle == _PROPOSED and package.place.publish:
        if revision.is_ready:
            revision = package.move(revision, _PUBLISHED)
        else:
            notes = (f"package revision {revision.name} stays Proposed: its readiness gates are not met yet",)
    outcome = Outcome(REPOSITORY, None, *notes)
    outcome.revision = {"namespace": package.place.namespace, "name": revision.name, "lifecycle": revision.lifecycle}
    return outcome
