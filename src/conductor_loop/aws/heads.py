"""What lies under a key, also where S3 shows it to its sender alone."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Head:
    """The newest version of an object."""

    version_id: str
    modified: datetime  # to the second


def head(client: "S3Client", bucket: str, key: str) -> Head | None:
    """Look up the newest version of an object; ``None`` where there is none.

    HeadObject is refused with 400 for an object that is encrypted with its sender's own key (SSE-C). The listing of
    versions names it all the same, with the permission s3:ListBucketVersions.

    Raises:
        ClientError: S3 refuses for another reason; where HeadObject gave none, the listing's error says it.

    """
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        match error.response["ResponseMetadata"]["HTTPStatusCode"]:
            case HTTPStatus.NOT_FOUND:
                return None
            case HTTPStatus.BAD_REQUEST:
                return _listed(client, bucket, key)
        raise
    return Head(found.get("VersionId", "null"), found["LastModified"])


def _listed(client: "S3Client", bucket: str, key: str) -> Head | None:
    # S3 lists by key, and the versions of each key newest first: the first is the one, or the key has none.
    versions = client.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1).get("Versions", [])
    return next((Head(one["VersionId"], one["LastModified"]) for one in versions if one["Key"] == key), None)
