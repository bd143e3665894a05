"""The limits that validation works with: each with its unit, its default and its bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class SecurityMode(StrEnum):
    """How far the list of blocked characters, keywords and paths reaches."""

    STRICT = "strict"  # every string of the intent, prose included: the specification as written
    STANDARD = "standard"  # what may reach a path or an argument list: names, ids and keys; prose may use the list


SYSTEM_NAMESPACES = (
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "argocd",
    "cert-manager",
    "config-management-system",
    "flux-system",
    "gatekeeper-system",
    "istio-system",
    "nephio-system",
    "openshift-*",
    "porch-fn-system",
    "porch-system",
)
"""Namespaces whose workloads run the cluster or deliver to it; scaling them is a way around every other permission.

``kube-*`` is refused whatever a configuration says; an entry that ends in ``*`` is a prefix.
"""

BOUNDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "max_file_bytes": (1, 64 * 1024 * 1024),
        "max_field_length": (1, 65_536),
        "max_array_length": (1, 100_000),
        "max_nesting_depth": (1, 100),
        "max_values": (1, 1_000_000),
        "max_inspected_characters": (1_024, 10_000_000),
        "max_path_depth": (1, 100),
        "max_replicas": (0, 1_000),
        "max_timeout_seconds": (1, 604_800),
    }
)
"""The smallest and the largest value of each numeric limit. 1000 replicas is the specification's "strict limit"."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one validation (specification, "Security Validation" and "Business Logic Validation").

    Raises ValueError, with every problem in one message, for a limit outside ``BOUNDS``.
    """

    max_file_bytes: int = 10 * 1024 * 1024  # the specification's "10MB", in the larger of its two readings
    max_field_length: int = 1024  # code points in one string, key or value
    max_array_length: int = 100  # elements in one array
    max_nesting_depth: int = 10  # levels of objects and arrays, the document itself being the first
    # Ours: what an intent can need, and what ten of the worst files of 10 MB may cost an invocation.
    max_values: int = 12_000  # values in the whole document: as many of the longest strings fit into the largest file
    max_inspected_characters: int = 65_536  # of all strings, keys too, in which a glance finds more than plain text
    max_path_depth: int = 3  # names in one path, such as a/b/c
    max_replicas: int = 100
    max_timeout_seconds: int = 86_400  # an intent may ask for a day; the runtime clamps it to what it can give
    mode: SecurityMode = SecurityMode.STRICT
    system_namespaces: tuple[str, ...] = SYSTEM_NAMESPACES
    schema: str | None = None  # text of a JSON Schema (draft-07) to use instead of the packaged intent.schema.json

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}, but must be from {low} to {high}"
            for name, (low, high) in BOUNDS.items()
            if not low <= getattr(self, name) <= high
        ]
        if problems:
            raise ValueError("; ".join(problems))


DEFAULT_RULES = Rules()
