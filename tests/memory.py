"""In-memory adapters: the same promises as S3's and DynamoDB's, held to them by tests/integration/test_adapters.py."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from conductor_loop.errors import Gone, Overtaken
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Refusal, Row, State, Target, order


@dataclass
class MemoryBucket:
    """A versioned bucket: key to its versions, oldest first."""

    objects: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    puts: int = 0

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        self.puts += 1
        version = f"v{self.puts}"
        self.objects.setdefault(key, []).append((version, body))
        return Handoff(bucket, key, version, size=len(body))

    def get(self, _bucket: str, key: str) -> bytes:
        return self.objects[key][-1][1]

    def keys(self, _bucket: str) -> list[str]:
        return [key for key, versions in self.objects.items() if versions]

    def read(self, handoff: Handoff, max_bytes: int) -> tuple[Handoff, bytes | None]:
        body = self._version(handoff)
        return replace(handoff, size=len(body)), body if len(body) <= max_bytes else None

    def leftovers(self, handoff: Handoff, prefix: str) -> Mapping[str, str]:
        return {key: _etag(self.get("", key)) for key in self.keys(handoff.bucket) if key.startswith(prefix)}

    def publish(self, handoff: Handoff, files: Mapping[str, bytes], replacing: Mapping[str, str]) -> None:
        for key, body in files.items():
            seen = _etag(self.get("", key)) if self.objects.get(key) else None
            if seen != replacing.get(key):
                raise Overtaken
            self.drop(handoff.bucket, key, body)

    def put_status(self, handoff: Handoff, key: str, document: bytes) -> None:
        self.drop(handoff.bucket, key, document)

    def archive(self, handoff: Handoff, key: str) -> None:
        self.drop(handoff.bucket, key, self._version(handoff))

    def remove(self, handoff: Handoff) -> None:
        versions = self.objects.get(handoff.key, [])
        versions[:] = [version for version in versions if version[0] != handoff.version_id]

    def _version(self, handoff: Handoff) -> bytes:
        for version, body in self.objects.get(handoff.key, []):
            if version == handoff.version_id:
                return body
        raise Gone


@dataclass
class MemoryState:
    """The state table's rows; each method is one atomic write."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        refused_row = row if not _as_seen(row, seen, now) else None
        free = target.lease_until <= now and target.last_order <= order(claim.handoff)
        if refused_row is not None or not free:
            return Refusal(refused_row, None if free else target)
        self.rows[_id(claim.handoff)] = Row(State.PROCESSING, claim.attempt, claim.owner, claim.lease_until)
        self.targets[claim.target] = replace(target, lease_owner=claim.owner, lease_until=claim.lease_until)
        return None

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        del now
        row, target = self.rows[_id(claim.handoff)], self.targets[claim.target]
        mine = (row.state, row.owner, row.attempt) == (State.PROCESSING, claim.owner, claim.attempt)
        if not mine or target.lease_owner != claim.owner:
            return Refusal(None if mine else row, None if target.lease_owner == claim.owner else target)
        self.rows[_id(claim.handoff)] = Row(outcome.state, row.attempt, outcome=outcome)
        released = replace(target, lease_owner="", lease_until=0.0)
        if applied is not None:
            released = Target(
                last_order=order(claim.handoff),
                last_file=claim.handoff.file,
                version=applied.version,
                replicas=applied.replicas,
            )
        self.targets[claim.target] = released
        return None

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None
    ) -> Refusal | None:
        row = self.rows.get(_id(handoff))
        if not _as_seen(row, seen, now):
            return Refusal(row)
        self.rows[_id(handoff)] = Row(outcome.state, row.attempt if row else 0, outcome=outcome)
        return None

    def mark_settled(self, handoff: Handoff, now: float) -> None:
        del now
        self.rows[_id(handoff)] = replace(self.rows[_id(handoff)], settled=True)

    def find(self, handoff: Handoff) -> Row | None:
        return self.rows.get(_id(handoff))

    def target(self, name: str) -> Target:
        return self.targets.get(name, Target())


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def _as_seen(row: Row | None, seen: Row | None, now: float) -> bool:
    if row is None or seen is None:
        return row is seen
    return (row.state, row.attempt) == (seen.state, seen.attempt) and row.lease_until <= now


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
