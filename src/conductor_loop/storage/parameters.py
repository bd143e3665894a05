"""The configuration's document: a parameter of SSM, which numbers its versions."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - the SDK's

from conductor_loop.config import InvalidConfig, Live, Stored
from conductor_loop.config.typed import Revision
from conductor_loop.errors import Throttled
from conductor_loop.storage.sdk import Profile, client

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

logger = logging.getLogger("conductor-loop")

_THROTTLED = {"ThrottlingException", "TooManyRequestsException", "Throttling", "RequestLimitExceeded"}
_SERVER_ERROR = 500
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.5, 8.0
_TIER: Final = "Intelligent-Tiering"  # up to 8 KB, and no charge up to 4


class ConfigParameter:
    """Reads the document; ``client`` makes the client when it is first needed, by a stack with a document."""

    def __init__(self, client: "Callable[[], SSMClient]", name: str) -> None:
        self._client, self.name = client, name

    def newest(self) -> Stored:
        """Read the newest version; a missing parameter has no text and no version."""
        ssm = self._client()
        try:
            parameter = ssm.get_parameter(Name=self.name, WithDecryption=True)["Parameter"]
        except ssm.exceptions.ParameterNotFound:
            return Stored("{}", "")
        return Stored(parameter["Value"], str(parameter["Version"]))

    def earlier(self) -> Iterable[Stored]:
        """Read the versions before the newest one, newest first."""
        return [Stored(one.text, str(one.version)) for one in self.revisions()[-2::-1]]

    def revisions(self) -> list[Revision]:
        """Read the versions that SSM keeps, a hundred at most, oldest first, and who made each."""
        ssm = self._client()
        pages = ssm.get_paginator("get_parameter_history").paginate(Name=self.name, WithDecryption=True)
        try:
            kept = [one for page in pages for one in page["Parameters"]]
        except ssm.exceptions.ParameterNotFound:
            return []
        found = (
            Revision(one["Version"], one["Value"], one.get("LastModifiedUser", ""), one["LastModifiedDate"].timestamp())
            for one in kept
        )
        return sorted(found, key=lambda one: one.version)

    def put(self, text: str, key: str) -> str:
        """Put a document as a new version, encrypted with a key of KMS (ARN; empty: AWS's); the version's number."""
        put = partial(self._client().put_parameter, Name=self.name, Value=text, Overwrite=True, Tier=_TIER)
        answer = put(Type="SecureString", KeyId=key) if key else put(Type="String")
        return str(answer["Version"])


def live(
    environment: Mapping[str, str],
    refused: Callable[[InvalidConfig], None],
    profiles: tuple[Profile, Profile, Profile],
    seconds: Callable[[], float],
) -> Live:
    """Return the configuration of a function. Its first read, by a function that starts, waits while SSM throttles.

    The profiles are for the first read, for later ones, and for reads of earlier versions; ``seconds`` returns how
    long the first read may take.
    """
    name = environment.get("CONDUCTOR_CONFIG_PARAMETER", "")
    first, later, earlier = (ConfigParameter(partial(client, "ssm", profile), name) for profile in profiles)

    def newest() -> Stored:
        if found.has_started:
            return later.newest()
        return retry_throttled(first.newest, seconds(), time.monotonic, time.sleep, SystemRandom().random)

    found = Live(environment, newest, earlier.earlier, refused, time.monotonic)
    return found


def retry_throttled[T](
    read: Callable[[], T],
    seconds: float,
    clock: Callable[[], float],
    wait: Callable[[float], None],
    jitter: Callable[[], float],
) -> T:
    """Read until SSM lets it happen: exponential backoff with full jitter, for at most so many seconds.

    All functions of an account share some 40 reads a second, and each one that starts makes one: of a thousand that
    start at once, the last has its configuration half a minute later. Raises Throttled.
    """
    end, longest = clock() + seconds, _FIRST_BACKOFF_SECONDS
    while True:
        try:
            return read()
        except (ClientError, ConnectionError, HTTPClientError) as error:
            backoff, longest = longest * jitter(), min(2 * longest, _LONGEST_BACKOFF_SECONDS)
            answer = error.response if isinstance(error, ClientError) else None
            is_late = clock() + backoff > end
            is_throttled = answer is not None and answer["Error"]["Code"] in _THROTTLED
            if is_late and is_throttled:
                raise Throttled(str(error)) from error
            is_ours = answer is not None and answer["ResponseMetadata"]["HTTPStatusCode"] < _SERVER_ERROR
            if is_late or (is_ours and not is_throttled):  # no retry helps where a permission is missing
                raise
            logger.info("the configuration is read again", extra={"seconds": backoff, "reason": str(error)})
        wait(backoff)
