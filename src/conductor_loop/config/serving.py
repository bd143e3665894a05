"""What the API goes by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate that is known, by its subject."""

    subject: str  # as API Gateway writes it: CN=scraper,O=example
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Serving:
    """Who may ask the API what, and how often."""

    health_enabled: bool = True
    health_authenticated: bool = False  # whether health asks for the scope
    liveness_exempt: bool = True  # whether /livez does not, even so
    health_limited: bool = True  # whether the rate of health requests is limited
    limited: bool = True  # whether the rate of all other requests is
    metrics_enabled: bool = True
    metrics_authenticated: bool = True
    per_minute: int = 100  # requests of an address
    per_hour: int = 1000  # requests of an authenticated client
    burst: int = 10  # requests at once, of either
    max_queue_size: int = 10_000  # messages that wait, from which on no more are taken
    docs: bool = False  # whether there is a page at /docs
    certificates: tuple[Certificate, ...] = ()
    max_workers: int | None = None  # intents at once; None: Lambda alone limits them


def serving(values: Mapping[str, Any], workers: str) -> Serving:
    """Read it from a whole configuration.

    Args:
        values: With every key.
        workers: The template's "<high> <normal> <low> <batch>": batches at once of each queue, intents in a batch.

    """
    health, metrics, api = values["health"], values["metrics"], values["api"]
    return Serving(
        health_enabled=health["enabled"],
        health_authenticated=health["authentication"]["enabled"],
        liveness_exempt=health["authentication"]["monitoring_exemption"],
        health_limited=health["rate_limiting"]["enabled"],
        limited=values["security"]["access_control"]["rate_limiting"],
        metrics_enabled=metrics["enabled"],
        metrics_authenticated=metrics["authentication"]["enabled"],
        per_minute=health["rate_limiting"]["requests_per_minute"],
        per_hour=api["requests_per_hour"],
        burst=api["burst"],
        max_queue_size=api["max_queue_size"],
        docs=api["docs"],
        certificates=tuple(Certificate(one["subject"], frozenset(one["scopes"])) for one in api["client_certificates"]),
        max_workers=_most(workers) if values["processing"]["priority_queues"] else None,
    )


def _most(workers: str) -> int | None:
    """Add up the intents that may be worked on at once; ``None`` if unlimited."""
    if not workers:
        return None
    *batches, size = map(int, workers.split())
    return sum(batches) * size
