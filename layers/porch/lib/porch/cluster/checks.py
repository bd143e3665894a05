"""Whether the cluster can do what an intent asks: the Deployment is there, and nothing rules its replicas out."""

from dataclasses import dataclass

from porch.cluster.answers import Refusal
from porch.cluster.autoscaler import notes, opposed, targeting
from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, mapping, text, whole
from porch.cluster.limits import broken_limits
from porch.cluster.pods import pod_of
from porch.cluster.quota import Growth, exceeded_quotas
from porch.errors import NOT_FOUND, QUOTA, UNREACHABLE, PorchError
from porch.intent import Intent

_ABSENT_OR_HIDDEN = {403, 404}


@dataclass(frozen=True, slots=True)
class Findings:
    """What the cluster says about the intent's Deployment."""

    replicas: int  # wanted before this intent
    notes: tuple[str, ...]  # nothing to stop for, but worth knowing


def check(client: Client, intent: Intent) -> Findings:
    """Return what there is; raise ``PorchError`` with every reason why the intent cannot come true.

    Exit codes: 2 no such namespace or Deployment, 3 no permission to look, 4 no usable answer, 5 no room.
    """
    deployment = _deployment(client, intent)
    autoscalers = targeting(client.items(_inside(intent, "autoscaling/v2", "horizontalpodautoscalers")), intent.target)
    problems = [*opposed(autoscalers, intent.replicas)]
    advice = [*notes(autoscalers, intent.replicas)]
    # Pods that exist count, whatever was wanted: a quota may have kept the others out.
    growth = Growth(intent.replicas - _existing(deployment), _existing(deployment))
    if growth.pods > 0:
        room = _room(client, intent, deployment)
        problems += room.problems(growth)
        advice += room.surge(growth, deployment, intent.replicas)
    if problems:
        raise PorchError(QUOTA, *problems)
    return Findings(whole(at(deployment, "spec", "replicas"), 1), tuple(advice))


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


def _existing(deployment: Fields) -> int:
    return whole(at(deployment, "status", "replicas"), 0)


def _inside(intent: Intent, version: str, kind: str) -> str:
    root = "/api" if version == "v1" else "/apis"
    return f"{root}/{version}/namespaces/{intent.namespace}/{kind}"


@dataclass(frozen=True, slots=True)
class _Room:
    """What bounds the pods of one namespace."""

    template: Fields
    limit_ranges: tuple[Fields, ...]
    quotas: tuple[Fields, ...]

    def problems(self, growth: Growth) -> list[str]:
        """Return a sentence for each thing that keeps the new pods out."""
        try:
            pod = pod_of(self.template, self.limit_ranges)
            return [*broken_limits(pod, self.limit_ranges), *exceeded_quotas(pod, growth, self.quotas)]
        except ValueError as error:
            raise PorchError(UNREACHABLE, f"the cluster's answer has {error}: try again later") from None

    def surge(self, growth: Growth, deployment: Fields, replicas: int) -> list[str]:
        """Return a note when the replicas fit, but a later rolling update would not."""
        extra = _surge(deployment, replicas)
        if not extra or self.problems(growth) or not self.problems(Growth(growth.pods + extra, growth.counted)):
            return []
        return [f"a rolling update adds up to {extra} pods for a while (maxSurge), and the quota has no room for them"]


def _room(client: Client, intent: Intent, deployment: Fields) -> _Room:
    return _Room(
        mapping(at(deployment, "spec", "template")),
        tuple(client.items(_inside(intent, "v1", "limitranges"))),
        tuple(client.items(_inside(intent, "v1", "resourcequotas"))),
    )


def _surge(deployment: Fields, replicas: int) -> int:
    strategy = mapping(at(deployment, "spec", "strategy"))
    if strategy.get("type") == "Recreate":
        return 0
    surge = at(strategy, "rollingUpdate", "maxSurge")
    share = text(surge) or "25%"
    if not isinstance(surge, int) and share.endswith("%") and share[:-1].isdecimal():
        return -(-replicas * int(share[:-1]) // 100)  # rounded up, as Kubernetes does
    return whole(surge, 0)
