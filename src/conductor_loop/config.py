"""The configuration: environment variables → one frozen ``Config``. Nothing else reads the environment."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conductor_loop.intent import Priority
from conductor_loop.porch import Mode
from conductor_loop.retry import Policy
from conductor_loop.validation import BOUNDS, DEFAULT_RULES, Rules, SecurityMode

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class InvalidConfig(Exception):  # noqa: N818 - reads as what it is
    """The configuration is unusable; ``problems`` has one line per mistake, all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Config:
    """What a deployment decides. Durations are in seconds."""

    state_table: str
    porch_path: str = "/opt/bin/porch"
    mode: Mode = Mode.STRUCTURED
    work_root: Path = Path(tempfile.gettempdir()) / "conductor-loop"  # on Lambda /tmp, the only place to write to
    processing_timeout_seconds: float = 30
    retry: Policy = field(default_factory=Policy)
    priority_queues: bool = True
    queues: Mapping[Priority, str] = field(default_factory=dict)  # URL of each priority's queue
    supersede_older: bool = True
    unique_correlation_ids: bool = True
    critical_principals: tuple[str, ...] = ()  # patterns of principal ids that may use the priority critical
    high_per_minute: int = 60  # intents of priority high; more are treated as normal
    rules: Rules = field(default_factory=Rules)  # that every intent is held to
    porch_memory_bytes: int = 512 * 1024**2
    sweep_after_seconds: float = 300  # an input that lies unanswered for longer is looked after
    conductor_function: str = ""  # name of the function that answers events
    handoff_bucket: str = ""
    cleanup_after_seconds: float = 168 * 3600
    log_level: str = "INFO"


def from_environment(environment: Mapping[str, str]) -> Config:
    """Read ``CONDUCTOR_…`` variables (specification, "Environment Variable Override").

    Raises:
        InvalidConfig: naming every variable that is missing or wrong, with what it may be.

    """
    reader, default = _Reader(environment), Config(state_table="")
    config = Config(
        state_table=reader.text("STATE_TABLE"),
        porch_path=reader.text("PORCH_PATH", default.porch_path),
        mode=Mode(reader.choice("MODE", tuple(Mode), default.mode)),
        processing_timeout_seconds=reader.duration("PROCESSING_TIMEOUT", default.processing_timeout_seconds),
        retry=Policy(
            attempts=reader.whole("PROCESSING_RETRY_ATTEMPTS", default.retry.attempts, 0, 10),
            delay_seconds=reader.duration("PROCESSING_RETRY_DELAY", default.retry.delay_seconds),
        ),
        priority_queues=reader.flag("PROCESSING_PRIORITY_QUEUES", default=default.priority_queues),
        queues={one: url for one in Priority if (url := reader.text(f"QUEUE_{one.upper()}", ""))},
        supersede_older=reader.flag("PROCESSING_SUPERSEDE_OLDER", default=default.supersede_older),
        unique_correlation_ids=reader.flag("PROCESSING_UNIQUE_CORRELATION_IDS", default=default.unique_correlation_ids),
        critical_principals=reader.several("CRITICAL_PRINCIPALS"),
        high_per_minute=reader.whole("HIGH_PER_MINUTE", default.high_per_minute, 1, 100_000),
        rules=Rules(
            mode=SecurityMode(reader.choice("SECURITY_MODE", tuple(SecurityMode), default.rules.mode)),
            max_replicas=reader.limit("MAX_REPLICAS"),
            max_file_bytes=reader.limit("MAX_FILE_BYTES"),
            max_field_length=reader.limit("MAX_FIELD_LENGTH"),
            max_array_length=reader.limit("MAX_ARRAY_LENGTH"),
            max_nesting_depth=reader.limit("MAX_NESTING_DEPTH"),
            system_namespaces=default.rules.system_namespaces + reader.several("VALIDATION_SYSTEM_NAMESPACES"),
        ),
        porch_memory_bytes=reader.whole("PORCH_MAX_MEMORY", default.porch_memory_bytes, 64 * 1024**2, 10 * 1024**3),
        sweep_after_seconds=reader.duration("SWEEP_AFTER", default.sweep_after_seconds),
        conductor_function=reader.text("CONDUCTOR_FUNCTION", ""),
        handoff_bucket=reader.text("HANDOFF_BUCKET", ""),
        cleanup_after_seconds=reader.duration("CLEANUP_AFTER", default.cleanup_after_seconds),
        log_level=reader.choice("LOG_LEVEL", _LEVELS, default.log_level),
    )
    if config.priority_queues and Priority.NORMAL not in config.queues:
        reader.problems.append(
            "CONDUCTOR_QUEUE_NORMAL is not set: name the queue, or set CONDUCTOR_PROCESSING_PRIORITY_QUEUES to false"
        )
    if reader.problems:
        raise InvalidConfig(tuple(reader.problems))
    return config


class _Reader:
    """Reads variables and collects every problem, so that all of them are reported at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        value = self._environment.get(f"CONDUCTOR_{key}", "")
        if not value and default is None:
            self.problems.append(f"CONDUCTOR_{key} is not set: give it a value")
        return value or default or ""

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in allowed:
            self.problems.append(f"CONDUCTOR_{key} is {value!r}: use one of {', '.join(allowed)}")
            return default
        return value

    def limit(self, key: str) -> int:
        """Read a limit of ``validation.Rules``, which knows its default and bounds."""
        name = key.lower()
        return self.whole(f"VALIDATION_{key}", getattr(DEFAULT_RULES, name), *BOUNDS[name])

    def several(self, key: str) -> tuple[str, ...]:
        return tuple(filter(None, (one.strip() for one in self.text(key, "").split(","))))

    def flag(self, key: str, *, default: bool) -> bool:
        return self.choice(key, ("true", "false"), str(default).lower()) == "true"

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        text = self.text(key, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            self.problems.append(f"CONDUCTOR_{key} is {text!r}: write a whole number from {least} to {most}")
            return default
        return int(text)

    def duration(self, key: str, default: float) -> float:
        text = self.text(key, f"{default}s")
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", text)
        if match is None:
            self.problems.append(f"CONDUCTOR_{key} is {text!r}: write a duration such as 500ms, 30s, 5m, 168h or 7d")
            return default
        return float(match[1]) * _UNITS[match[2]]
