"""ResourceQuotas that leave no room for the new pods (kubernetes, pkg/quota/v1/evaluator/core/pods.go)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.cluster.pods import Amounts, Container, Pod
from porch.cluster.quantity import parse, show

_REQUESTED = ("cpu", "memory", "ephemeral-storage")
_MUST_BE_SET = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}


@dataclass(frozen=True, slots=True)
class Growth:
    """How many pods are to be added to how many that a quota has counted already."""

    pods: int
    counted: int


def exceeded_quotas(pod: Pod, growth: Growth, quotas: Iterable[Fields]) -> Iterator[str]:
    """Yield a sentence for each line of each quota that the new pods do not fit into."""
    for quota in quotas:
        if growth.pods > 0 and _covers(quota, pod):
            yield from _exceeded(quota, pod, growth)


def usage(requests: Amounts, limits: Amounts) -> Amounts:
    """Return what one pod, or one container, adds to each line that a quota may have."""
    used = {f"limits.{name}": amount for name, amount in limits.items() if name in _REQUESTED}
    for name, amount in requests.items():
        if name in _REQUESTED or name.startswith("hugepages-"):
            used[name] = amount
        used[f"requests.{name}"] = amount
    return {**used, "pods": Fraction(1), "count/pods": Fraction(1)}


def _exceeded(quota: Fields, pod: Pod, growth: Growth) -> Iterator[str]:
    name = text(at(quota, "metadata", "name"))
    hard = mapping(at(quota, "status", "hard") or at(quota, "spec", "hard"))
    for container in () if pod.has_its_own_figures else pod.containers:
        if missing := _unset(container, hard.keys() & _MUST_BE_SET):
            yield (
                f"ResourceQuota {name} admits no pod without {', '.join(missing)}, "
                f"which container {container.name} lacks: add it to the Deployment, or a default to a LimitRange"
            )
    for line, each in usage(pod.requests, pod.limits).items():
        if line in hard and each > 0:
            left = parse(hard[line]) - parse(mapping(at(quota, "status", "used")).get(line, 0))
            if each * growth.pods > left:
                yield _no_room(name, line, _Room(each, left, hard[line], growth))


@dataclass(frozen=True, slots=True)
class _Room:
    each: Fraction
    left: Fraction
    hard: object
    growth: Growth

    @property
    def replicas(self) -> int:
        """How many replicas there may be at most."""
        return self.growth.counted + max(0, self.left // self.each)


def _no_room(name: str, line: str, room: _Room) -> str:
    pods = f"{room.growth.pods} more pod{'' if room.growth.pods == 1 else 's'}"
    return (
        f"ResourceQuota {name} leaves {show(max(room.left, Fraction()))} of {room.hard} {line}, "
        f"{pods} need {show(room.each * room.growth.pods)}: "
        f"raise spec.hard of {line}, or ask for at most {room.replicas} replicas"
    )


def _unset(container: Container, required: set[str]) -> list[str]:
    return sorted(required - usage(container.requests, container.limits).keys())


def _covers(quota: Fields, pod: Pod) -> bool:
    scopes: list[Fields] = [{"scopeName": each, "operator": "Exists"} for each in sequence(at(quota, "spec", "scopes"))]
    scopes += map(mapping, sequence(at(quota, "spec", "scopeSelector", "matchExpressions")))
    return all(_in_scope(pod, scope) for scope in scopes)


def _in_scope(pod: Pod, scope: Fields) -> bool:
    match scope.get("scopeName"):
        case "Terminating":
            return pod.ends_by_itself
        case "NotTerminating":
            return not pod.ends_by_itself
        case "BestEffort":
            return pod.is_best_effort
        case "NotBestEffort":
            return not pod.is_best_effort
        case "CrossNamespacePodAffinity":
            return pod.reaches_other_namespaces
        case "PriorityClass":
            return _of_priority(pod.priority_class, text(scope.get("operator")), sequence(scope.get("values")))
    return False  # of a newer Kubernetes, and not about pods


def _of_priority(name: str, operator: str, values: Sequence[object]) -> bool:
    match operator:
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)
