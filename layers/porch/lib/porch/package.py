"""What a package holds: a function of the intent alone, so that the same intent gives the same bytes."""

from porch.intent import Intent
from porch.yaml import Node, dump

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
    return {
        "Kptfile": dump(_kptfile(change)),
        "kustomization.yaml": dump(_kustomization(change)),
        "deployment-patch.yaml": dump(_patch(change.intent)),
        "README.md": _readme(change),
    }


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


def _kustomization(change: Change) -> dict[str, Node]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "metadata": {"name": change.package, "annotations": _LOCAL},
        "resources": ["deployment-patch.yaml"],
    }


def _patch(intent: Intent) -> dict[str, Node]:
    # Annotations of the Deployment, not of its pods: another reason for the same replicas must not restart anything.
    metadata: dict[str, Node] = {"name": intent.target, "namespace": intent.namespace}
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


def _readme(change: Change) -> str:
    # The sender's words stand in an indented block, escaped to one line each: there nothing is Markdown or HTML.
    origin = dump(_annotations(change.intent)) or "nothing beyond the numbers above\n"
    return _README.format(
        package=change.package,
        namespace=change.intent.namespace,
        target=change.intent.target,
        replicas=change.replicas,
        origin="".join(f"    {line}\n" for line in origin.splitlines()),
    )


_README = """\
# {package}

Scales the Deployment `{target}` in the namespace `{namespace}`. Replicas: {replicas}.

| file | what it is |
| --- | --- |
| `deployment-patch.yaml` | the wish: `spec.replicas` and annotations that say who asked for it, nothing else |
| `kustomization.yaml` | lets `kustomize build` take this directory as it is |
| `Kptfile` | makes this directory a kpt package; it has no pipeline |

## Use it as it is

`kustomize build` gives a partial Deployment for server-side apply, which sets the named fields of the Deployment that
runs already and leaves every other field to its owner. Nothing is created when there is no such Deployment.

    kubectl apply --server-side --field-manager=conductor-loop --validate=false -k .

* `--validate=false`, because a Deployment without selector and template is no complete manifest.
* Flux applies server-side on its own. Set `prune: false` on the Kustomization that points here: to prune is to delete
  the Deployment.
* Argo CD needs `ServerSideApply=true` and `Validate=false` in `syncOptions`, and `Prune=false` for the same reason.
* Where the Deployment was once applied with `kubectl apply`, both would take over and drop its other fields: give Flux
  the annotation `kustomize.toolkit.fluxcd.io/ssa: Merge`, and Argo CD `ClientSideApplyMigration=false`.
* Whoever else sets `spec.replicas`, such as a HorizontalPodAutoscaler, has to let go of it, or the two will fight.

## Use it as a patch over a base

Put this directory below the directory of your own `kustomization.yaml`. The Deployment of
the base has to name its namespace itself: a `namespace:` field is applied too late for the patch to find it.

    resources:
      - base
    patches:
      - path: {package}/deployment-patch.yaml

## Where it comes from

{origin}"""
