"""What porch prints: the lines of direct mode, or the JSON document of structured mode."""

import json
import time

from porch.outcome import Outcome
from porch.package import Change


class Report:
    """The report of a run, as it is printed in either mode."""

    __slots__ = ("change", "has_failed", "is_dry_run", "outcome")

    def __init__(self, change: Change, outcome: Outcome, *, is_dry_run: bool, has_failed: bool) -> None:
        self.change = change
        self.outcome = outcome
        self.is_dry_run = is_dry_run
        self.has_failed = has_failed

    def text(self) -> str:
        """Return the specification's lines, and the contract's further ones."""
        change, outcome = self.change, self.outcome
        done = "wanted" if self.has_failed and outcome.observed is None else "updated"
        lines = [
            f"Package {'not delivered' if self.has_failed else 'successfully created'}: {change.package}",
            f"Deployment target: {change.intent.namespace}/{change.intent.target}",
            f"Replicas {done}: {'unknown' if change.previous is None else change.previous} -> {change.intent.replicas}",
            f"Delivery: {outcome.delivery}",
        ]
        if self.is_dry_run:
            lines.append("Dry run: nothing was changed elsewhere")
        if outcome.observed is not None:
            lines.append(f"Replicas observed: {outcome.observed}")
        if outcome.revision:
            # The server's words, on their way to a terminal.
            shown = {key: ascii(value)[1:-1] for key, value in outcome.revision.items()}
            lines.append("Package revision: {namespace}/{name} ({lifecycle})".format(**shown))
        return "".join(f"{line}\n" for line in lines)

    def document(self, duration_seconds: float) -> str:
        """Return the specification's document, and the contract's further fields."""
        change, outcome = self.change, self.outcome
        observed = {} if outcome.observed is None else {"observed_replicas": outcome.observed}
        fields = {
            "status": "failed" if self.has_failed else "success",
            "package_name": change.package,
            "delivery": outcome.delivery,
            "deployment": {
                "namespace": change.intent.namespace,
                "name": change.intent.target,
                "previous_replicas": change.previous,
                "new_replicas": change.intent.replicas,
                **observed,
            },
            **({"dry_run": True} if self.is_dry_run else {}),
            **({"package_revision": outcome.revision} if outcome.revision else {}),
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "duration": f"{duration_seconds:.2f}s",
        }
        return json.dumps(fields, indent=2) + "\n"
