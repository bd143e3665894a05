"""What one pod of a Deployment would take, as quotas and limit ranges see it.

By the rules of Kubernetes: defaults of ``pkg/apis/core/v1/defaults.go`` and
``plugin/pkg/admission/limitranger/admission.go``, sums of ``component-helpers/resource/helpers.go``. What a mutating
webhook adds, such as a sidecar, cannot be known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.cluster.quantity import parse

type Amounts = Mapping[str, Fraction]

_COMPUTE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Container:
    """A container's requests and limits, with the defaults that it would get."""

    name: str
    requests: Amounts
    limits: Amounts
    starts_first: bool = False  # an init container, which ends before the others start
    stays: bool = False  # an init container that keeps running: a sidecar


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the template."""

    containers: tuple[Container, ...]
    requests: Amounts  # of the whole pod
    limits: Amounts
    priority_class: str
    ends_by_itself: bool  # has activeDeadlineSeconds: "Terminating" to a quota
    reaches_other_namespaces: bool  # by its pod affinity
    has_its_own_figures: bool  # in spec.resources: then quotas demand none of each container

    @property
    def is_best_effort(self) -> bool:
        """Whether no container asks for or is limited in processor or memory (quality of service)."""
        amounts = (each for container in self.containers for each in (container.requests, container.limits))
        totals = (self.requests, self.limits)
        return not any(each.get(name) for each in (*amounts, *totals) for name in _COMPUTE)


def pod_of(template: Fields, limit_ranges: Iterable[Fields]) -> Pod:
    """Return the pod that a Deployment's ``spec.template`` makes in a namespace with these LimitRanges.

    Raises ``ValueError`` for a quantity that is none.
    """
    spec = mapping(template.get("spec"))
    containers = _containers(spec, _Defaults.of(limit_ranges))
    overhead = _amounts(spec.get("overhead"))
    # The pod's own figures replace the sums.
    requests = {**_sum([(each, each.requests) for each in containers]), **_own_requests(spec)}
    limits = {**_sum([(each, each.limits) for each in containers]), **_amounts(at(spec, "resources", "limits"))}
    return Pod(
        containers,
        requests=_plus(requests, overhead),
        limits={name: amount + overhead.get(name, 0) for name, amount in limits.items()},
        priority_class=text(spec.get("priorityClassName")),
        ends_by_itself=spec.get("activeDeadlineSeconds") is not None,
        reaches_other_namespaces=any(map(_reaches_other_namespaces, _affinity_terms(spec))),
        has_its_own_figures=any(at(spec, "resources", kind) for kind in ("requests", "limits")),
    )


@dataclass(frozen=True, slots=True)
class _Defaults:
    requests: Amounts
    limits: Amounts

    @classmethod
    def of(cls, limit_ranges: Iterable[Fields]) -> "_Defaults":
        """Gather the defaults for containers; the first one for a resource stays, as it does in the API server."""
        requests: dict[str, Fraction] = {}
        limits: dict[str, Fraction] = {}
        for limit_range in limit_ranges:
            for item in sequence(at(limit_range, "spec", "limits")):
                if at(item, "type") == "Container":
                    requests = {**_amounts(at(item, "defaultRequest")), **requests}
                    limits = {**_amounts(at(item, "default")), **limits}
        return cls(requests, limits)


def _containers(spec: Fields, defaults: _Defaults) -> tuple[Container, ...]:
    return tuple(
        _container(mapping(each), defaults, starts_first=field == "initContainers")
        for field in ("containers", "initContainers")
        for each in sequence(spec.get(field))
    )


def _container(fields: Fields, defaults: _Defaults, *, starts_first: bool) -> Container:
    limits = _amounts(at(fields, "resources", "limits"))
    # A limit is a request too, unless there is one; only what is still missing comes from a LimitRange.
    requests = {**limits, **_amounts(at(fields, "resources", "requests"))}
    return Container(
        text(fields.get("name")),
        requests={**defaults.requests, **requests},
        limits={**defaults.limits, **limits},
        starts_first=starts_first,
        stays=starts_first and fields.get("restartPolicy") == "Always",
    )


def _own_requests(spec: Fields) -> Amounts:
    """Return the pod's own requests: a limit of its own is one too, unless its containers ask for that resource.

    The API server fills them in before a LimitRange has a turn. Huge pages are never overcommitted: their limit counts.
    """
    requests, limits = (_amounts(at(spec, "resources", kind)) for kind in ("requests", "limits"))
    if not limits:
        return requests
    asked = _sum([(each, each.requests) for each in _containers(spec, _Defaults({}, {}))])
    return {**limits, **{name: asked[name] for name in _COMPUTE if name in asked}, **requests}


def _sum(containers: list[tuple[Container, Amounts]]) -> Amounts:
    """Return the pod's sum: what runs side by side, or what one init container needs beside the sidecars before it."""
    running: Amounts = {}
    for container, amounts in containers:
        if not container.starts_first:
            running = _plus(running, amounts)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container, amounts in containers:
        if container.stays:
            running, sidecars = _plus(running, amounts), _plus(sidecars, amounts)
            peak = _most(peak, sidecars)
        elif container.starts_first:
            peak = _most(peak, _plus(sidecars, amounts))
    return _most(running, peak)


def _amounts(fields: object) -> Amounts:
    return {name: parse(value) for name, value in mapping(fields).items()}


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, Fraction()) + other.get(name, Fraction()) for name in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, Fraction()), other.get(name, Fraction())) for name in {**one, **other}}


def _affinity_terms(spec: Fields) -> Iterable[Fields]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = at(spec, "affinity", kind)
        yield from map(mapping, sequence(at(affinity, "requiredDuringSchedulingIgnoredDuringExecution")))
        for weighted in sequence(at(affinity, "preferredDuringSchedulingIgnoredDuringExecution")):
            yield mapping(at(weighted, "podAffinityTerm"))


def _reaches_other_namespaces(term: Fields) -> bool:
    return bool(term.get("namespaces")) or term.get("namespaceSelector") is not None
