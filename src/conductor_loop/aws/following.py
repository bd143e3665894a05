"""Sending intents, and following each version to its end, many at once."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from http import HTTPStatus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.aws import inbox
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Row
from conductor_loop.storage.state import StateTable

_AT_ONCE = 8  # calls
_CONFIG = Config(max_pool_connections=_AT_ONCE)
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}


def denied(error: Exception) -> bool:
    """Say whether AWS has answered that the caller may not."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _DENIED


def put(bucket: str, files: Mapping[str, bytes], note: Callable[[str, Handoff | Exception], None]) -> None:
    """Put files into the root of the bucket, side by side.

    Args:
        bucket: Its name.
        files: Name to content.
        note: Is called with what became of each, as it is known.

    Raises:
        KeyboardInterrupt: the caller interrupts; what was begun has ended and is noted, the rest was not begun.

    """
    client = boto3.client("s3", config=_CONFIG)
    all_submitted, interrupted = threading.Event(), threading.Event()  # none is sent that the caller does not know of

    def one(name: str, body: bytes) -> Handoff | Exception | None:
        all_submitted.wait()
        if interrupted.is_set():
            return None
        try:
            answer = client.put_object(Bucket=bucket, Key=name, Body=body, ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            return error
        return Handoff(bucket, name, answer.get("VersionId", "null"), size=len(body))

    asked: dict[Future[Handoff | Exception | None], str] = {}

    def note_all() -> None:
        for done in as_completed(asked):
            if (answer := done.result()) is not None:
                note(asked[done], answer)

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        try:
            asked |= {pool.submit(one, name, body): name for name, body in files.items()}
            all_submitted.set()
            note_all()
        except KeyboardInterrupt:
            interrupted.set()
            all_submitted.set()
            note_all()
            raise


def put_new(bucket: str, name: str, body: bytes) -> Handoff:
    """Put one file into the root of the bucket. Raises ConditionFailed where one of that name lies there already."""
    version = inbox.put(boto3.client("s3"), bucket, name, body, replace=False)
    return Handoff(bucket, name, version, size=len(body))


class Follower:
    """Looks where handoffs stand: one call for a hundred of them, whatever else is in the bucket."""

    def __init__(self, table: str) -> None:
        self._state = StateTable(boto3.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0)
        self._s3 = boto3.client("s3", config=_CONFIG)

    def rows(self, handoffs: Collection[Handoff]) -> dict[Handoff, Row]:
        """Read their rows; one that no worker has read yet has none."""
        return self._state.find(handoffs)

    def settled(self, handoffs: Collection[Handoff]) -> set[Handoff]:
        """Give those whose input has been moved, which is the last thing that is done."""
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            gone = pool.map(self._gone, handoffs)
        return {handoff for handoff, moved in zip(handoffs, gone, strict=True) if moved}

    def _gone(self, handoff: Handoff) -> bool:
        try:
            self._s3.head_object(Bucket=handoff.bucket, Key=handoff.key, VersionId=handoff.version_id)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                return True
            raise
        return False
