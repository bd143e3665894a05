"""HorizontalPodAutoscalers that would undo the wanted replicas (autoscaling/v2)."""

from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, text, whole
from porch.errors import QUOTA, PorchError
from porch.intent import Intent


def consult(client: Client, intent: Intent) -> tuple[str, ...]:
    """Return notes; raise ``PorchError`` (5) with a sentence for each autoscaler that would undo the replicas."""
    path = f"/apis/autoscaling/v2/namespaces/{intent.namespace}/horizontalpodautoscalers"
    problems, notes = [], []
    for autoscaler in client.items(path):
        if not _targets(autoscaler, intent.target):
            continue
        name = f"HorizontalPodAutoscaler {text(at(autoscaler, 'metadata', 'name'))}"
        least, most = (whole(at(autoscaler, "spec", field), 1) for field in ("minReplicas", "maxReplicas"))
        if not intent.replicas:  # which turns it off (kubernetes, pkg/controller/podautoscaler/horizontal.go)
            notes.append(f"{name} is off while there are 0 replicas")
        elif least <= intent.replicas <= most:
            notes.append(f"{name} may change the replicas again, within {least} to {most}")
        else:
            is_low = intent.replicas < least
            field, value, change = ("minReplicas", least, "lower") if is_low else ("maxReplicas", most, "raise")
            problems.append(
                f"{name} would undo {intent.replicas} replicas, its spec.{field} is {value}: "
                f"{change} spec.{field}, or ask for {least} to {most} replicas"
            )
    if problems:
        raise PorchError(QUOTA, *problems)
    return tuple(notes)


def _targets(autoscaler: Fields, deployment: str) -> bool:
    kind, name, version = (at(autoscaler, "spec", "scaleTargetRef", key) for key in ("kind", "name", "apiVersion"))
    return (text(version).partition("/")[0], kind, name) == ("apps", "Deployment", deployment)
