"""DynamoDB as it treats concurrent transactions: one that meets an item which another is writing is cancelled.

Virtual time: workers are greenlets, sleeps and writes take none of the test's own.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.008, 0.015  # that a write takes


class TransactionCanceled(Exception):  # noqa: N818 - as botocore calls it
    """A transaction met another one."""

    def __init__(self, conflicts: list[bool]) -> None:
        super().__init__("Transaction cancelled, please refer cancellation reasons for specific reasons")
        reasons = [{"Code": "TransactionConflict" if conflict else "None"} for conflict in conflicts]
        self.response: dict[str, Any] = {"CancellationReasons": reasons}


class _Never(Exception):  # noqa: N818 - no item is refused here
    response: dict[str, Any]


class _Exceptions:
    ConditionalCheckFailedException = _Never
    TransactionCanceledException = TransactionCanceled
    TransactionConflictException = TransactionCanceled


@dataclass
class Contended:
    """A client of DynamoDB whose writes take time and meet; conditions are taken to hold."""

    seed: int = 1
    exceptions: type[_Exceptions] = _Exceptions
    now: float = 0.0
    conflicts: int = 0
    writes: int = 0
    _busy_until: dict[str, float] = field(default_factory=dict)
    _asleep: list[tuple[float, int, greenlet]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - to be repeated, not to be secret

    def update_item(self, **update: Any) -> dict[str, Any]:
        """Write one item; a transaction that is at it is in the way."""
        self._write([update])
        return {}

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - the SDK's
        """Write several items; any other write of one of them is in the way."""
        self._write([item["Update"] for item in TransactItems])
        return {}

    def sleep(self, seconds: float) -> None:
        """Let the others go on for so long."""
        heapq.heappush(self._asleep, (self.now + seconds, next(self._numbers), getcurrent()))
        self._main.switch()

    def run(self, workers: list[Callable[[], None]]) -> None:
        """Begin all workers at once, and run until the last one has ended."""
        self._main = getcurrent()
        for worker in workers:
            heapq.heappush(self._asleep, (0.0, next(self._numbers), greenlet(worker)))
        while self._asleep:
            at, _, worker_ = heapq.heappop(self._asleep)
            self.now = at
            worker_.switch()

    def _write(self, updates: list[dict[str, Any]]) -> None:
        keys = [repr(update["Key"]) for update in updates]
        busy = [self._busy_until.get(key, 0.0) > self.now for key in keys]
        if any(busy):
            self.conflicts += 1
            raise TransactionCanceled(busy)
        took = self.dice.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS)
        self.writes += 1
        self._busy_until |= dict.fromkeys(keys, self.now + took)
        self.sleep(took)
