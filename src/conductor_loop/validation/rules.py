"""The limits that validation works with: each with its unit, its default and its bounds."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


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


def _limit(default: int, least: int, most: int) -> Any:  # noqa: ANN401 - a field
    return field(default=default, metadata={"bounds": (least, most)})


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one validation (specification, "Security Validation" and "Business Logic Validation").

    Raises ValueError, with every problem in one message, for a limit outside ``BOUNDS``.
    """

    max_file_bytes: int = _limit(10 * 1024 * 1024, 1, 64 * 1024 * 1024)  # "10MB", in the larger of its two readings
    max_field_length: int = _limit(1024, 1, 65_536)  # code points in one string, key or value
    max_array_length: int = _limit(100, 1, 100_000)  # elements in one array
    max_nesting_depth: int = _limit(10, 1, 100)  # levels of objects and arrays, the document itself being the first
    # Ours: what an intent can need, and what ten of the worst files of 10 MB may cost an invocation.
    max_values: int = _limit(12_000, 1, 1_000_000)  # in the whole document: as many of the longest strings fill a file
    max_inspected_characters: int = _limit(65_536, 1_024, 10_000_000)  # of all strings that are more than plain text
    max_path_depth: int = _limit(3, 1, 100)  # names in one path, such as a/b/c
    max_replicas: int = _limit(100, 0, 1_000)  # 1000 is the specification's "strict limit"
    max_timeout_seconds: int = _limit(86_400, 1, 604_800)  # a day; the runtime clamps it to what it can give
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


BOUNDS = {one.name: one.metadata["bounds"] for one in fields(Rules) if "bounds" in one.metadata}
"""The smallest and the largest value of each numeric limit."""
DEFAULT_RULES = Rules()
