"""How fast counters grow, over the last minute of looking. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

_WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class Growth:
    """Remembers counters of the last minute."""

    _seen: deque[tuple[float, Mapping[str, float]]] = field(default_factory=deque)

    def add(self, at: float, counters: Mapping[str, float]) -> None:
        """Take in what was counted at a time (epoch seconds); forget what is older than the window."""
        self._seen.append((at, counters))
        while len(self._seen) > 2 and self._seen[1][0] <= at - _WINDOW_SECONDS:  # noqa: PLR2004 - one is at its edge
            self._seen.popleft()

    def per_minute(self, name: str) -> float | None:
        """Say how fast a counter grows; ``None`` until it was seen twice."""
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        if ended <= began:
            return None
        return max(last.get(name, 0.0) - first.get(name, 0.0), 0.0) * 60 / (ended - began)
