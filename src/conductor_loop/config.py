"""The configuration: environment variables → one frozen ``Config``. Nothing else reads the environment."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conductor_loop.porch import Mode

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
        cleanup_after_seconds=reader.duration("CLEANUP_AFTER", default.cleanup_after_seconds),
        log_level=reader.choice("LOG_LEVEL", _LEVELS, default.log_level),
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

    def duration(self, key: str, default: float) -> float:
        text = self.text(key, f"{default}s")
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", text)
        if match is None:
            self.problems.append(f"CONDUCTOR_{key} is {text!r}: write a duration such as 500ms, 30s, 5m, 168h or 7d")
            return default
        return float(match[1]) * _UNITS[match[2]]
