"""Who may run porch beside whom, within one process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets attempts run side by side, but for those whose worker has died before: they run alone.

    The intents of a batch share a process. One that kills it takes the others along, and would end them all; alone, it
    harms itself only.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False

    @contextmanager
    def turn(self, alone: bool) -> Iterator[None]:  # noqa: FBT001 - one of two kinds
        """Wait for a turn, and have it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and (not alone or self._running == 0))
            self._running += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._alone = False
                self._changed.notify_all()
