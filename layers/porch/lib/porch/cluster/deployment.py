"""The Deployment that an intent names, as the cluster has it (apps/v1)."""

from dataclasses import dataclass

from porch.cluster.client import Client, Refusal
from porch.cluster.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import NOT_FOUND, PorchError
from porch.intent import Intent

FIELD_MANAGER = "conductor-loop"
_ABSENT_OR_HIDDEN = {403, 404}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One read of it."""

    version: str  # changes with every write, of the status as well; that of its scale is the same
    generation: int  # changes with what is wanted
    replicas: int  # wanted
    pods: int
    observed_pods: int | None  # None: the status is of another generation
    available: int  # pods that are ready, and of the newest template
    is_observed: bool  # by its controller; before, the status is of another generation
    failure: str  # why there are no more pods, in the cluster's words; "" where it gives no reason
    is_scaled_by_us: bool  # whether porch set the replicas last, in this or an earlier run


def _read(document: Fields) -> Deployment:
    metadata, status = mapping(document.get("metadata")), mapping(document.get("status"))
    generation, pods = whole(metadata.get("generation"), 0), whole(status.get("replicas"), 0)
    is_observed = whole(status.get("observedGeneration"), 0) >= generation
    return Deployment(
        version=text(metadata.get("resourceVersion")),
        generation=generation,
        replicas=whole(at(document, "spec", "replicas"), 1),
        pods=pods,
        observed_pods=pods if is_observed else None,
        available=min(whole(status.get(name), 0) for name in ("availableReplicas", "updatedReplicas")),
        is_observed=is_observed,
        failure=_failure(status),
        is_scaled_by_us=any(
            at(entry, "manager") == FIELD_MANAGER and at(entry, "fieldsV1", "f:spec", "f:replicas") is not None
            for entry in sequence(metadata.get("managedFields"))
        ),
    )


def _failure(status: Fields) -> str:
    for condition in map(mapping, sequence(status.get("conditions"))):
        if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
            return text(condition.get("message")) or text(condition.get("reason")) or "ReplicaFailure"
    return ""


def path_of(intent: Intent) -> str:
    """Return the path of the intent's Deployment."""
    return f"/apis/apps/v1/namespaces/{intent.namespace}/deployments/{intent.target}"


def find(client: Client, intent: Intent) -> Deployment:
    """Return the intent's Deployment.

    Raises ``PorchError``: 2 where it or its namespace is missing or being deleted, 3 without the right to look, 4
    without a usable answer.
    """
    try:
        document = client.get(path_of(intent))
    except Refusal as refusal:
        # A role in a namespace that is missing grants nothing: "forbidden" may mean "no such namespace".
        if refusal.status in _ABSENT_OR_HIDDEN and not _has_namespace(client, intent.namespace):
            message = f"namespace {intent.namespace} is not found: create it, or correct $.namespace"
            raise PorchError(NOT_FOUND, message) from None
        raise missing(intent, refusal) from None
    if at(document, "metadata", "deletionTimestamp"):
        what = f"Deployment {intent.namespace}/{intent.target} is being deleted"
        raise PorchError(NOT_FOUND, f"{what}: send the intent again once there is a new one")
    return _read(document)


def missing(intent: Intent, refusal: Refusal) -> PorchError:
    """Return the error of a refusal that may be for the lack of the Deployment."""
    if refusal.missing != "deployments":
        return refusal
    what = f"Deployment {intent.namespace}/{intent.target} is not found"
    return PorchError(NOT_FOUND, f"{what}: create it, or correct $.target")


def _has_namespace(client: Client, namespace: str) -> bool:
    try:
        client.get(f"/api/v1/namespaces/{namespace}")
    except Refusal as refusal:
        return refusal.missing != "namespaces"  # without the right to look, it may be there
    return True
