"""HorizontalPodAutoscalers that would undo the wanted replicas (autoscaling/v2)."""

from collections.abc import Iterable, Iterator

from porch.cluster.client import Client
from porch.cluster.documents import Fields, at, mapping, text, whole
from porch.errors import QUOTA, PorchError
from porch.intent import Intent


def consult(client: Client, intent: Intent) -> tuple[str, ...]:
    """Return what is worth knowing; ``PorchError`` (5) with a sentence for each one that would undo the replicas."""
    path = f"/apis/autoscaling/v2/namespaces/{intent.namespace}/horizontalpodautoscalers"
    found = targeting(client.items(path), intent.target)
    if problems := [*opposed(found, intent.replicas)]:
        raise PorchError(QUOTA, *problems)
    return tuple(notes(found, intent.replicas))


def targeting(autoscalers: Iterable[Fields], deployment: str) -> list[Fields]:
    """Return those that scale this Deployment."""
    return [each for each in autoscalers if _targets(mapping(at(each, "spec", "scaleTargetRef")), deployment)]


def opposed(autoscalers: Iterable[Fields], replicas: int) -> Iterator[str]:
    """Yield a sentence for each one whose bounds exclude ``replicas``.

    Zero is never excluded: it turns the autoscaler off (kubernetes, pkg/controller/podautoscaler/horizontal.go).
    """
    for name, least, most in map(_bounds, autoscalers):
        if replicas and not least <= replicas <= most:
            field, value = ("minReplicas", least) if replicas < least else ("maxReplicas", most)
            change = "lower" if replicas < least else "raise"
            yield (
                f"HorizontalPodAutoscaler {name} would undo {replicas} replicas, its spec.{field} is {value}: "
                f"{change} spec.{field}, or ask for {least} to {most} replicas"
            )


def notes(autoscalers: Iterable[Fields], replicas: int) -> Iterator[str]:
    """Yield a sentence for each one that lets ``replicas`` pass, and will still have its say."""
    for name, least, most in map(_bounds, autoscalers):
        if not replicas:
            yield f"HorizontalPodAutoscaler {name} is off while there are 0 replicas"
        elif least <= replicas <= most:
            yield f"HorizontalPodAutoscaler {name} may change the replicas again, within {least} to {most}"


def _targets(reference: Fields, deployment: str) -> bool:
    group = text(reference.get("apiVersion")).partition("/")[0]
    return (group, reference.get("kind"), reference.get("name")) == ("apps", "Deployment", deployment)


def _bounds(autoscaler: Fields) -> tuple[str, int, int]:
    spec = at(autoscaler, "spec")
    return (
        text(at(autoscaler, "metadata", "name")),
        whole(at(spec, "minReplicas"), 1),
        whole(at(spec, "maxReplicas"), 1),
    )
