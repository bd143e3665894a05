"""The SDK's clients: one for each service and profile, made on first use and kept for the process.

boto3 is imported with the first client, so that no help of a command waits for it; handlers import it while they start.
"""

import logging
import time
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import botocore
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from conductor_loop import __version__

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.model import OperationModel

_LOGGERS = ("boto3", "botocore", "urllib3")  # at DEBUG they print requests, which carry intents and credentials
_READS = ("Get", "List", "Query", "BatchGet", "Describe")  # how their operations begin
_end = [float("inf")]  # of the invocation, in epoch seconds
_making = Lock()  # a session makes one client at a time; some are made by the threads of a batch


@dataclass(frozen=True, slots=True)
class Profile:
    """How long a call may take, and how often it is tried."""

    connect_seconds: float  # a healthy endpoint connects in milliseconds
    read_seconds: float  # longer than any single call takes
    attempts: int = 1  # by the SDK's standard mode
    reserve_seconds: float | None = None  # no call begins that late in the invocation: its result might never be seen
    # How the operations begin that are tried once more, at once, on a closed connection: one that was kept alive while
    # Lambda had frozen the function fails although nothing is wrong. A timeout is not retried.
    reconnects: tuple[str, ...] = ()


WORKER = Profile(2, 10, attempts=4, reserve_seconds=3)
MESSAGES = Profile(2, 10, attempts=4, reserve_seconds=1)  # the last call returns a message to its queue
STARTING = Profile(2, 10)  # who invokes a function that starts waits longer than the SDK would
# The API's caller waits, and retries by itself: short, and in one attempt.
API = Profile(0.5, 1, reconnects=_READS)
API_UPLOAD = Profile(1, 5, reconnects=_READS)  # 10 MB take a while. A put that is repeated finds its own object there
API_LIMITER = Profile(0.5, 0.5, reconnects=(*_READS, "UpdateItem"))
API_CONFIGURATION = Profile(0.25, 0.25, reconnects=_READS)  # the last good one is there
API_STARTING = Profile(0.5, 1.5)  # there is no last good one, and copies that start share the CPU; /readyz has 2 s


class OutOfTime(Exception):  # noqa: N818 - reads as what it is
    """The invocation ends before a call could."""


def end_at(deadline: float) -> None:
    """Set when the invocation ends, in epoch seconds."""
    _end[0] = deadline


def seconds_left() -> float:
    """Return how long the invocation still has."""
    return _end[0] - time.time()


@cache
def client(service: str, profile: Profile = WORKER) -> Any:  # noqa: ANN401 - any service's
    """Return the client of a service, with the environment's credentials, region and endpoint.

    Its calls raise OutOfTime where the profile has a reserve.
    """
    import boto3  # noqa: PLC0415 - see above
    from botocore.config import Config  # noqa: PLC0415 - likewise

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    config = Config(
        connect_timeout=profile.connect_seconds,
        read_timeout=profile.read_seconds,
        retries={"mode": "standard", "total_max_attempts": profile.attempts},
        max_pool_connections=20,
        # As a whole: the SDK would assemble its own twice for each call, in a quarter of the call's CPU.
        user_agent=f"conductor-loop/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
    )
    with _making:
        made: Any = boto3.client(service, config=config)  # type: ignore[call-overload] # of any name

    def check(**_: object) -> None:
        if profile.reserve_seconds is not None and seconds_left() < profile.reserve_seconds:
            raise OutOfTime

    def reconnect(*, operation: "OperationModel", attempts: int, caught_exception: object, **_: object) -> float | None:
        is_closed = isinstance(caught_exception, ConnectionClosedError | EndpointConnectionError)
        return 0.0 if is_closed and attempts == 1 and operation.name.startswith(profile.reconnects) else None

    made.meta.events.register("before-send", check)
    made.meta.events.register_first("needs-retry", reconnect)
    return made


def credentials() -> "Credentials | None":
    """Return what the clients sign with; None where there is nothing."""
    import boto3  # noqa: PLC0415 - see above

    found: Credentials | None = boto3.session.Session().get_credentials()
    return found
