"""Intents over HTTPS, as S3 sees them."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from conductor_loop.errors import ConditionFailed
from conductor_loop.storage import translated
from conductor_loop.storage.listing import RECEIVED, Listed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TRIES = 4  # of a put, while others put the same name
# There is none; or it is encrypted with its sender's key, or archived.
_UNREADABLE = {"NoSuchKey", "InvalidRequest", "InvalidObjectState"}
_MOST_STATUS_BYTES = 1024 * 1024


class Inbox:
    """The handoff bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    @translated("S3")
    def put(self, name: str, body: bytes, *, replace: bool) -> str:
        """Put an intent into the root of the bucket; the version that it became.

        Raises:
            ConditionFailed: one of that name waits already, and is not to be replaced.
            NotAnswering: the intent may have arrived all the same.

        """
        given: Any = {"Key": name, "Body": body, "ContentType": "application/json"}
        given |= {} if replace else {"IfNoneMatch": "*"}
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._client.put_object(Bucket=self._bucket, **given)["VersionId"]
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if status == HTTPStatus.PRECONDITION_FAILED:
                    raise ConditionFailed from error
                # 409: put at the same moment as another one, and certainly not taken. That one may fail, too: only
                # another try shows whether the name is taken.
                if status != HTTPStatus.CONFLICT or not tries_left:
                    raise
        raise AssertionError  # the last try returns or raises

    @translated("S3")
    def waiting(self, name: str) -> Listed | None:
        """Look for an input of that name in the root: it has no settled answer, or cannot be moved.

        It is listed, since S3 refuses to say anything of an object itself that is encrypted with its sender's key.
        Raises NotAnswering.
        """
        page = self._client.list_object_versions(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        newest = next(iter(page.get("Versions", [])), None)  # of the first key that begins like this; or it is deleted
        if newest is None or newest["Key"] != name:
            return None
        return Listed(name, newest["VersionId"], RECEIVED, f"{newest['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}")

    def failed(self, name: str, max_bytes: int) -> bytes | None:
        """Read the input of a failed intent; ``None`` where there is none that can be read. Raises NotAnswering."""
        return self._read(f"failed/{name}", max_bytes)

    def status(self, name: str) -> Mapping[str, Any] | None:
        """Read the status object of a name; ``None`` for any other object. Raises NotAnswering."""
        text = self._read(f"status/{name}.status", _MOST_STATUS_BYTES)
        try:
            document = json.loads(text or "null")
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    @translated("S3")
    def _read(self, key: str, max_bytes: int) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNREADABLE:
                return None
            raise
        with answer["Body"] as body:
            return body.read() if answer["ContentLength"] <= max_bytes else None
