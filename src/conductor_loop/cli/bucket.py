"""The handoff bucket, as the command line reads it: where a name stands, and what waits."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from conductor_loop.cli import aws

_MOST_WAITING = 200  # intents in the root that are read
_MOST_BYTES = 1024**2  # of one that is read


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a name stands: the newest version that lies in the root, if any, and the newest status, if any."""

    waiting: str | None = None  # version id
    status: str | None = None  # the object, as it is
    document: Mapping[str, Any] = field(default_factory=dict)  # the status; empty where there is none
    older: bool = False  # whether what lies in the root was put before the version that the status is about


def standing(bucket: str, file: str) -> Standing:
    """Look at the root of the bucket, then at the status: an input is removed after its last status was written.

    An object there that is no status counts for nothing.
    """
    s3 = aws.client("s3")
    root = _head(s3, bucket, file)
    waiting = root["VersionId"] if root else None
    try:
        found = s3.get_object(Bucket=bucket, Key=f"status/{file}.status")
    except s3.exceptions.NoSuchKey:
        return Standing(waiting)
    text = found["Body"].read().decode(errors="replace")
    document = _parse_status(text)
    if not document:
        return Standing(waiting)
    put = found["Metadata"].get("order", "")[:19]  # the version that it is about; see intents.model.order
    older = root is not None and f"{root['LastModified'].astimezone(UTC):%Y-%m-%dT%H:%M:%S}" < put
    return Standing(waiting, text, document, older=older)


def _parse_status(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("status"), str) else {}


def kept(bucket: str, file: str) -> str | None:
    """Find the key under which the newest input of a name that failed, or else succeeded, is kept."""
    s3 = aws.client("s3")
    return next((key for key in (f"failed/{file}", f"processed/{file}") if _head(s3, bucket, key)), None)


def _head(s3: Any, bucket: str, key: str) -> Mapping[str, Any] | None:  # noqa: ANN401 - a client
    """Look up the newest version of an object, its VersionId and LastModified; ``None`` where there is none.

    S3 refuses HeadObject with 400 for an object that is encrypted with its sender's own key (SSE-C). The listing of
    versions, which takes the permission s3:ListBucketVersions, names it all the same.
    """
    try:
        return {"VersionId": "null", **s3.head_object(Bucket=bucket, Key=key)}
    except ClientError as error:
        match error.response["ResponseMetadata"]["HTTPStatusCode"]:
            case HTTPStatus.NOT_FOUND:
                return None
            case HTTPStatus.BAD_REQUEST:  # of each key the newest version is first: the first is it, or there is none
                versions = s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1).get("Versions", [])
                return next((one for one in versions if one["Key"] == key), None)
        raise


def waiting(bucket: str, target: str) -> tuple[list[str], bool]:
    """Find the intents in the root that are about the target ``namespace/name``.

    Returns:
        Their files, sorted; and whether all that lie there were read, or some of them only.

    """
    s3 = aws.client("s3")
    page = s3.list_objects_v2(Bucket=bucket, Prefix="intent-", Delimiter="/")
    found = sorted(page.get("Contents", []), key=lambda one: one["LastModified"], reverse=True)
    keys = [one["Key"] for one in found[:_MOST_WAITING] if one["Size"] <= _MOST_BYTES]

    def is_about(key: str) -> bool:
        try:
            document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            return f"{document['namespace']}/{document['target']}" == target
        except (ClientError, ValueError, KeyError, TypeError, RecursionError):
            return False  # it is gone by now, or is none that can be read

    with ThreadPoolExecutor(max_workers=aws.AT_ONCE) as pool:
        about = list(pool.map(is_about, keys))
    same = sorted(key for key, one in zip(keys, about, strict=True) if one)
    return same, len(keys) == len(found) and not page["IsTruncated"]
