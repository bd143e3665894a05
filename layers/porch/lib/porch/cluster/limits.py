"""LimitRanges that no pod of the Deployment can pass (plugin/pkg/admission/limitranger/admission.go)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.cluster.pods import Amounts, Pod
from porch.cluster.quantity import parse, show


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a limit is held against: a container, or the pod as a whole."""

    what: str
    requests: Amounts
    limits: Amounts


def broken_limits(pod: Pod, limit_ranges: Iterable[Fields]) -> Iterator[str]:
    """Yield a sentence for each rule that would keep every new pod out."""
    for limit_range in limit_ranges:
        name = text(at(limit_range, "metadata", "name"))
        for item in map(mapping, sequence(at(limit_range, "spec", "limits"))):
            for measured in _measured(pod, text(item.get("type"))):
                for why in _broken(item, measured):
                    yield f"LimitRange {name} admits no new pod: {why}; change it, or the Deployment's resources"


def _measured(pod: Pod, kind: str) -> Iterator[_Measured]:
    if kind == "Pod":
        yield _Measured("the pod", pod.requests, pod.limits)
    elif kind == "Container":
        for each in pod.containers:
            yield _Measured(f"container {each.name}", each.requests, each.limits)


def _broken(item: Fields, measured: _Measured) -> Iterator[str]:
    for resource, bound in mapping(item.get("max")).items():
        if resource not in measured.limits:
            yield f"{measured.what} has no limit of {resource}, max is {bound}"
        yield from _beyond(f"max.{resource}", bound, resource, measured)
    for resource, bound in mapping(item.get("min")).items():
        if resource not in measured.requests:
            yield f"{measured.what} has no request of {resource}, min is {bound}"
        yield from _beyond(f"min.{resource}", bound, resource, measured)
    for resource, bound in mapping(item.get("maxLimitRequestRatio")).items():
        request, limit = measured.requests.get(resource), measured.limits.get(resource)
        if not request or not limit or limit / request > parse(bound):
            yield f"{measured.what} has a limit of {resource} more than {bound} times its request, or lacks one of them"


def _beyond(field: str, bound: object, resource: str, measured: _Measured) -> Iterator[str]:
    sign = 1 if field.startswith("max") else -1
    for kind, amounts in (("limit", measured.limits), ("request", measured.requests)):
        if resource in amounts and (amounts[resource] - parse(bound)) * sign > 0:
            yield f"{measured.what} has a {kind} of {show(amounts[resource])} {resource}, {field} is {bound}"
