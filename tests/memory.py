"""In-memory adapters: the same promises as S3's and SQS's, held to them by tests/integration."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.app import Cursor, Message, Unsettled
from conductor_loop.errors import Gone, Illegible, NumberTaken
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Found, order
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
class MemoryBucket:
    """A versioned bucket: key to its versions, oldest first."""

    objects: dict[str, list[Version]] = field(default_factory=dict)
    puts: int = 0
    page: int = 1000  # versions of a listing
    now: Any = lambda: 0.0  # the clock that versions are put by

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        return Handoff(bucket, key, self._put(key, body), size=len(body))

    def withdraw(self, key: str) -> None:
        """Do what `aws s3 rm` does: the versions stay, under a marker."""
        self.puts += 1
        self.objects.setdefault(key, []).append(Version(f"v{self.puts}", b"", put_at=self.now(), marker=True))

    def get(self, _bucket: str, key: str) -> bytes:
        if self.objects[key][-1].marker:
            raise KeyError(key)
        return self.objects[key][-1].body

    def keys(self, _bucket: str) -> list[str]:
        return [key for key, versions in self.objects.items() if versions and not versions[-1].marker]

    def read(self, handoff: Handoff, max_bytes: int) -> Found:
        versions = self.objects.get(handoff.key, [])
        if not versions or versions[-1].marker:
            raise Gone
        mine = self._version(handoff) if handoff.version_id else versions[-1]
        time = handoff.event_time or _to_the_second(mine.put_at)
        placed = handoff.order or order(time)
        known = replace(handoff, version_id=mine.id, size=len(mine.body), event_time=time, order=placed)
        newer = versions[-1].id if versions[-1] is not mine else None
        if mine.body == UNREADABLE and newer is None:
            raise Illegible("it is encrypted")
        fits = known.size <= max_bytes and mine.body != UNREADABLE
        return Found(known, mine.body if fits else None, newer)

    def older_versions(self, handoff: Handoff) -> Collection[str]:
        there = [version.id for version in self.objects.get(handoff.key, []) if not version.marker]
        return there[: there.index(handoff.version_id)] if handoff.version_id in there else []

    def publish(self, handoff: Handoff, token: str, files: Mapping[str, bytes]) -> None:
        mine = {"handoff": handoff.version_id, "owner": token}
        for key, body in files.items():
            theirs = self.objects.get(key)
            if not theirs:
                self._put(key, body, mine)
            elif theirs[-1].metadata.get("owner") != token:
                raise NumberTaken

    def next_number(self, handoff: Handoff, target: str) -> int:
        prefix = f"packages/{target}/"
        names = {
            key.removeprefix(prefix).partition("/")[0] for key in self.keys(handoff.bucket) if key.startswith(prefix)
        }
        return max((int(one.rpartition(".")[2]) + 1 for one in names), default=0)

    def remove_package(self, handoff: Handoff, prefix: str) -> None:
        for versions in [versions for key, versions in self.objects.items() if key.startswith(prefix)]:
            versions[:] = [one for one in versions if one.metadata.get("handoff") != handoff.version_id]

    def put_status(self, handoff: Handoff, name: str, document: bytes, *, final: bool) -> str:
        read_status(document)
        mine = {"version": handoff.version_id, "order": handoff.order, "final": "yes" if final else "no"}
        for called in (name, f"{name}@{handoff.version_id}"):
            key = f"status/{called}.status"
            theirs = self.objects[key][-1].metadata if self.objects.get(key) else {}
            is_mine = theirs.get("version") == handoff.version_id
            if is_mine and theirs["final"] == "yes":
                return called
            if is_mine or theirs.get("order", "") <= mine["order"]:
                self._put(key, document, mine)
                return called
            if not final:
                break
        return name

    def published(self, handoff: Handoff, key: str) -> bytes | None:
        return self.get(handoff.bucket, key) if key in self.keys(handoff.bucket) else None

    def put_live(self, handoff: Handoff, key: str, generation: int, component: bytes) -> None:
        theirs = self.objects[key][-1].metadata if self.objects.get(key) else {}
        if int(theirs.get("generation", 0)) < generation:
            self._put(key, component, {"generation": str(generation), "handoff": handoff.version_id})

    def archive(self, handoff: Handoff, key: str) -> None:
        folder, _, name = key.partition("/")
        body, reported = self._version(handoff).body, self.objects.get(f"status/{name}.status")
        if body == UNREADABLE:
            raise Illegible("it is encrypted")
        beside = reported and reported[-1].metadata["version"] != handoff.version_id
        self._put(f"{folder}/{name}@{handoff.version_id}" if beside and self.objects.get(key) else key, body)

    def remove(self, handoff: Handoff) -> None:
        versions = self.objects.get(handoff.key, [])
        versions[:] = [version for version in versions if version.id != handoff.version_id]

    def set_aside(self, handoff: Handoff, key: str, document: bytes) -> None:
        del handoff
        self._put(key, document)

    def unsettled(self, bucket: str, cursor: Cursor | None, pages: int) -> tuple[list[Unsettled], Cursor | None]:
        found = [
            Unsettled(_listed(bucket, key, version), withdrawn=versions[-1].marker)
            for key, versions in sorted(self.objects.items())
            for version in reversed(versions)
            if "/" not in key and not version.marker
        ]
        behind = [one for one in found if cursor is None or _place(one.handoff) > _at(cursor)]
        stretch = behind[: pages * self.page]
        last = stretch[-1].handoff if len(behind) > len(stretch) else None
        return stretch, Cursor(last.key, last.version_id) if last else None

    def _put(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None) -> str:
        self.puts += 1
        self.objects.setdefault(key, []).append(Version(f"v{self.puts}", body, metadata or {}, self.now()))
        return f"v{self.puts}"

    def _version(self, handoff: Handoff) -> Version:
        for version in self.objects.get(handoff.key, []):
            if version.id == handoff.version_id and not version.marker:
                return version
        raise Gone


@dataclass
class MemoryQueues:
    """Messages that wait: when each may be received, and what it says."""

    waiting: list[tuple[float, Message]] = field(default_factory=list)
    now: Any = None  # the clock that delays are counted by

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del group
        self.waiting.append((self.now() + delay_seconds, message))

    def extend_visibility(self, record: Mapping[str, Any], seconds: float) -> None:
        raise NotImplementedError


def _place(handoff: Handoff) -> tuple[str, int]:
    """Give the place in a listing: by key, and of one key the newest version first."""
    return _at(Cursor(handoff.key, handoff.version_id))


def _at(cursor: Cursor) -> tuple[str, int]:
    return cursor.key, -int(cursor.version_id[1:])


def _listed(bucket: str, key: str, version: Version) -> Handoff:
    time = _to_the_second(version.put_at)
    return Handoff(bucket, key, version.id, len(version.body), event_time=time, order=order(time))


def _to_the_second(put_at: float) -> str:
    return f"{datetime.fromtimestamp(put_at, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
