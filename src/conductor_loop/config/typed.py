"""The configuration in force: one frozen ``Config``, re-read when its age says so, never replaced by a broken one."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from conductor_loop.config.schema import PREFIX, Document, InvalidConfig, Leaf, get, leaves, merge, parse, seconds, size
from conductor_loop.intent import Priority
from conductor_loop.porch import REPOSITORY, SCALE, Mode
from conductor_loop.retry import Policy
from conductor_loop.validation.rules import SYSTEM_NAMESPACES, Rules, SecurityMode

GROUPS = ("file_processing", "state_management", "porch_integration", "file_manager", "system_metrics")
"""What can be switched off (specification, "Custom Metrics Configuration")."""

_NAMELESS = "conductor-loop"  # what a stack is called that does not say its name
_REFUSED_SECONDS = 60.0  # until a refused version is looked at again: each time counts, and an alarm's period is longer
logger = logging.getLogger("conductor-loop")


def _key(name: str) -> Any:  # noqa: ANN401 - a field of any type
    leaf = next(leaf for leaf in leaves() if leaf.dotted == name)
    return field(default_factory=lambda: _plain(leaf, leaf.schema["default"]), metadata={"leaf": leaf})


def _plain(leaf: Leaf, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if "duration" in leaf.schema:
        return seconds(value)
    return size(value) if "size" in leaf.schema else value


def _read(kind: type, values: Document) -> dict[str, Any]:
    declared = ((one.name, one.metadata.get("leaf")) for one in fields(kind))
    return {name: _plain(leaf, get(values, leaf.path)) for name, leaf in declared if leaf}


@dataclass(frozen=True, slots=True)
class Metering:
    """What is written."""

    enabled: bool = _key("metrics.enabled")
    groups: frozenset[str] = frozenset(GROUPS)  # that are on
    labels: Mapping[str, str] = _key("metrics.custom_labels")  # of every sample at /metrics and of every EMF line
    environment: str = _NAMELESS  # the stack's name: two stacks of an account are two environments

    def has(self, group: str) -> bool:
        """Whether the metrics of a group are written; those without a group always are."""
        return self.enabled and (not group or group in self.groups)


@dataclass(frozen=True, slots=True)
class Serving:
    """Who may ask the API what, and how often."""

    health_enabled: bool = _key("health.enabled")
    health_authenticated: bool = _key("health.authentication.enabled")  # whether health asks for the scope
    liveness_exempt: bool = _key("health.authentication.monitoring_exemption")  # whether /livez does not, even so
    health_limited: bool = _key("health.rate_limiting.enabled")  # whether the rate of health requests is limited
    limited: bool = _key("security.access_control.rate_limiting")  # whether the rate of all other requests is
    metrics_enabled: bool = _key("metrics.enabled")
    metrics_authenticated: bool = _key("metrics.authentication.enabled")
    per_minute: int = _key("health.rate_limiting.requests_per_minute")  # requests of an address
    per_hour: int = _key("api.requests_per_hour")  # requests of an authenticated client
    burst: int = _key("api.burst")  # requests at once, of either
    max_queue_size: int = _key("api.max_queue_size")  # messages that wait, from which on no more are taken
    docs: bool = _key("api.docs")  # whether there is a page at /docs
    certificates: Mapping[str, frozenset[str]] = field(default_factory=dict)  # CN=scraper,O=example → its scopes
    max_workers: int | None = None  # intents at once; None: Lambda alone limits them


@dataclass(frozen=True, slots=True)
class VaultAccess:
    """Where Vault is, and how to log in to it (the configuration's ``secrets.vault``)."""

    address: str  # https, or http on loopback, where Vault's agent or extension listens
    auth_method: str  # aws or token
    role: str
    secrets_path: str  # mount/path


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
    porch_path: str = _key("porch_path")
    porch_environment: Mapping[str, str] = field(default_factory=dict)  # of porch, besides its own
    kubeconfig_secret: str = _key("porch.cluster.kubeconfig_secret")  # name or ARN; at most one of the two is set
    eks_cluster: str = _key("porch.cluster.eks_cluster")  # that porch talks to as the function's role
    delivery: str = _key("porch.cluster.delivery")  # what porch does with a package
    mode: Mode = Mode.STRUCTURED
    work_root: Path = Path(tempfile.gettempdir()) / "conductor-loop"  # on Lambda /tmp, the only place to write to
    processing_timeout_seconds: float = 30  # that porch has for an intent that names no timeout
    porch_timeout_seconds: float = _key("porch.execution_timeout")  # that porch has at most
    retry: Policy = field(default_factory=Policy)
    priority_queues: bool = _key("processing.priority_queues")
    queues: Mapping[Priority, str] = field(default_factory=dict)  # URL of each priority's queue
    dead_letters: str = ""  # URL of the queue of dead letters
    supersede_older: bool = _key("processing.supersede_older")
    unique_correlation_ids: bool = _key("processing.unique_correlation_ids")
    live_tree: bool = _key("processing.live_tree")
    critical_principals: tuple[str, ...] = ()  # patterns of principal ids that may use the priority critical
    high_per_minute: int | None = 60  # intents of priority high; more are treated as normal; None: no limit
    rules: Rules = field(default_factory=Rules)  # that every intent is held to
    porch_memory_bytes: int = _key("processing.resource_limits.max_memory")
    porch_descriptors: int = _key("processing.resource_limits.max_file_descriptors")
    sweep_after_seconds: float = _key("processing.sweep_after")  # age from which an input without a status is swept
    handoff_bucket: str = ""
    kms_key: str = ""  # ARN of the site's own key, that everything is encrypted with; empty: keys of AWS
    cleanup_after_seconds: float = _key("cleanup_after")
    audit_seconds: float = 90 * 86_400  # that audit entries are kept, and what they are held against
    log_level: str = "INFO"
    metering: Metering = field(default_factory=Metering)
    serving: Serving = field(default_factory=Serving)  # of the API
    token_source: TokenSource = field(default_factory=TokenSource)
    max_age_seconds: float = 60  # of what was read of it


def load(document: object, environment: Mapping[str, str], version: str = "") -> Config:
    """Make the configuration of a parsed document (``{}`` for none), whose version goes into logs and statuses.

    Raises InvalidConfig, naming everything that is wrong in it and in the environment, with what to write instead.
    """
    found, problems = merge(document, environment)
    if not environment.get(f"{PREFIX}STATE_TABLE"):
        problems += (f"{PREFIX}STATE_TABLE is not set: name the state table",)
    if found.values["processing"]["priority_queues"] and not environment.get(f"{PREFIX}QUEUE_NORMAL"):
        problems += (f"{PREFIX}QUEUE_NORMAL is not set: name the queue, or set processing.priority_queues to false",)
    if problems:
        raise InvalidConfig(problems)
    own = ((name, value) for name, value in environment.items() if value and name.startswith(PREFIX))
    wiring = {name.removeprefix(PREFIX): value for name, value in own}
    return _typed(found.values, wiring, version)


def _typed(values: Document, wiring: Mapping[str, str], version: str) -> Config:
    processing, porch, vault = values["processing"], values["porch"], values["secrets"]["vault"]
    is_limited = values["security"]["access_control"]["rate_limiting"]
    trusted = [wiring["API_PRINCIPAL"]] if "API_PRINCIPAL" in wiring else []  # it puts no critical intent without scope
    method = "token" if vault["auth_method"] == "token" else "aws"
    access = VaultAccess(vault["address"], method, vault["role"], vault["secrets_path"]) if vault["enabled"] else None
    groups = frozenset(group for group in GROUPS if values["metrics"][group])
    stack = wiring.get("STACK", _NAMELESS)
    return Config(
        **_read(Config, values),
        state_table=wiring["STATE_TABLE"],
        handoff_bucket=wiring.get("HANDOFF_BUCKET", ""),
        kms_key=wiring.get("KMS_KEY", ""),
        dead_letters=wiring.get("QUEUE_DEAD", ""),
        queues={one: url for one in Priority if (url := wiring.get(f"QUEUE_{one.upper()}"))},
        max_age_seconds=seconds(wiring.get("CONFIG_MAX_AGE", "60s")),
        version=version,
        porch_environment=porch["environment"] | _delivery(porch["cluster"]),
        mode=Mode(values["mode"]),
        processing_timeout_seconds=min(seconds(processing["timeout"]), seconds(porch["execution_timeout"])),
        retry=Policy(attempts=processing["retry_attempts"], delay_seconds=seconds(processing["retry_delay"])),
        critical_principals=(*values["access_control"]["priority_principals"], *trusted),
        high_per_minute=processing["high_per_minute"] if is_limited else None,
        rules=rules(values),
        audit_seconds=values["audit"]["retention_days"] * 86_400.0,
        log_level={"warn": "WARNING"}.get(values["log_level"], values["log_level"].upper()),
        metering=Metering(**_read(Metering, values), groups=groups, environment=stack),
        serving=_serving(values, wiring.get("WORKERS", "")),
        token_source=TokenSource(wiring.get("TOKENS_SECRET", ""), access),
    )


def _delivery(cluster: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of porch for a delivery; `porch.environment` may set the others."""
    keys = {SCALE: ("ready",), REPOSITORY: ("repository", "namespace", "publish")}.get(cluster["delivery"], ())
    found = {f"PORCH_{key.upper()}": "true" if cluster[key] is True else cluster[key] for key in keys if cluster[key]}
    observed = {"PORCH_OBSERVE_SECONDS": f"{seconds(cluster['observe']):.0f}"}
    return found | observed if cluster["delivery"] == SCALE else found


def rules(values: Mapping[str, Any]) -> Rules:
    """Read the rules of validation from the values of all keys."""
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


def _serving(values: Document, workers: str) -> Serving:
    """Read what the API needs; ``workers`` are batches at once of the queues high, normal and low, and their size."""
    *batches, batch_size = map(int, (workers or "0").split())
    is_bounded = workers and values["processing"]["priority_queues"]
    return Serving(
        **_read(Serving, values),
        certificates={one["subject"]: frozenset(one["scopes"]) for one in values["api"]["client_certificates"]},
        max_workers=sum(batches) * batch_size if is_bounded else None,
    )


@dataclass(frozen=True, slots=True)
class Revision:
    """A version of the document, and who made it."""

    version: int
    text: str
    by: str  # ARN
    at: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class Stored:
    """A version of the document, as it is stored."""

    text: str
    version: str


class Live:
    """Keeps the last good configuration.

    ``newest`` reads the newest version of the document with one call; ``earlier``, used only when that is broken, those
    before it, newest first. ``refused`` takes a broken version's problems, each time that it is found in force.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        newest: Callable[[], Stored],
        earlier: Callable[[], Iterable[Stored]],
        refused: Callable[[InvalidConfig], None],
        clock: Callable[[], float],
    ) -> None:
        self._environment, self._newest, self._earlier = environment, newest, earlier
        self._refused, self._clock = refused, clock
        self._is_stored = bool(environment.get(f"{PREFIX}CONFIG_PARAMETER"))
        self._config: Config | None = None
        self._seen: Stored | None = None  # what was read last
        self._broken = False  # whether that was refused
        self._read_at = 0.0

    def config(self) -> Config:
        """Return the configuration in force. Raises InvalidConfig if the environment itself is wrong."""
        age, most = self._clock() - self._read_at, self._config.max_age_seconds if self._config else 0.0
        if self._config is None or (self._is_stored and age >= min(most, _REFUSED_SECONDS if self._broken else most)):
            self._config = self._read()
        return self._config

    @property
    def metering(self) -> Metering:
        """What says which metrics are written, as far as is known; also while no configuration is in force yet."""
        stack = self._environment.get(f"{PREFIX}STACK", "")
        return self._config.metering if self._config else Metering(environment=stack or Metering().environment)

    @property
    def has_started(self) -> bool:
        """Whether a configuration is in force."""
        return self._config is not None

    def known(self) -> Config:
        """Return what is known without a call: the configuration in force, or that of the environment alone."""
        return self._config or load({}, self._environment)

    def _read(self) -> Config:
        """Read what is stored. Where that is impossible, a function does not start: defaults may be laxer."""
        if not self._is_stored:
            return load({}, self._environment)
        self._read_at = self._clock()
        try:
            return self._decide(self._newest())
        except Exception:
            if self._config is None:
                raise
            logger.exception("the configuration cannot be read: the last good one stays in force")
            return self._config

    def _decide(self, stored: Stored) -> Config:
        is_known = self._config is not None and stored == self._seen
        if self._config and is_known and not self._broken:
            return self._config
        found = self._load(stored)
        self._seen, self._broken = stored, isinstance(found, InvalidConfig)
        if isinstance(found, Config):
            return found
        if self._config is None:
            config = self._last_good() or load({}, self._environment)  # which raises where the environment is to blame
            self._refused(found)
            return config
        self._refused(found)
        return self._config if is_known else self._last_good() or self._config

    def _last_good(self) -> Config | None:
        """Return the newest good version before the newest, which may never have been read."""
        earlier = (self._load(stored) for stored in self._earlier())
        good = next((found for found in earlier if isinstance(found, Config)), None)
        return self._config if good and self._config and good.version == self._config.version else good

    def _load(self, stored: Stored) -> Config | InvalidConfig:
        try:
            return load(parse(stored.text), self._environment, stored.version)
        except InvalidConfig as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a document does, it must not stop the function
            return InvalidConfig((f"$: {error!r}",))
