"""The configuration in force, as the program uses it: one frozen ``Config``."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor_loop.config.access import TokenSource, VaultAccess
from conductor_loop.config.metering import Metering, metering
from conductor_loop.config.schema import get
from conductor_loop.config.serving import Serving, serving
from conductor_loop.config.sources import PREFIX, InvalidConfig, looked_at
from conductor_loop.config.values import seconds, size
from conductor_loop.intent import Priority
from conductor_loop.porch import PACKAGE, REPOSITORY, SCALE, Mode
from conductor_loop.retry import Policy
from conductor_loop.validation import SYSTEM_NAMESPACES, Rules, SecurityMode


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
    found, problems = looked_at(document, environment)
    if not environment.get(f"{PREFIX}STATE_TABLE"):
        problems += (f"{PREFIX}STATE_TABLE is not set: name the state table",)
    if get(found.values, ("processing", "priority_queues")) and not environment.get(f"{PREFIX}QUEUE_NORMAL"):
        problems += (f"{PREFIX}QUEUE_NORMAL is not set: name the queue, or set processing.priority_queues to false",)
    if problems:
        raise InvalidConfig(problems)
    return _typed(found.values, environment, version)


def _typed(values: Mapping[str, Any], environment: Mapping[str, str], version: str) -> Config:
    processing, porch = values["processing"], values["porch"]
    access = values["security"]["access_control"]
    limits = processing["resource_limits"]
    return Config(
        **_wiring(environment),
        version=version,
        porch_path=values["porch_path"],
        porch_environment=porch["environment"] | _delivery(porch["cluster"]),
        kubeconfig_secret=porch["cluster"]["kubeconfig_secret"],
        eks_cluster=porch["cluster"]["eks_cluster"],
        delivery=porch["cluster"]["delivery"],
        mode=Mode(values["mode"]),
        processing_timeout_seconds=min(seconds(processing["timeout"]), seconds(porch["execution_timeout"])),
        porch_timeout_seconds=seconds(porch["execution_timeout"]),
        retry=Policy(attempts=processing["retry_attempts"], delay_seconds=seconds(processing["retry_delay"])),
        priority_queues=processing["priority_queues"],
        supersede_older=processing["supersede_older"],
        unique_correlation_ids=processing["unique_correlation_ids"],
        live_tree=processing["live_tree"],
        critical_principals=(*values["access_control"]["priority_principals"], *_api_principal(environment)),
        high_per_minute=processing["high_per_minute"] if access["rate_limiting"] else None,
        rules=rules(values),
        porch_memory_bytes=size(limits["max_memory"]),
        porch_descriptors=limits["max_file_descriptors"],
        sweep_after_seconds=seconds(processing["sweep_after"]),
        cleanup_after_seconds=seconds(values["cleanup_after"]),
        audit_seconds=values["audit"]["retention_days"] * 86_400.0,
        log_level={"warn": "WARNING"}.get(values["log_level"], values["log_level"].upper()),
        metering=metering(values, environment.get(f"{PREFIX}STACK", "")),
        serving=serving(values, environment.get(f"{PREFIX}WORKERS", "")),
        max_age_seconds=seconds(environment.get(f"{PREFIX}CONFIG_MAX_AGE") or "60s"),
        token_source=TokenSource(environment.get(f"{PREFIX}TOKENS_SECRET", ""), _vault(values["secrets"]["vault"])),
    )


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


def _api_principal(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Trust the API with critical intents: it puts none whose sender lacks the scope, and has its role alone."""
    pattern = environment.get(f"{PREFIX}API_PRINCIPAL", "")
    return (pattern,) if pattern else ()


def _vault(values: Mapping[str, Any]) -> VaultAccess | None:
    if not values["enabled"]:
        return None
    method = "token" if values["auth_method"] == "token" else "aws"
    return VaultAccess(values["address"], method, values["role"], values["secrets_path"])


def _wiring(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "state_table": environment[f"{PREFIX}STATE_TABLE"],
        "conductor_function": environment.get(f"{PREFIX}CONDUCTOR_FUNCTION", ""),
        "handoff_bucket": environment.get(f"{PREFIX}HANDOFF_BUCKET", ""),
        "kms_key": environment.get(f"{PREFIX}KMS_KEY", ""),
        "dead_letters": environment.get(f"{PREFIX}QUEUE_DEAD", ""),
        "queues": {one: url for one in Priority if (url := environment.get(f"{PREFIX}QUEUE_{one.upper()}", ""))},
    }
