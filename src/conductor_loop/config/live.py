"""The configuration in force while a function lives: re-read when its age says so, never replaced by a broken one."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from conductor_loop.config.schema import PREFIX, InvalidConfig, parse
from conductor_loop.config.typed import Config, Metering, load

logger = logging.getLogger("conductor-loop")

_REFUSED_SECONDS = 60.0  # until a refused version is looked at again: each time counts, and an alarm's period is longer


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
        """Return the configuration of the newest version, or the last good one before it."""
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
