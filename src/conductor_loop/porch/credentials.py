"""Kubeconfigs for runs: the secret or cluster is read and cached; a short-lived token is made for each run."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch.kubeconfig import Kubeconfig

KEPT_SECONDS = 300.0  # after which a rotated secret, or a replaced cluster, is noticed
_FRESH_SECONDS = 10.0  # a younger one was read since the failure that asks for another


@dataclass(frozen=True, slots=True)
class _Reading[T]:
    """One read, shared by all runs that need it meanwhile."""

    answer: Future[T]
    begun: float

    def is_good_for(self, age_seconds: float) -> bool:
        if not self.answer.done():
            return True
        return age_seconds < KEPT_SECONDS and self.answer.exception() is None


class Credentials[T]:
    """Gives a kubeconfig to each run; may be used by several threads at once.

    Args:
        read: Reads the secret or cluster over the network, within bounds of its own; raises NoCredentials.
        made: Makes a kubeconfig of that without the network, with a new token; raises NoCredentials.
        clock: Seconds that go on while an execution environment is frozen.

    """

    def __init__(
        self, read: Callable[[], T], made: Callable[[T], Kubeconfig], clock: Callable[[], float] = time.time
    ) -> None:
        self._read, self._made, self._clock = read, made, clock
        self._reading: _Reading[T] | None = None
        self._lock = Lock()
        # A thread, since no timeout of a socket bounds a name server; the caller stops waiting in time.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="credentials")

    def kubeconfig(self, within_seconds: float) -> Kubeconfig:
        """Return a kubeconfig for a run that begins now.

        Raises:
            NoCredentials: there is none, or none came in time; the next call reads again.

        """
        try:
            found = self._current().answer.result(within_seconds)
        except TimeoutError:
            what = f"no credentials for the cluster came within {within_seconds:.0f} s"
            raise NoCredentials(Cause.NETWORK_ERROR, what) from None
        except NoCredentials as error:
            raise NoCredentials(error.cause, str(error)) from None  # one for each run: they share the read
        return self._made(found)

    def forget(self) -> None:
        """Read again for the next run, since the cluster refused these credentials."""
        with self._lock:
            if self._reading and self._clock() - self._reading.begun > _FRESH_SECONDS:
                self._reading = None

    def _current(self) -> _Reading[T]:
        with self._lock:
            now = self._clock()
            if self._reading is None or not self._reading.is_good_for(now - self._reading.begun):
                self._reading = _Reading(self._pool.submit(self._read), now)
            return self._reading
