"""The handoff bucket in S3: reading exactly one version, writing answers, moving the input."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from conductor_loop.errors import Gone, Overtaken
from conductor_loop.intent import Handoff

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_UPLOADS = 8  # files of a package that are uploaded side by side
_COPY_LIMIT = 5 * 1024**3  # bytes that one CopyObject moves; a larger input is copied in parts
_CONTENT_TYPES = {
    "Kptfile": "application/yaml",
    ".yaml": "application/yaml",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    "": "application/octet-stream",
}


class Bucket:
    """Objects of one handoff bucket; which bucket, each handoff says."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def read(self, handoff: Handoff, max_bytes: int) -> tuple[Handoff, bytes | None]:
        """Read exactly the handoff's version; the newest one where the event named none.

        Returns:
            The handoff as S3 knows it (version, size, time), and its content: ``None`` when it has more than
            ``max_bytes`` bytes, of which then none is read.

        Raises:
            Gone: it was deleted since.

        """
        version: Any = {"VersionId": handoff.version_id} if handoff.version_id else {}
        with _translated():
            found = self._client.get_object(Bucket=handoff.bucket, Key=handoff.key, **version)
        known = replace(
            handoff,
            version_id=found["VersionId"],
            size=found["ContentLength"],
            event_time=handoff.event_time or f"{found['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}",
        )
        with found["Body"] as body:
            return known, body.read() if known.size <= max_bytes else None

    def leftovers(self, handoff: Handoff, prefix: str) -> Mapping[str, str]:
        """List what lies below ``prefix`` already: key to ETag."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=handoff.bucket, Prefix=prefix)
        return {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", [])}

    def publish(self, handoff: Handoff, files: Mapping[str, bytes], replacing: Mapping[str, str]) -> None:
        """Upload the files of a package, key to content, side by side.

        A key that an earlier attempt left (``replacing``: key to ETag) is replaced only as it was seen; any other key
        must be new. So a worker that lost its claim cannot touch what its successor wrote.

        Raises:
            Overtaken: somebody else has written one of the keys.

        """

        def upload(key: str) -> None:
            seen: Any = {"IfMatch": replacing[key]} if key in replacing else {"IfNoneMatch": "*"}
            with _translated():
                self._client.put_object(
                    Bucket=handoff.bucket, Key=key, Body=files[key], ContentType=_content_type(key), **seen
                )

        with ThreadPoolExecutor(max_workers=_UPLOADS) as pool:
            list(pool.map(upload, files))

    def put_status(self, handoff: Handoff, key: str, document: bytes) -> None:
        """Write a status object."""
        self._client.put_object(Bucket=handoff.bucket, Key=key, Body=document, ContentType="application/json")

    def archive(self, handoff: Handoff, key: str) -> None:
        """Copy the handoff's version to ``key``.

        Raises:
            Gone: the version is no more; since it is removed last, it has been copied before.

        """
        source = {"Bucket": handoff.bucket, "Key": handoff.key, "VersionId": handoff.version_id}
        with _translated():
            if handoff.size > _COPY_LIMIT:
                self._client.copy(source, handoff.bucket, key)  # type: ignore[arg-type]  # the stubs miss VersionId
                return
            self._client.copy_object(Bucket=handoff.bucket, Key=key, CopySource=source, TaggingDirective="REPLACE")  # type: ignore[arg-type]

    def remove(self, handoff: Handoff) -> None:
        """Delete exactly the handoff's version; another version of the same name stays as it is."""
        self._client.delete_object(Bucket=handoff.bucket, Key=handoff.key, VersionId=handoff.version_id)


def read_status(client: "S3Client", bucket: str, file: str) -> str | None:
    """Read the status object of an intent's file, for the command line; ``None`` if there is none."""
    try:
        with _translated():
            return client.get_object(Bucket=bucket, Key=f"status/{file}.status")["Body"].read().decode()
    except Gone:
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """Turn S3's answers that mean something to the pipeline into its words; all others go on as they are."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = error.response.get("Error", {}).get("Code")
        if code in {"NoSuchKey", "NoSuchVersion"}:
            raise Gone from error
        if status in {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT}:
            raise Overtaken from error
        raise


def _content_type(key: str) -> str:
    return next(kind for ending, kind in _CONTENT_TYPES.items() if key.endswith(ending))
