"""What porch prints: the lines of direct mode, or the JSON document of structured mode."""

import json
import time

from porch.errors import PorchError
from porch.package import Change

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
DELIVERIES = (PACKAGE, CHECK, SCALE, REPOSITORY)


class Outcome:
    """How far a delivery got. ``observed`` counts the pods (None: not counted); notes go to stderr.

    ``revision`` has namespace, name and lifecycle of a PackageRevision, ``is_dry_run`` whether nothing was changed.
    """

    def __init__(self, delivery: str, observed: int | None = None, *notes: str) -> None:
        self.delivery, self.observed, self.notes = delivery, observed, notes
        self.revision: dict[str, str] = {}
        self.is_dry_run = self.has_failed = False


class DeliveryError(PorchError):
    """A delivery that changed something at the cluster, or may have."""

    def __init__(self, exit_code: int, message: str, outcome: Outcome) -> None:
        super().__init__(exit_code, message)
        self.outcome = outcome
        outcome.has_failed = True


def text(change: Change, outcome: Outcome) -> str:
    """Return the specification's lines, and the contract's further ones."""
    done = "wanted" if outcome.has_failed and outcome.observed is None else "updated"
    lines = [
        f"Package {'not delivered' if outcome.has_failed else 'successfully created'}: {change.package}",
        f"Deployment target: {change.intent.namespace}/{change.intent.target}",
        f"Replicas {done}: {'unknown' if change.previous is None else change.previous} -> {change.intent.replicas}",
        f"Delivery: {outcome.delivery}",
    ]
    if outcome.is_dry_run:
        lines.append("Dry run: nothing was changed elsewhere")
    if outcome.observed is not None:
        lines.append(f"Replicas observed: {outcome.observed}")
    if outcome.revision:
        # The server's words, on their way to a terminal.
        shown = {key: ascii(value)[1:-1] for key, value in outcome.revision.items()}
        lines.append("Package revision: {namespace}/{name} ({lifecycle})".format(**shown))
    return "".join(f"{line}\n" for line in lines)


def document(change: Change, outcome: Outcome, duration_seconds: float) -> str:
    """Return the specification's document, and the contract's further fields."""
    fields = {
        "status": "failed" if outcome.has_failed else "success",
        "package_name": change.package,
        "delivery": outcome.delivery,
        "deployment": {
            "namespace": change.intent.namespace,
            "name": change.intent.target,
            "previous_replicas": change.previous,
            "new_replicas": change.intent.replicas,
            **({} if outcome.observed is None else {"observed_replicas": outcome.observed}),
        },
        **({"dry_run": True} if outcome.is_dry_run else {}),
        **({"package_revision": outcome.revision} if outcome.revision else {}),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "duration": f"{duration_seconds:.2f}s",
    }
    return json.dumps(fields, indent=2) + "\n"
