"""The bucket in memory, and the queues: held to S3's and SQS's promises by tests/integration."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from conductor_loop.app import Cursor, Message, Unsettled
from conductor_loop.errors import Gone, Illegible
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import order
from conductor_loop.storage.bucket import S3Bucket
from conductor_loop.storage.queues import SQSQueues
from tests.statuses import read_status

UNREADABLE = b"encrypted with a key that its sender keeps"  # a content that the bucket returns to no caller


@dataclass(frozen=True)
class Version:
    """One version of an object."""

    id: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)
    put_at: float = 0.0  # epoch seconds
    marker: bool = False  # a delete marker: what `aws s3 rm` puts on top


@dataclass
class MemoryBucket(S3Bucket):
    """The adapter itself, over a versioned bucket: key to its versions, oldest first."""

    objects: dict[str, list[Version]] = field(default_factory=dict)
    puts: int = 0
    page: int = 1000  # versions of a listing
    now: Any = lambda: 0.0  # the clock that versions are put by

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        return Handoff(bucket, key, self._add(key, body), size=len(body))

    def withdraw(self, key: str) -> None:
        """Do what `aws s3 rm` does: the versions stay, under a marker."""
        self.puts += 1
        self.objects.setdefault(key, []).append(Version(f"v{self.puts}", b"", put_at=self.now(), marker=True))

    def get(self, _bucket: str, key: str) -> bytes:
        return self._find(key).body

    def keys(self, _bucket: str) -> list[str]:
        return [key for key, versions in self.objects.items() if versions and not versions[-1].marker]

    def publish(self, handoff: Handoff, claim: int, files: Mapping[str, bytes]) -> None:
        for key, body in files.items():  # and no threads
            self._upload(handoff, claim, key, body)

    def next_number(self, handoff: Handoff, target: str) -> int:
        prefix = f"packages/{target}/"
        names = {
            key.removeprefix(prefix).partition("/")[0] for key in self.keys(handoff.bucket) if key.startswith(prefix)
        }
        return max((int(one.rpartition(".")[2]) + 1 for one in names), default=0)

    def remove_package(self, handoff: Handoff, prefix: str) -> None:
        for versions in [versions for key, versions in self.objects.items() if key.startswith(prefix)]:
            versions[:] = [one for one in versions if one.metadata.get("handoff") != handoff.version_id]

    def remove(self, handoff: Handoff) -> None:
        versions = self.objects.get(handoff.key, [])
        versions[:] = [version for version in versions if version.id != handoff.version_id]

    def set_aside(self, handoff: Handoff, key: str, document: bytes) -> None:
        del handoff
        self._add(key, document)

    def unsettled(self, bucket: str, cursor: Cursor | None, pages: int) -> tuple[list[Unsettled], Cursor | None]:
        found = [
            Unsettled(_listed(bucket, key, version), withdrawn=versions[-1].marker)
            for key, versions in sorted(self.objects.items())
            for version in reversed(versions)
            if "/" not in key and not version.marker
        ]
        behind = [one for one in found if cursor is None or _place(one.handoff) > _place(cursor)]
        stretch = behind[: pages * self.page]
        last = stretch[-1].handoff if len(behind) > len(stretch) else None
        return stretch, Cursor(last.key, last.version_id) if last else None

    # -- what the adapter asks of S3

    def _get(self, handoff: Handoff, **version: str) -> Any:
        found = self._find(handoff.key, **version)
        if found.body == UNREADABLE:
            raise Illegible("it is encrypted")
        at, body = datetime.fromtimestamp(found.put_at, UTC), found.body
        return {"VersionId": found.id, "ContentLength": len(body), "LastModified": at, "Body": BytesIO(body)}

    def _put(self, handoff: Handoff, key: str, body: bytes, seen: str | None, metadata: Mapping[str, str]) -> bool:
        if key.startswith("status/"):
            read_status(body)
        is_as_seen = self._metadata(handoff, key)[1] == seen
        if is_as_seen:
            self._add(key, body, metadata)
        return is_as_seen

    def _copy(self, handoff: Handoff, key: str, seen: str | None) -> bool:
        with self._get(handoff, VersionId=handoff.version_id)["Body"] as body:
            return self._put(handoff, key, body.read(), seen, {})

    def _metadata(self, handoff: Handoff, key: str) -> tuple[Mapping[str, str], str | None]:
        del handoff
        with suppress(Gone):
            found = self._find(key)
            return found.metadata, found.id
        return {}, None

    def _versions(self, handoff: Handoff) -> Iterator[str]:
        return (one.id for one in reversed(self.objects.get(handoff.key, [])) if not one.marker)

    def _find(self, key: str, VersionId: str = "") -> Version:  # noqa: N803 - S3's
        """Give a version of an object, or the newest one. Raises Gone."""
        found = [one for one in self.objects.get(key, []) if VersionId in {"", one.id}]
        if not found or found[-1].marker:
            raise Gone
        return found[-1]

    def _add(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None) -> str:
        self.puts += 1
        self.objects.setdefault(key, []).append(Version(f"v{self.puts}", body, metadata or {}, self.now()))
        return f"v{self.puts}"


@dataclass
class MemoryQueues(SQSQueues):
    """Messages that wait: when each may be received, and what it says."""

    waiting: list[tuple[float, Message]] = field(default_factory=list)
    now: Any = None  # the clock that delays are counted by

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del group
        self.waiting.append((self.now() + delay_seconds, message))

    def extend_visibility(self, record: Mapping[str, Any], seconds: float) -> None:
        raise NotImplementedError


def _place(one: Handoff | Cursor) -> tuple[str, int]:
    """Give the place in a listing: by key, and of one key the newest version first."""
    return one.key, -int(one.version_id[1:])


def _listed(bucket: str, key: str, version: Version) -> Handoff:
    time = f"{datetime.fromtimestamp(version.put_at, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    return Handoff(bucket, key, version.id, len(version.body), event_time=time, order=order(time))
