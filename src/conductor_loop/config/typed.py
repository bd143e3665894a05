"""The configuration in force, as the program uses it: one frozen ``Config``."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor_loop.config.schema import InvalidConfig, seconds, size
from conductor_loop.config.sources import PREFIX, merge
from conductor_loop.intent import Priority
from conductor_loop.porch import PACKAGE, REPOSITORY, SCALE, Mode
from conductor_loop.retry import Policy
from conductor_loop.validation import SYSTEM_NAMESPACES, Rules, SecurityMode

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


@dataclass(frozen=True, slots=True)
class VaultAccess:
    """Where Vault is, and how to log in to it (the configuration's ``secrets.vault``)."""

    address: str  # https, or http on loopback, where Vault's agent or extension listens
    auth_method: str  # aws or token
    role: str
    secrets_path: str  # mount/path

    @property
    def mount(self) -> str:
        """The KV store's mount: the path's first name."""
        return self.secrets_path.strip("/").partition("/")[0]

    @property
    def path(self) -> str:
        """The secret's path in the store."""
        return self.secrets_path.strip("/").partition("/")[2]


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the API's tokens are read; equal sources read the same."""

    secret: str = ""  # name or ARN in Secrets Manager
    vault: VaultAccess | None = None  # instead, where there is one


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """What a deployment decides. Durations are in seconds."""

    state_table: str
    version: str = ""  # of the document in force; empty without one
    porch_path: str = "/opt/bin/porch"
    porch_environment: Mapping[str, str] = field(default_factory=dict)  # of porch, besides its own
    kubeconfig_secret: str = ""  # name or ARN of the secret with porch's kubeconfig
    eks_cluster: str = ""  # that porch talks to as the function's role; at most one of the two is set
    delivery: str = PACKAGE  # what porch does with a package
    mode: Mode = Mode.STRUCTURED
    work_root: Path = Path(tempfile.gettempdir()) / "conductor-loop"  # on Lambda /tmp, the only place to write to
    processing_timeout_seconds: float = 30  # that porch has for an intent that names no timeout
    porch_timeout_seconds: float = 885  # that porch has at most
    retry: Policy = field(default_factory=Policy)
    priority_queues: bool = True
    queues: Mapping[Priority, str] = field(default_factory=dict)  # URL of each priority's queue
    dead_letters: str = ""  # URL of the queue of dead letters
    supersede_older: bool = True
    unique_correlation_ids: bool = True
    live_tree: bool = True
    critical_principals: tuple[str, ...] = ()  # patterns of principal ids that may use the priority critical
    high_per_minute: int | None = 60  # intents of priority high; more are treated as normal; None: no limit
    rules: Rules = field(default_factory=Rules)  # that every intent is held to
    porch_memory_bytes: int = 512 * 1024**2
    porch_descriptors: int = 1024
    sweep_after_seconds: float = 300  # an input that lies unanswered for longer is looked after
    conductor_function: str = ""  # name of the function that answers events
    handoff_bucket: str = ""
    kms_key: str = ""  # ARN of the site's own key, that everything is encrypted with; empty: keys of AWS
    cleanup_after_seconds: float = 168 * 3600
    audit_seconds: float = 90 * 86_400  # that audit entries are kept, and what they are held against
    log_level: str = "INFO"
    metering: Metering = field(default_factory=Metering)
    serving: Serving = field(default_factory=Serving)  # of the API
    token_source: TokenSource = field(default_factory=TokenSource)
    max_age_seconds: float = 60  # of what was read of it


def load(document: object, environment: Mapping[str, str], version: str = "") -> Config:
    """Make the configuration of a document and an environment.

    Args:
        document: A parsed JSON document; ``{}`` for none.
        environment: ``CONDUCTOR_…`` variables.
        version: Of the document, for logs and statuses.

    Raises:
        InvalidConfig: naming everything that is wrong, with what to write instead.

    """
    found, problems = merge(document, environment)
    if not environment.get(f"{PREFIX}STATE_TABLE"):
        problems += (f"{PREFIX}STATE_TABLE is not set: name the state table",)
    if found.values["processing"]["priority_queues"] and not environment.get(f"{PREFIX}QUEUE_NORMAL"):
        problems += (f"{PREFIX}QUEUE_NORMAL is not set: name the queue, or set processing.priority_queues to false",)
    if problems:
        raise InvalidConfig(problems)
    wiring = {name.removeprefix(PREFIX): value for name, value in environment.items() if value}
    return _typed(found.values, wiring, version)


def _typed(values: Mapping[str, Any], wiring: Mapping[str, str], version: str) -> Config:
    processing, porch = values["processing"], values["porch"]
    cluster, limits = porch["cluster"], processing["resource_limits"]
    trusted = [wiring["API_PRINCIPAL"]] if "API_PRINCIPAL" in wiring else []  # it puts no critical intent without scope
    return Config(
        **_wired(wiring),
        version=version,
        porch_path=values["porch_path"],
        porch_environment=porch["environment"] | _delivery(cluster),
        kubeconfig_secret=cluster["kubeconfig_secret"],
        eks_cluster=cluster["eks_cluster"],
        delivery=cluster["delivery"],
        mode=Mode(values["mode"]),
        processing_timeout_seconds=min(seconds(processing["timeout"]), seconds(porch["execution_timeout"])),
        porch_timeout_seconds=seconds(porch["execution_timeout"]),
        retry=Policy(attempts=processing["retry_attempts"], delay_seconds=seconds(processing["retry_delay"])),
        priority_queues=processing["priority_queues"],
        supersede_older=processing["supersede_older"],
        unique_correlation_ids=processing["unique_correlation_ids"],
        live_tree=processing["live_tree"],
        critical_principals=(*values["access_control"]["priority_principals"], *trusted),
        high_per_minute=processing["high_per_minute"] if _limits_rate(values) else None,
        rules=rules(values),
        porch_memory_bytes=size(limits["max_memory"]),
        porch_descriptors=limits["max_file_descriptors"],
        sweep_after_seconds=seconds(processing["sweep_after"]),
        cleanup_after_seconds=seconds(values["cleanup_after"]),
        audit_seconds=values["audit"]["retention_days"] * 86_400.0,
        log_level={"warn": "WARNING"}.get(values["log_level"], values["log_level"].upper()),
        metering=_metering(values["metrics"], wiring.get("STACK", _NAMELESS)),
        serving=_serving(values, wiring.get("WORKERS", "")),
        token_source=TokenSource(wiring.get("TOKENS_SECRET", ""), _vault(values["secrets"]["vault"])),
    )


def _wired(wiring: Mapping[str, str]) -> dict[str, Any]:
    """Give the fields that a stack is made of."""
    return {
        "state_table": wiring["STATE_TABLE"],
        "conductor_function": wiring.get("CONDUCTOR_FUNCTION", ""),
        "handoff_bucket": wiring.get("HANDOFF_BUCKET", ""),
        "kms_key": wiring.get("KMS_KEY", ""),
        "dead_letters": wiring.get("QUEUE_DEAD", ""),
        "queues": {one: url for one in Priority if (url := wiring.get(f"QUEUE_{one.upper()}"))},
        "max_age_seconds": seconds(wiring.get("CONFIG_MAX_AGE", "60s")),
    }


def _limits_rate(values: Mapping[str, Any]) -> bool:
    return bool(values["security"]["access_control"]["rate_limiting"])


def _delivery(cluster: Mapping[str, Any]) -> dict[str, str]:
    """Give porch what its delivery needs; what is not set here, `porch.environment` may say."""
    settings = {
        SCALE: {
            "PORCH_OBSERVE_SECONDS": f"{seconds(cluster['observe']):.0f}",
            "PORCH_READY": "true" if cluster["ready"] else "",
        },
        REPOSITORY: {
            "PORCH_REPOSITORY": cluster["repository"],
            "PORCH_NAMESPACE": cluster["namespace"],
            "PORCH_PUBLISH": "true" if cluster["publish"] else "",
        },
    }
    return {name: value for name, value in settings.get(cluster["delivery"], {}).items() if value}


def rules(values: Mapping[str, Any]) -> Rules:
    """Give the rules of a whole configuration, by its values."""
    limits, security = values["validation"], values["security"]["validation"]
    return Rules(
        mode=SecurityMode.STRICT if security["strict_mode"] else SecurityMode.STANDARD,
        max_replicas=limits["max_replicas"],
        max_file_bytes=size(security["max_file_size"]),
        max_field_length=limits["max_field_length"],
        max_array_length=limits["max_array_length"],
        max_nesting_depth=limits["max_nesting_depth"],
        system_namespaces=SYSTEM_NAMESPACES + tuple(limits["system_namespaces"]),
    )


def _metering(metrics: Mapping[str, Any], stack: str) -> Metering:
    groups = frozenset(group for group in GROUPS if metrics[group])
    return Metering(metrics["enabled"], groups, metrics["custom_labels"], stack)


def _serving(values: Mapping[str, Any], workers: str) -> Serving:
    """Read what the API needs.

    Args:
        values: Of every key.
        workers: The template's "<high> <normal> <low> <batch>": batches at once of each queue, intents in a batch.

    """
    health, metrics, api = values["health"], values["metrics"], values["api"]
    *batches, batch_size = map(int, (workers or "0").split())
    is_bounded = workers and values["processing"]["priority_queues"]
    return Serving(
        health_enabled=health["enabled"],
        health_authenticated=health["authentication"]["enabled"],
        liveness_exempt=health["authentication"]["monitoring_exemption"],
        health_limited=health["rate_limiting"]["enabled"],
        limited=_limits_rate(values),
        metrics_enabled=metrics["enabled"],
        metrics_authenticated=metrics["authentication"]["enabled"],
        per_minute=health["rate_limiting"]["requests_per_minute"],
        per_hour=api["requests_per_hour"],
        burst=api["burst"],
        max_queue_size=api["max_queue_size"],
        docs=api["docs"],
        certificates=tuple(Certificate(one["subject"], frozenset(one["scopes"])) for one in api["client_certificates"]),
        max_workers=sum(batches) * batch_size if is_bounded else None,
    )


def _vault(vault: Mapping[str, Any]) -> VaultAccess | None:
    if not vault["enabled"]:
        return None
    method = "token" if vault["auth_method"] == "token" else "aws"
    return VaultAccess(vault["address"], method, vault["role"], vault["secrets_path"])
