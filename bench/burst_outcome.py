"""What a burst came to: which of its intents are not settled yet, and of the others which are lost or doubled. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_STILL_SECONDS = 300.0  # without one more answer: something is broken
_LEAST_SECONDS, _SECONDS_EACH = 300.0, 0.5  # an embedded AWS on a loaded machine settles a few in a second


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading of a burst's intents, by their files.

    ``waiting`` is read first: whatever is not in it is settled by then, and changes no more while the rest is read.
    """

    waiting: frozenset[str]  # in the root: the input is removed last
    statuses: Mapping[str, str] = field(default_factory=dict)  # file to success, failed, …
    packages: Mapping[str, frozenset[str]] = field(default_factory=dict)  # file to the packages of its target
    attempts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # file to the attempts of each row
    decided: int = 0  # by the counters, since the burst began


@dataclass(frozen=True, slots=True)
class BurstOutcome:
    """How many intents are not settled; and of the settled ones, how many are lost, and run or decided twice."""

    unsettled: int
    lost: int
    doubled: int


def classify(files: Iterable[str], seen: Seen) -> BurstOutcome:
    """Distinguish slow from wrong. The counters have no names, so they are compared once all is settled."""
    files = list(files)
    settled = [file for file in files if file not in seen.waiting]
    doubled = sum(_is_doubled(file, seen) for file in settled)
    miscounted = abs(seen.decided - len(files)) if len(settled) == len(files) else 0
    return BurstOutcome(
        unsettled=len(files) - len(settled),
        lost=sum(file not in seen.statuses for file in settled),
        doubled=max(doubled, miscounted),
    )


def _is_doubled(file: str, seen: Seen) -> bool:
    packages, attempts = len(seen.packages.get(file, ())), seen.attempts.get(file, ())
    right = int(seen.statuses.get(file) == "success")
    return packages != right or len(attempts) > 1 or any(number > 1 for number in attempts)


def allowed_seconds(count: int) -> float:
    """Say how long a burst of so many may take."""
    return _LEAST_SECONDS + _SECONDS_EACH * count


def wait_until_settled(
    waiting: Callable[[], int], seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Wait until nothing waits, for so many seconds, or until nothing was settled for a while."""
    end = clock() + seconds
    left, moved = waiting(), clock()
    while left and clock() < end and clock() - moved < _STILL_SECONDS:
        sleep(1)
        before, left = left, waiting()
        moved = clock() if left != before else moved
