"""The handoff bucket in S3: reading exactly one version, writing answers, moving the input."""

import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from conductor_loop.app import Cursor, Unsettled
from conductor_loop.errors import ConditionFailed, Gone, Illegible, KeyUnavailable, NumberTaken
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Found, order

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_UPLOADS = 8  # files of a package that are uploaded side by side
_COPY_LIMIT = 5 * 1024**3  # bytes that one CopyObject moves; a larger input is copied in parts
_TRIES = 5  # of a write that others make at the same time
_MOST_OLDER = 1000  # versions of one name
_NUMBER = re.compile(r"-v1\.0\.([0-9]{1,12})/$")  # of a package, in its prefix
_GONE = {"NoSuchKey", "NoSuchVersion", "404"}  # the last of HeadObject, whose answer has no body
# Archived, as GetObject and CopyObject say it; encrypted with a key that the sender keeps (SSE-C).
_ILLEGIBLE = {"InvalidObjectState", "ObjectNotInActiveTierError", "InvalidRequest"}
_LOST_RACE = {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT}  # 409: another write is under way
# Of a KMS key: disabled, pending deletion, deleted or in another region, not for encryption, not for us.
_KEY_CODES = {
    "KMS.DisabledException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
    "KMS.InvalidKeyUsageException",
    "KMS.AccessDeniedException",
}
_KEY_DENIED = ("kms:", "KMS key", "customer master key")  # what an AccessDenied says that is about a key, not an object


class S3Bucket:
    """Objects of one handoff bucket; which bucket, each handoff says.

    Every method raises KeyUnavailable where S3 cannot use the site's own KMS key, whose ARN is given, if it has one.
    """

    def __init__(self, client: "S3Client", key: str = "") -> None:
        self._client, self._key = client, key

    def read(self, handoff: Handoff, max_bytes: int) -> Found:
        """Read exactly the handoff's version; the newest one where the event named none.

        Returns:
            The handoff as S3 knows it (version, size, time); its content, ``None`` when it has more than ``max_bytes``
            bytes, of which then none is read; and whether the name was put again since.

        Raises:
            Gone: it was settled, or withdrawn by its owner (`aws s3 rm`), since.
            Illegible: S3 will not give its content to anybody, or needs a key for it that is not the site's.

        """
        try:
            current = self._get(handoff)  # not by version: a delete marker says that its owner has withdrawn it
            newest = current["VersionId"]
            if handoff.version_id in {"", newest}:
                return _found(handoff, current, max_bytes)
            current["Body"].close()
        except Illegible:
            newest = next(self._versions(handoff), handoff.version_id)
            if handoff.version_id in {"", newest}:
                raise
        try:
            found = _found(handoff, self._get(handoff, VersionId=handoff.version_id), max_bytes)
        except Illegible:  # what S3 gives to no reader has no content
            found = Found(handoff, None)
        return replace(found, newer_version=newest)

    def older_versions(self, handoff: Handoff) -> Collection[str]:
        """List the versions of the handoff's name that lie there still, and were put before it; the newest 1,000."""
        ids = list(islice(self._versions(handoff), _MOST_OLDER))
        return ids[ids.index(handoff.version_id) + 1 :] if handoff.version_id in ids else []

    def publish(self, handoff: Handoff, claim: int, files: Mapping[str, bytes]) -> None:
        """Upload the files of a package, key to content, side by side; ``claim`` is the target's revision.

        Raises:
            NumberTaken: one of them is there, and is not this attempt's; others may have been written.

        """
        with ThreadPoolExecutor(max_workers=_UPLOADS) as pool:
            list(pool.map(partial(self._upload, handoff, claim), files, files.values()))

    def _upload(self, handoff: Handoff, claim: int, key: str, body: bytes) -> None:
        metadata = {"handoff": handoff.version_id, "claim": str(claim)}
        for _ in range(_TRIES):
            if self._put(handoff, key, body, None, metadata):
                return
            theirs, seen = self._metadata(handoff, key)
            if theirs == metadata:  # written by a call whose response was lost
                return
            if seen is not None:
                raise NumberTaken
        raise ConditionFailed

    def next_number(self, handoff: Handoff, target: str) -> int:
        """Give the number after that of the newest package of a target ``namespace/name``, 0 if there is none."""
        prefix = f"packages/{target}/"
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=handoff.bucket, Prefix=prefix, Delimiter="/"
        )
        found = [_NUMBER.search(one["Prefix"]) for page in pages for one in page.get("CommonPrefixes", [])]
        return max((int(one[1]) + 1 for one in found if one), default=0)

    def remove_package(self, handoff: Handoff, prefix: str) -> None:
        """Delete what attempts at the handoff have published below ``prefix``, version by version."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=handoff.bucket, Prefix=prefix)
        for version in (version for page in pages for version in page.get("Versions", [])):
            one: Any = {"Bucket": handoff.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            if self._client.head_object(**one)["Metadata"].get("handoff") == handoff.version_id:
                self._client.delete_object(**one)

    def put_status(self, handoff: Handoff, name: str, document: bytes, *, final: bool) -> str:
        """Write the status object of a handoff, under ``status/<name>.status``; the name that it got.

        That key is always about the newest version of the name that has a status, and a final one is never replaced by
        one that is not: each write is conditional on what is there having been looked at. A version that is
        answered after a newer one has its final status beside it: its name is ``<name>@<version>``.

        Raises:
            ConditionFailed: others keep writing it.

        """
        seen = None
        metadata = {"version": handoff.version_id, "order": handoff.order, "final": "yes" if final else "no"}
        for _ in range(_TRIES):
            key = f"status/{name}.status"
            if self._put(handoff, key, document, seen, metadata):
                return name
            theirs, seen = self._metadata(handoff, key)
            if (mine := theirs.get("version") == handoff.version_id) and theirs.get("final") == "yes":
                return name  # it is there already
            # An order may be better known by now than when its status was written: none is newer than itself.
            if not mine and theirs.get("order", "") > handoff.order:
                if not final:
                    return name  # no reader waits for it, and the final one may be in the name's history already
                name, seen = f"{name}@{handoff.version_id}", None
        raise ConditionFailed

    def published(self, handoff: Handoff, key: str) -> bytes | None:
        """Read a file of the package that was decided on; ``None`` where it was deleted since."""
        with suppress(Gone), self._get(replace(handoff, key=key))["Body"] as body:
            content: bytes = body.read()
            return content
        return None

    def put_live(self, handoff: Handoff, key: str, generation: int, component: bytes) -> None:
        """Write the Component of a target's last applied intent, unless that of a later generation is there already.

        Each write is conditional on what is there having been looked at: no two of a target have the same bytes, and
        with them the same ETag.

        Raises:
            ConditionFailed: others keep writing it.

        """
        metadata = {"generation": str(generation), "handoff": handoff.version_id}
        for _ in range(_TRIES):
            theirs, seen = self._metadata(handoff, key)
            if _generation(theirs) >= generation or self._put(handoff, key, component, seen, metadata):
                return
        raise ConditionFailed

    def archive(self, handoff: Handoff, key: str) -> None:
        """Copy the handoff's version to ``key``: ``<folder>/<name>``, with the name that its status got.

        The status says whose the name is. Where a newer version has taken it since, that one's archive stays as it is,
        and the copy goes to ``<name>@<version>``; each copy is conditional on what is there having been looked at.

        Raises:
            Gone: the version is no more; since it is removed last, it has been copied before.
            Illegible: S3 will not copy it.
            ConditionFailed: others keep writing the key.

        """
        seen = None
        for _ in range(_TRIES):
            if self._copy(handoff, key, seen):
                return
            _, seen = self._metadata(handoff, key)
            name = key.partition("/")[2]
            theirs, _ = self._metadata(handoff, f"status/{name}.status")  # after the look: who comes now is seen
            if theirs.get("version", handoff.version_id) != handoff.version_id:
                key, seen = f"{key}@{handoff.version_id}", None
        raise ConditionFailed

    def remove(self, handoff: Handoff) -> None:
        """Delete exactly the handoff's version; another version of the same name stays as it is."""
        self._client.delete_object(Bucket=handoff.bucket, Key=handoff.key, VersionId=handoff.version_id)

    def set_aside(self, handoff: Handoff, key: str, document: bytes) -> None:
        """Keep a document for an operator to look at."""
        self._client.put_object(Bucket=handoff.bucket, Key=key, Body=document, ContentType="application/json")

    def unsettled(self, bucket: str, cursor: Cursor | None, pages: int) -> tuple[list[Unsettled], Cursor | None]:
        """List the versions in the root of the bucket, at most ``pages`` of 1,000, from the cursor on.

        Returns:
            The handoffs, with S3's time of each as their event time; of one key, the newest first. And the cursor to go
            on from, ``None`` at the end.

        """
        found: list[Unsettled] = []
        for _ in range(pages):
            after: Any = {"KeyMarker": cursor.key} if cursor else {}
            if cursor and cursor.version_id:  # S3 refuses an empty one
                after |= {"VersionIdMarker": cursor.version_id}
            page = self._client.list_object_versions(Bucket=bucket, Delimiter="/", **after)
            withdrawn = {marker["Key"] for marker in page.get("DeleteMarkers", []) if marker["IsLatest"]}
            versions = page.get("Versions", [])
            if cursor and versions and versions[0]["Key"] == cursor.key and self._is_withdrawn(bucket, cursor.key):
                withdrawn.add(cursor.key)  # its marker lies before the cursor
            found += [Unsettled(_unsettled(bucket, one), withdrawn=one["Key"] in withdrawn) for one in versions]
            if not page["IsTruncated"]:
                return found, None
            cursor = Cursor(page["NextKeyMarker"], page.get("NextVersionIdMarker", ""))
        return found, cursor

    def _is_withdrawn(self, bucket: str, key: str) -> bool:
        page = self._client.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1)  # the newest of the first key
        return any(marker["Key"] == key for marker in page.get("DeleteMarkers", []))

    def _get(self, handoff: Handoff, **version: str) -> Any:  # noqa: ANN401 - boto3's answer
        given: Any = {"Bucket": handoff.bucket, "Key": handoff.key, **version}
        with self._translated(given):
            return self._client.get_object(**given)

    def _put(self, handoff: Handoff, key: str, body: bytes, seen: str | None, metadata: Mapping[str, str]) -> bool:
        """Write an object, if what is there is as it was seen (ETag; ``None``: nothing); whether it was."""
        kind = "application/json" if key.endswith(".status") else "application/octet-stream"
        given: Any = {"ContentType": kind, "Metadata": metadata, **_as_seen(seen)}
        with suppress(ConditionFailed, Gone), self._translated():  # gone: what it was to replace
            self._client.put_object(Bucket=handoff.bucket, Key=key, Body=body, **given)
            return True
        return False

    def _copy(self, handoff: Handoff, key: str, seen: str | None) -> bool:
        """Copy the handoff's version likewise."""
        source: Any = {"Bucket": handoff.bucket, "Key": handoff.key, "VersionId": handoff.version_id}
        # Tags are not carried: copying them would need two more permissions, and only for inputs that have any.
        given: Any = {"CopySource": source, "TaggingDirective": "REPLACE", **_as_seen(seen)}
        with suppress(ConditionFailed), self._translated(source):
            if handoff.size > _COPY_LIMIT:
                self._client.copy(source, handoff.bucket, key)  # in parts, and without a condition
            else:
                self._client.copy_object(Bucket=handoff.bucket, Key=key, **given)
            return True
        return False

    def _metadata(self, handoff: Handoff, key: str) -> tuple[Mapping[str, str], str | None]:
        """Look at an object: what it says of itself, and its ETag; ``None`` where there is none."""
        with suppress(Gone), self._translated():
            head = self._client.head_object(Bucket=handoff.bucket, Key=key)
            return head["Metadata"], head["ETag"]
        return {}, None

    def _versions(self, handoff: Handoff) -> Iterator[str]:
        """List the versions of the handoff's name, newest first; S3 lists those of longer names behind them."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=handoff.bucket, Prefix=handoff.key)
        found = (version for page in pages for version in page.get("Versions", []))
        return (one["VersionId"] for one in takewhile(lambda one: one["Key"] == handoff.key, found))

    @contextmanager
    def _translated(self, source: Any = None) -> Iterator[None]:  # noqa: ANN401 - boto3's arguments
        """Turn S3's errors that mean something to an intent's life into its exceptions; all others go on as they are.

        A key that the owner of the ``source`` keeps from us is an answer; the site's own is waited for.
        """
        try:
            yield
        except ClientError as error:
            code, said = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
            if code in _GONE:
                raise Gone from error
            is_about_a_key = code in _KEY_CODES or (code == "AccessDenied" and any(one in said for one in _KEY_DENIED))
            if code in _ILLEGIBLE or (is_about_a_key and source and self._is_foreign(said, source)):
                raise Illegible(said or code) from error
            if is_about_a_key:
                raise KeyUnavailable(said or code) from error
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in _LOST_RACE:
                raise ConditionFailed from error
            raise

    def _is_foreign(self, said: str, source: Any) -> bool:  # noqa: ANN401 - likewise
        """Say whether an error about a key is about another one than the site's."""
        if not self._key:
            return True
        # A copy uses two keys, and its error names the one that it is about, but for a denied kms:Decrypt: the
        # object's, which S3 tells without any key.
        used = self._client.head_object(**source).get("SSEKMSKeyId")
        return used not in {None, self._key} and self._key not in said


def _found(handoff: Handoff, answer: Any, max_bytes: int) -> Found:  # noqa: ANN401 - boto3's answer
    time = handoff.event_time or _time(answer)
    known = replace(
        handoff,
        version_id=answer["VersionId"],
        size=answer["ContentLength"],
        event_time=time,
        order=handoff.order or order(time),
    )
    with answer["Body"] as body:
        return Found(known, body.read() if known.size <= max_bytes else None)


def _unsettled(bucket: str, version: Any) -> Handoff:  # noqa: ANN401 - boto3's answer
    time = _time(version)
    return Handoff(bucket, version["Key"], version["VersionId"], version["Size"], event_time=time, order=order(time))


def _time(answer: Any) -> str:  # noqa: ANN401 - boto3's answer
    return f"{answer['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}"  # known to the second


def _generation(metadata: Mapping[str, str]) -> int:
    """Read the generation of an object of the live tree; 0 of one that another writer has put there."""
    written = metadata.get("generation", "")
    return int(written) if written.isdecimal() else 0


def _as_seen(etag: str | None) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
