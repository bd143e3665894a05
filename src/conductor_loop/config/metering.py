"""Which metrics are written, and with what beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GROUPS = ("file_processing", "state_management", "porch_integration", "file_manager", "system_metrics")
"""What can be switched off (specification, "Custom Metrics Configuration")."""

_NAMELESS = "conductor-loop"  # what a stack is called that does not say its name


@dataclass(frozen=True, slots=True)
class Metering:
    """What is written."""

    enabled: bool = True
    groups: frozenset[str] = frozenset(GROUPS)  # that are on
    labels: Mapping[str, str] = field(default_factory=dict)  # of every sample at /metrics and of every EMF line
    environment: str = _NAMELESS  # the stack's name: two stacks of an account are two environments

    def has(self, group: str) -> bool:
        """Say whether the metrics of a group are written; those without a group always are."""
        return self.enabled and (not group or group in self.groups)


def metering(values: Mapping[str, Any], stack: str) -> Metering:
    """Read it from a whole configuration."""
    metrics = values["metrics"]
    on = frozenset(group for group in GROUPS if metrics[group])
    return Metering(metrics["enabled"], on, metrics["custom_labels"], stack or _NAMELESS)
