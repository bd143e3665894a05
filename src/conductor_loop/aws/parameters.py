"""The configuration's document: a parameter of SSM, which numbers its versions."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - the SDK's

from conductor_loop.config import Stored
from conductor_loop.config.live import Revision
from conductor_loop.errors import Throttled

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import ParameterHistoryTypeDef


logger = logging.getLogger("conductor-loop")

_THROTTLED = {"ThrottlingException", "TooManyRequestsException", "Throttling", "RequestLimitExceeded"}
_SERVER_ERROR = 500
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.5, 8.0
_TIER: Final = "Intelligent-Tiering"  # up to 8 KB, and no charge up to 4


class ConfigParameter:
    """Reads the document.

    Args:
        client: Makes the client when it is first needed; a stack without a document needs none.
        name: Of the parameter.

    """

    def __init__(self, client: "Callable[[], SSMClient]", name: str) -> None:
        self._client, self.name = client, name

    def newest(self) -> Stored:
        """Read the newest version; a missing parameter has no text and no version."""
        client = self._client()
        try:
            parameter = client.get_parameter(Name=self.name, WithDecryption=True)["Parameter"]
        except client.exceptions.ParameterNotFound:
            return Stored("{}", "")
        return Stored(parameter["Value"], str(parameter["Version"]))

    def earlier(self) -> Iterable[Stored]:
        """Read the versions before the newest one, newest first; SSM keeps a hundred."""
        return [Stored(entry["Value"], str(entry["Version"])) for entry in self._kept()[-2::-1]]

    def revisions(self) -> list[Revision]:
        """Read the versions that SSM keeps, oldest first, and who made each."""
        return [
            Revision(
                version=entry["Version"],
                text=entry["Value"],
                by=entry.get("LastModifiedUser", ""),
                at=entry["LastModifiedDate"].timestamp(),
            )
            for entry in self._kept()
        ]

    def _kept(self) -> "list[ParameterHistoryTypeDef]":
        client = self._client()
        pages = client.get_paginator("get_parameter_history").paginate(Name=self.name, WithDecryption=True)
        try:
            entries = [entry for page in pages for entry in page["Parameters"]]
        except client.exceptions.ParameterNotFound:
            return []
        return sorted(entries, key=lambda entry: entry["Version"])

    def put(self, text: str, key: str) -> str:
        """Put a new version, and make the parameter if there is none; the version's number.

        Args:
            text: The document.
            key: ARN of the key in KMS that it is encrypted with; empty for AWS's.

        """
        put = partial(self._client().put_parameter, Name=self.name, Value=text, Overwrite=True, Tier=_TIER)
        answer = put(Type="SecureString", KeyId=key) if key else put(Type="String")
        return str(answer["Version"])


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait, and to know how long that took."""

    clock: Callable[[], float]  # seconds that never go back
    wait: Callable[[float], None]  # for seconds
    jitter: Callable[[], float]  # from 0 to 1


def first_then[T](first: Callable[[], T], later: Callable[[], T]) -> Callable[[], T]:
    """Give what reads with ``first`` until that has succeeded once, and then with ``later``."""
    read: list[T] = []

    def newest() -> T:
        read[:] = [(later if read else first)()]
        return read[0]

    return newest


def retry_throttled[T](read: Callable[[], T], seconds: float, waiting: Waiting) -> T:
    """Read until SSM lets it happen: exponential backoff with full jitter, for at most so many seconds.

    All functions of an account share some 40 reads a second, and each one that starts makes one: of a thousand that
    start at once, the last has its configuration half a minute later.

    Raises:
        Throttled: SSM still refuses.

    """
    end = waiting.clock() + seconds
    for attempt in count():
        try:
            return read()
        except (ClientError, ConnectionError, HTTPClientError) as error:
            if not _may_pass(error):
                raise
            backoff = min(_FIRST_BACKOFF_SECONDS * 2.0**attempt, _LONGEST_BACKOFF_SECONDS) * waiting.jitter()
            if waiting.clock() + backoff > end and _is_throttled(error):
                raise Throttled(str(error)) from error
            if waiting.clock() + backoff > end:
                raise
            logger.info("the configuration is read again", extra={"seconds": backoff, "reason": str(error)})
        waiting.wait(backoff)
    raise AssertionError  # it counts without an end


def _is_throttled(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _THROTTLED


def _may_pass(error: Exception) -> bool:
    """Say whether it makes sense to ask again: not for a permission that is missing."""
    if not isinstance(error, ClientError):
        return True
    return _is_throttled(error) or error.response["ResponseMetadata"]["HTTPStatusCode"] >= _SERVER_ERROR
