"""The configuration in force while a function lives: re-read when its age says so, never replaced by a broken one."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from conductor_loop.config.metering import Metering
from conductor_loop.config.sources import PREFIX, InvalidConfig, parsed
from conductor_loop.config.typed import Config, load

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

    Args:
        environment: Of the function.
        newest: Reads the newest version of the document; one call.
        earlier: Reads the versions before it, newest first; only when the newest is broken.
        refused: Called with the problems of a broken version, each time that it is found in force.
        clock: Seconds that never go back.

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
        self._alone: Config | None = None  # what the environment says by itself
        self._seen: Stored | None = None  # what was looked at last
        self._broken = False  # whether that was refused
        self._read_at = 0.0

    def config(self) -> Config:
        """Give the configuration in force.

        Raises:
            InvalidConfig: the environment itself is wrong.

        """
        if self._config is None:
            self._config = self._first()
        elif self._is_stored and self._clock() - self._read_at >= self._longest(self._config):
            self._config = self._next(self._config)
        return self._config

    def _longest(self, config: Config) -> float:
        """Say how long to go by what was read: no longer than an alarm's period while what is stored is refused."""
        return min(config.max_age_seconds, _REFUSED_SECONDS) if self._broken else config.max_age_seconds

    @property
    def metering(self) -> Metering:
        """What says which metrics are written, as far as is known; also while no configuration is in force yet."""
        stack = self._environment.get(f"{PREFIX}STACK", "")
        return self._config.metering if self._config else Metering(environment=stack or Metering().environment)

    def known(self) -> Config:
        """Give what is known without asking anybody: the configuration in force, or that of the environment alone."""
        if self._config is not None:
            return self._config
        if self._alone is None:
            self._alone = load({}, self._environment)
        return self._alone

    def _first(self) -> Config:
        """Read what a function starts with. Where that cannot be read it does not start: defaults may be laxer."""
        if not self._is_stored:
            return load({}, self._environment)
        self._read_at = self._clock()
        self._seen = self._newest()
        found = self._loaded(self._seen)
        if isinstance(found, Config):
            return found
        config = self._last_good()
        config = config or load({}, self._environment)  # raises where the environment is to blame, and no document
        self._refuse(found)
        return config

    def _next(self, config: Config) -> Config:
        self._read_at = self._clock()
        try:
            stored = self._newest()
        except Exception:
            logger.exception("the configuration cannot be read: the last good one stays in force")
            return config
        if stored == self._seen and not self._broken:
            return config
        known, self._seen, self._broken = stored == self._seen, stored, False
        found = self._loaded(stored)
        if isinstance(found, Config):
            return found
        self._refuse(found)
        return config if known else self._before(config)

    def _before(self, config: Config) -> Config:
        """Give the last good version before one that is broken: there may be some that were never read."""
        try:
            good = self._last_good()
        except Exception:
            logger.exception("earlier versions cannot be read: the last one that was stays in force")
            return config
        return config if good is None or good.version == config.version else good

    def _last_good(self) -> Config | None:
        earlier = (self._loaded(one) for one in self._earlier())
        return next((one for one in earlier if isinstance(one, Config)), None)

    def _loaded(self, stored: Stored) -> Config | InvalidConfig:
        try:
            return load(parsed(stored.text), self._environment, stored.version)
        except InvalidConfig as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a document does, it must not stop the function
            return InvalidConfig((f"$: {error!r}",))

    def _refuse(self, error: InvalidConfig) -> None:
        self._broken = True
        self._refused(error)
