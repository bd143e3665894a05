"""A cluster's objects, and what its API makes of requests for them, as Kubernetes 1.36 was recorded."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.integration.cluster.applying import REPLICAS, entry, own_replicas, refuse_creation, refuse_partial
from tests.integration.cluster.controller import TIME, Controller, replica_set
from tests.integration.cluster.statuses import MODIFIED, Asked, Document, conflict, invalid_fields, not_found

GROUPS = {"deployments": "apps", "replicasets": "apps", "horizontalpodautoscalers": "autoscaling"}
_LISTS = {
    "horizontalpodautoscalers": ("HorizontalPodAutoscalerList", "autoscaling/v2"),
    "resourcequotas": ("ResourceQuotaList", "v1"),
    "limitranges": ("LimitRangeList", "v1"),
    "replicasets": ("ReplicaSetList", "apps/v1"),
}
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


@dataclass
class Kubernetes:
    """The cluster. ``clock`` gives seconds; with each request the controllers do what they would have done by then."""

    objects: dict[str, dict[str, Document]] = field(default_factory=dict)  # kind to namespace/name to object
    namespaces: dict[str, str] = field(default_factory=lambda: {"oran-sim": "Active", "default": "Active"})  # phases
    page: int = 500
    clock: Callable[[], float] = time.monotonic
    changed: dict[str, float] = field(default_factory=dict)  # namespace/name to when its spec changed
    version: int = 100

    def __post_init__(self) -> None:
        self.controller = Controller(self.objects)

    def add(self, kind: str, name: str, namespace: str = "oran-sim", **fields: Any) -> Document:
        """Put an object there, as another client would; controllers are done with it."""
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}"} | fields.pop("metadata", {})
        if kind == "deployments":
            metadata.setdefault("generation", 1)
        made: Document = {"metadata": {**metadata, "creationTimestamp": TIME}, **fields}
        self.objects.setdefault(kind, {})[f"{namespace}/{name}"] = made
        self.changed.pop(f"{namespace}/{name}", None)
        self._touch(made)
        return made

    def deployment(self, name: str = "cnf-simulator", namespace: str = "oran-sim") -> Document:
        """Return the Deployment itself, to look at it or to change it."""
        return self.objects["deployments"][f"{namespace}/{name}"]

    def scale(self, replicas: int, name: str = "cnf-simulator", namespace: str = "oran-sim") -> None:
        """Scale as another client would."""
        self._scale(self.deployment(name, namespace), replicas, "kubectl")

    def touch_status(self, name: str = "cnf-simulator", namespace: str = "oran-sim") -> None:
        """Let a controller write the status: another version of the same wish."""
        self._touch(self.deployment(name, namespace))

    # -------------------------------------------------------------- reading
    def namespace(self, name: str) -> Document:
        if name not in self.namespaces:
            raise not_found("namespaces", name)
        metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "creationTimestamp": TIME}
        labels = {"labels": {"kubernetes.io/metadata.name": name}}
        return {
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": metadata | labels,
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": self.namespaces[name]},
        }

    def get(self, asked: Asked) -> Document:
        found = self._found(asked)
        if asked.subresource == "scale":
            return _scale_of(found)
        head = {"kind": "Deployment", "apiVersion": "apps/v1"} if asked.kind == "deployments" else {}
        return head | copy.deepcopy(found)

    def collection(self, asked: Asked, query: dict[str, str]) -> Document:
        start = int(query.get("continue", "0"))
        end = start + min(self.page, int(query.get("limit", "500")))
        items = self._items(asked)
        kind, version = _LISTS[asked.kind]
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(items) else {})
        return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items[start:end]}

    def _items(self, asked: Asked) -> list[Document]:
        kind = "deployments" if asked.kind == "replicasets" else asked.kind
        self._advance()
        found = [each for key, each in self.objects.get(kind, {}).items() if key.startswith(f"{asked.namespace}/")]
        return copy.deepcopy([replica_set(each) for each in found] if asked.kind == "replicasets" else found)

    # -------------------------------------------------------------- writing
    def patch(self, asked: Asked, query: dict[str, str], content_type: str, body: bytes) -> Document:
        change, manager = json.loads(body), query.get("fieldManager", "unknown")
        if content_type == APPLY:
            return self._apply(asked, change, manager, force=query.get("force") == "true")
        assert content_type == MERGE, content_type
        found = self._found(asked)
        self._check_version(found, change)
        if asked.subresource == "scale":
            return self._patch_scale(found, change, manager, dry="dryRun" in query)
        _merge(found, change)
        _own_annotations(found, change, manager)
        self._touch(found)
        return self.get(asked)

    def _patch_scale(self, found: Document, change: Document, manager: str, *, dry: bool) -> Document:
        replicas = change["spec"]["replicas"]
        if replicas < 0:
            why = f"Invalid value: {replicas}: must be greater than or equal to 0"
            fields = [("FieldValueInvalid", "spec.replicas", why)]
            raise invalid_fields("Scale", "autoscaling", found["metadata"]["name"], fields)
        target = copy.deepcopy(found) if dry else found
        if dry:
            target["spec"]["replicas"] = replicas
        else:
            self._scale(found, replicas, manager)
        return _scale_of(target)

    def _scale(self, found: Document, replicas: int, manager: str) -> None:
        if found["spec"].get("replicas", 1) == replicas:
            return  # nothing is written: neither version nor generation nor owner change
        found["spec"]["replicas"] = replicas
        own_replicas(found, entry(manager, "Update", copy.deepcopy(REPLICAS), "scale"))
        self._change(found)

    def _apply(self, asked: Asked, change: Document, manager: str, *, force: bool) -> Document:
        if f"{asked.namespace}/{asked.name}" not in self.objects.get(asked.kind, {}):
            raise refuse_creation(asked.name)
        found, replicas = self._found(asked), change["spec"]["replicas"]
        refuse_partial(found, manager, replicas, force=force)
        found["spec"]["replicas"] = replicas
        own_replicas(found, entry(manager, "Apply", copy.deepcopy(REPLICAS)))
        self._change(found)
        return self.get(asked)

    def _check_version(self, found: Document, change: Document) -> None:
        given = change.get("metadata", {}).get("resourceVersion")
        if given and given != found["metadata"]["resourceVersion"]:
            raise conflict("deployments", found["metadata"]["name"], MODIFIED, "apps")

    def _change(self, found: Document) -> None:
        found["metadata"]["generation"] += 1
        self.changed[_key(found)] = self.clock()
        self._touch(found)

    def _touch(self, found: Document) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)

    def _found(self, asked: Asked) -> Document:
        key = f"{asked.namespace}/{asked.name}"
        self._advance()
        if key not in self.objects.get(asked.kind, {}):
            raise not_found(asked.kind, asked.name, GROUPS.get(asked.kind, ""))
        return self.objects[asked.kind][key]

    def _advance(self) -> None:
        for key, since in self.changed.items():
            found = self.objects.get("deployments", {}).get(key)
            if found and self.controller.advance(found, self.clock() - since):
                self._touch(found)


def _key(found: Document) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


def _scale_of(found: Document) -> Document:
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = found["spec"].get("replicas", 1)
    labels = found["spec"].get("selector", {}).get("matchLabels", {})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: found["metadata"][name] for name in names},
        "spec": {"replicas": replicas} if replicas else {},  # omitted where it is zero, as Go's omitempty has it
        "status": {
            "replicas": found.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{name}={value}" for name, value in labels.items()),
        },
    }


def _merge(target: Document, change: Document) -> None:
    for name, value in change.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(name, {}), value)
        else:
            target[name] = value


def _own_annotations(found: Document, change: Document, manager: str) -> None:
    given = change.get("metadata", {}).get("annotations", {})
    owned: Document = {f"f:{name}": {} for name, value in given.items() if value is not None}
    if owned:
        fields = {"f:metadata": {"f:annotations": owned}}
        found["metadata"].setdefault("managedFields", []).append(entry(manager, "Update", fields))
