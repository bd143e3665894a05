"""Whether the cluster has what an intent names, and whether an autoscaler would undo its replicas."""

from dataclasses import dataclass

from porch.cluster.answers import Refusal
from porch.cluster.autoscaler import notes, opposed, targeting
from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, whole
from porch.errors import NOT_FOUND, QUOTA, PorchError
from porch.intent import Intent

_ABSENT_OR_HIDDEN = {403, 404}


@dataclass(frozen=True, slots=True)
class Findings:
    """What the cluster says about the intent's Deployment."""

    replicas: int  # wanted before this intent
    notes: tuple[str, ...]  # nothing to stop for, but worth knowing


def check(client: Client, intent: Intent) -> Findings:
    """Return what there is; raise ``PorchError`` with every reason why the intent cannot come true.

    Exit codes: 2 no such namespace or Deployment, 3 no permission to look, 4 no usable answer, 5 an autoscaler objects.
    """
    deployment = _deployment(client, intent)
    autoscalers = targeting(client.items(_inside(intent, "autoscaling/v2", "horizontalpodautoscalers")), intent.target)
    problems = [*opposed(autoscalers, intent.replicas)]
    if problems:
        raise PorchError(QUOTA, *problems)
    return Findings(whole(at(deployment, "spec", "replicas"), 1), tuple(notes(autoscalers, intent.replicas)))


def _deployment(client: Client, intent: Intent) -> Fields:
    try:
        return client.get(f"{_inside(intent, 'apps/v1', 'deployments')}/{intent.target}")
    except Refusal as refusal:
        # A role in a namespace that is not there any more grants nothing: "forbidden" may mean "no such namespace".
        if refusal.status in _ABSENT_OR_HIDDEN and not _has_namespace(client, intent.namespace):
            raise PorchError(
                NOT_FOUND, f"namespace {intent.namespace} is not found: create it, or correct $.namespace"
            ) from None
        if refusal.missing == "deployments":
            raise PorchError(
                NOT_FOUND,
                f"Deployment {intent.namespace}/{intent.target} is not found: create it, or correct $.target",
            ) from None
        raise


def _has_namespace(client: Client, namespace: str) -> bool:
    try:
        client.get(f"/api/v1/namespaces/{namespace}")
    except Refusal as refusal:
        return refusal.missing != "namespaces"  # whoever may not look cannot deny it
    return True


def _inside(intent: Intent, version: str, kind: str) -> str:
    return f"/apis/{version}/namespaces/{intent.namespace}/{kind}"
