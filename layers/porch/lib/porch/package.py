"""What a package holds: a function of the intent alone, so that the same intent gives the same bytes."""

from porch.intent import Intent
from porch.yaml import Block, Node, dump

_LOCAL: Node = {"config.kubernetes.io/local-config": "true"}  # this file is never sent to a cluster


class Change:
    """An intent together with what its package is called and how many replicas there were (None: unknown)."""

    __slots__ = ("intent", "package", "previous")

    def __init__(self, intent: Intent, package: str, previous: int | None) -> None:
        self.intent = intent
        self.package = package
        self.previous = previous

    @property
    def replicas(self) -> str:
        """The change in one phrase, ``1 -> 3``."""
        return f"{'unknown' if self.previous is None else self.previous} -> {self.intent.replicas}"


def files(change: Change) -> dict[str, str]:
    """Return the text of each file of the package by its name."""
    return {"Kptfile": dump(_kptfile(change)), "kustomization.yaml": dump(_component(change))}


def _kptfile(change: Change) -> dict[str, Node]:
    intent = change.intent
    return {
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {"name": change.package, "annotations": _LOCAL},
        "info": {
            "description": f"Sets spec.replicas of Deployment {intent.namespace}/{intent.target} to {intent.replicas}"
        },
    }


def _component(change: Change) -> dict[str, Node]:
    # The target has no namespace: where a base leaves it to a `namespace:` field, there is none yet to be found by.
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": change.package, "annotations": _LOCAL},
        "patches": [
            {
                "target": {"group": "apps", "kind": "Deployment", "name": change.intent.target},
                "patch": Block(dump(_patch(change.intent))),
            }
        ],
    }


def _patch(intent: Intent) -> dict[str, Node]:
    # Annotations of the Deployment, not of its pods: another reason for the same replicas must not restart anything.
    metadata: dict[str, Node] = {"name": intent.target}
    if annotations := _annotations(intent):
        metadata["annotations"] = annotations
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": intent.replicas}}


def _annotations(intent: Intent) -> dict[str, Node]:
    given = {
        "intent-id": intent.id,
        "reason": intent.reason,
        "source": intent.source,
        "correlation-id": intent.correlation_id,
    }
    return {f"nephoran.com/{name}": value for name, value in given.items() if value}
