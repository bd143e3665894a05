"""The Deployment that an intent names, as the cluster has it (apps/v1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from porch.cluster.answers import Refusal
from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import NOT_FOUND, PorchError
from porch.intent import Intent

FIELD_MANAGER = "conductor-loop"
_ABSENT_OR_HIDDEN = {403, 404}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one read of it said."""

    document: Fields

    @property
    def version(self) -> str:
        """Changes with every write, of the status as well; that of its scale is the same."""
        return text(at(self.document, "metadata", "resourceVersion"))

    @property
    def generation(self) -> int:
        """Changes with every change of what is wanted."""
        return whole(at(self.document, "metadata", "generation"), 0)

    @property
    def replicas(self) -> int:
        """How many are wanted."""
        return whole(at(self.document, "spec", "replicas"), 1)

    @property
    def pods(self) -> int:
        """How many there are."""
        return whole(at(self.document, "status", "replicas"), 0)

    @property
    def available(self) -> int:
        """How many of them are ready, and of the newest template."""
        counts = (whole(at(self.document, "status", name), 0) for name in ("availableReplicas", "updatedReplicas"))
        return min(counts)

    @property
    def is_observed(self) -> bool:
        """Whether its controller has seen what is wanted now: before, the status is of another wish."""
        return whole(at(self.document, "status", "observedGeneration"), 0) >= self.generation

    @property
    def failure(self) -> str:
        """Why there are no more pods, in the words of the cluster; "" where it says nothing of that."""
        for condition in map(mapping, sequence(at(self.document, "status", "conditions"))):
            if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
                return text(condition.get("message")) or text(condition.get("reason")) or "ReplicaFailure"
        return ""

    @property
    def is_scaled_by_us(self) -> bool:
        """Whether it was us who set the replicas last, in this or an earlier run."""
        return any(
            at(entry, "manager") == FIELD_MANAGER and at(entry, "fieldsV1", "f:spec", "f:replicas") is not None
            for entry in self._owners()
        )

    def _owners(self) -> Iterator[Fields]:
        yield from map(mapping, sequence(at(self.document, "metadata", "managedFields")))


def path_of(intent: Intent) -> str:
    """Return the path of the intent's Deployment."""
    return f"/apis/apps/v1/namespaces/{intent.namespace}/deployments/{intent.target}"


def find(client: Client, intent: Intent) -> Deployment:
    """Return the intent's Deployment.

    Raises ``PorchError``: 2 where it or its namespace is missing or being deleted, 3 without the right to look, 4
    without a usable answer.
    """
    try:
        deployment = Deployment(client.get(path_of(intent)))
    except Refusal as refusal:
        raise _meant(client, intent, refusal) from None
    if at(deployment.document, "metadata", "deletionTimestamp"):
        what = f"Deployment {intent.namespace}/{intent.target} is being deleted"
        raise PorchError(NOT_FOUND, f"{what}: send the intent again once there is a new one")
    return deployment


def missing(intent: Intent) -> PorchError:
    """Say that there is no such Deployment."""
    what = f"Deployment {intent.namespace}/{intent.target} is not found"
    return PorchError(NOT_FOUND, f"{what}: create it, or correct $.target")


def _meant(client: Client, intent: Intent, refusal: Refusal) -> PorchError:
    # A role in a namespace that is not there any more grants nothing: "forbidden" may mean "no such namespace".
    if refusal.status in _ABSENT_OR_HIDDEN and not _has_namespace(client, intent.namespace):
        return PorchError(NOT_FOUND, f"namespace {intent.namespace} is not found: create it, or correct $.namespace")
    return missing(intent) if refusal.missing == "deployments" else refusal


def _has_namespace(client: Client, namespace: str) -> bool:
    try:
        client.get(f"/api/v1/namespaces/{namespace}")
    except Refusal as refusal:
        return refusal.missing != "namespaces"  # who may not look cannot deny it
    return True
