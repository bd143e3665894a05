"""What Kubernetes' controllers make of Deployments: pods, as far as quotas and limits let them, and a status.

As kube-controller-manager 1.36 was recorded: the Deployment's controller sees a change first, then pods come and go.
"""

import copy
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.integration.cluster.statuses import Document

SEEN_SECONDS, DONE_SECONDS = 0.05, 0.25  # after a change
TIME = "2026-11-23T03:00:00Z"
_SUFFIX = "4d52j"  # of a pod's name


@dataclass
class Controller:
    """The controllers of one cluster. ``objects`` are the cluster's, kind to ``namespace/name`` to object."""

    objects: dict[str, dict[str, Document]]
    available: bool = True  # whether pods become ready; without a kubelet none does
    stuck: bool = False  # whether nothing is done at all
    refuse: str = ""  # why there can be no further pod, in any words
    cpu_limit: dict[str, int] = field(default_factory=dict)  # by namespace: millicores that a container may have
    dying: set[str] = field(default_factory=set)  # namespaces that are being deleted

    def advance(self, deployment: Document, since_seconds: float) -> bool:
        """Do what is done so long after the last change of ``deployment``; whether that changed its status."""
        before = copy.deepcopy(deployment.get("status"))
        if not self.stuck and since_seconds >= SEEN_SECONDS:
            status = deployment.setdefault("status", {})
            status["observedGeneration"] = deployment["metadata"]["generation"]
        if not self.stuck and since_seconds >= DONE_SECONDS:
            self._settle(deployment)
        return before != deployment.get("status")

    def _settle(self, deployment: Document) -> None:
        wanted = deployment["spec"].get("replicas", 1)
        pods, failure = min(deployment["status"].get("replicas", 0), wanted), ""
        while pods < wanted and not failure:
            failure = self._quota_error(deployment)
            pods += not failure
            if not failure:
                self._use(deployment, 1)
        self._use(deployment, min(wanted - deployment["status"].get("replicas", 0), 0))
        _set_counts(deployment["status"], wanted, pods, self.available)
        _conditions(deployment, wanted, failure)

    def _quota_error(self, deployment: Document) -> str:
        """Return why there can be no further pod, in the API server's words; "" if there can."""
        namespace, pod = deployment["metadata"]["namespace"], f"{replica_set_name(deployment)}-{_SUFFIX}"
        cpu = requested_cpu(deployment)
        if self.refuse:
            return self.refuse
        if namespace in self.dying:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            return f'pods "{pod}" is forbidden: {why}'
        if 0 < self.cpu_limit.get(namespace, 0) < cpu:
            why = f'Invalid value: "{cpu}m": must be less than or equal to cpu limit of {self.cpu_limit[namespace]}m'
            return f'Pod "{pod}" is invalid: spec.containers[0].resources.requests: {why}'
        for quota in self._quotas(namespace):
            hard, used = quota["spec"]["hard"], quota["status"]["used"]
            if "pods" in hard and int(used["pods"]) + 1 > int(hard["pods"]):
                numbers = f"requested: pods=1, used: pods={used['pods']}, limited: pods={hard['pods']}"
                return f'pods "{pod}" is forbidden: exceeded quota: {quota["metadata"]["name"]}, {numbers}'
        return ""

    def _use(self, deployment: Document, pods: int) -> None:
        for quota in self._quotas(deployment["metadata"]["namespace"]):
            used = quota["status"]["used"]
            used["pods"] = str(int(used["pods"]) + pods)
            if "requests.cpu" in used:
                used["requests.cpu"] = f"{int(used['requests.cpu'][:-1]) + pods * requested_cpu(deployment)}m"

    def _quotas(self, namespace: str) -> Iterator[Document]:
        for key, quota in self.objects.get("resourcequotas", {}).items():
            if key.startswith(f"{namespace}/"):
                yield quota


def _set_counts(status: Document, wanted: int, pods: int, available: bool) -> None:
    for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"):
        status.pop(name, None)
    ready = pods if available else 0
    counts = {"replicas": pods, "updatedReplicas": pods, "readyReplicas": ready, "availableReplicas": ready}
    counts["unavailableReplicas"] = wanted - ready
    status.update({name: count for name, count in counts.items() if count}, terminatingReplicas=0)


def _conditions(deployment: Document, wanted: int, failure: str) -> None:
    status = deployment["status"]
    known = {each["type"]: each for each in status.get("conditions", ()) if each["type"] != "ReplicaFailure"}
    if status.get("availableReplicas", 0) == wanted:
        done = f'ReplicaSet "{replica_set_name(deployment)}" has successfully progressed.'
        known["Progressing"] = _condition("Progressing", "True", "NewReplicaSetAvailable", done)
    if failure:
        known["ReplicaFailure"] = _condition("ReplicaFailure", "True", "FailedCreate", failure)
    status["conditions"] = list(known.values())


def _condition(kind: str, value: str, reason: str, message: str) -> Document:
    times = {"lastUpdateTime": TIME, "lastTransitionTime": TIME}
    return {"type": kind, "status": value, **times, "reason": reason, "message": message}


def requested_cpu(deployment: Document) -> int:
    """Return the millicores that a pod's first container asks for."""
    resources = deployment["spec"]["template"]["spec"]["containers"][0].get("resources", {})
    return int(resources.get("requests", {}).get("cpu", "0m").removesuffix("m"))


def replica_set_name(deployment: Document) -> str:
    """Return the name of its ReplicaSet: its own, and a hash of the template."""
    known = deployment["metadata"].get("labels", {}).get("test/pod-template-hash")
    made = f"{zlib.crc32(json.dumps(deployment['spec']['template'], sort_keys=True).encode()):010d}"
    return f"{deployment['metadata']['name']}-{known or made}"


def replica_set(deployment: Document) -> Document:
    """Return the ReplicaSet of a Deployment whose template never changed."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment["status"]
    name, wanted = replica_set_name(deployment), spec.get("replicas", 1)
    labels = {**spec["selector"]["matchLabels"], "pod-template-hash": name.rpartition("-")[2]}
    surge = -(-wanted * 25 // 100)
    counts = {"desired-replicas": wanted, "max-replicas": wanted + surge, "revision": 1}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
    template = copy.deepcopy(spec["template"])
    template["metadata"]["labels"] = labels
    failures = [each for each in status["conditions"] if each["type"] == "ReplicaFailure"]
    pods = status.get("replicas", 0)
    return {
        "metadata": {
            **{key: metadata[key] for key in ("namespace", "uid", "resourceVersion", "creationTimestamp")},
            "name": name,
            "generation": metadata["generation"],
            "labels": labels,
            "annotations": {f"deployment.kubernetes.io/{key}": str(value) for key, value in counts.items()},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {"replicas": wanted, "selector": {"matchLabels": labels}, "template": template},
        "status": {
            "replicas": pods,
            **({"fullyLabeledReplicas": pods} if pods else {}),
            "terminatingReplicas": 0,
            "observedGeneration": metadata["generation"],
            "conditions": [{key: each[key] for key in each if key != "lastUpdateTime"} for each in failures],
        },
    }
