"""In-memory adapters: the same promises as S3's, DynamoDB's and SQS's, held to them by tests/integration."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from conductor_loop.app import Cursor, Found, Message
from conductor_loop.errors import Gone, Overtaken
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Pause, Refusal, Row, State, Target, certainly_newer, order


@dataclass(frozen=True)
class Version:
    """One version of an object."""

    id: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass
class MemoryBucket:
    """A versioned bucket: key to its versions, oldest first."""

    objects: dict[str, list[Version]] = field(default_factory=dict)
    puts: int = 0

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        return Handoff(bucket, key, self._put(key, body), size=len(body))

    def get(self, _bucket: str, key: str) -> bytes:
        return self.objects[key][-1].body

    def keys(self, _bucket: str) -> list[str]:
        return [key for key, versions in self.objects.items() if versions]

    def read(self, handoff: Handoff, max_bytes: int) -> Found:
        versions = self.objects.get(handoff.key, [])
        mine = self._version(handoff)
        known = replace(handoff, size=len(mine.body))
        newer = versions[-1].id if versions[-1] is not mine else None
        return Found(known, mine.body if known.size <= max_bytes else None, newer)

    def leftovers(self, handoff: Handoff, prefix: str) -> Mapping[str, str]:
        return {key: _etag(self.get("", key)) for key in self.keys(handoff.bucket) if key.startswith(prefix)}

    def publish(self, claim: Claim, files: Mapping[str, bytes], replacing: Mapping[str, str]) -> None:
        for key, body in files.items():
            self._check(key, replacing.get(key))
            self._put(key, body, {"handoff": claim.handoff.version_id, "owner": claim.owner})
        for key in replacing.keys() - files.keys():
            self._check(key, replacing[key])
            self.objects[key] = []

    def put_status(self, handoff: Handoff, name: str, document: bytes, *, final: bool) -> str:
        mine = {"version": handoff.version_id, "order": order(handoff), "final": "yes" if final else "no"}
        for called in (name, f"{name}@{handoff.version_id}"):
            key = f"status/{called}.status"
            theirs = self.objects[key][-1].metadata if self.objects.get(key) else {}
            is_mine = theirs.get("version") == handoff.version_id
            if is_mine and theirs["final"] == "yes":
                return called
            if is_mine or not certainly_newer(theirs.get("order", ""), mine["order"]):
                self._put(key, document, mine)
                return called
            if not final:
                break
        return name

    def archive(self, handoff: Handoff, key: str) -> None:
        self._put(key, self._version(handoff).body)

    def remove(self, handoff: Handoff) -> None:
        versions = self.objects.get(handoff.key, [])
        versions[:] = [version for version in versions if version.id != handoff.version_id]

    def set_aside(self, handoff: Handoff, key: str, document: bytes) -> None:
        del handoff
        self._put(key, document)

    def unsettled(self, bucket: str, cursor: Cursor | None, pages: int) -> tuple[list[Handoff], Cursor | None]:
        del cursor, pages
        found = [
            Handoff(bucket, key, version.id, len(version.body), event_time="2026-11-23T03:00:00.999Z")
            for key, versions in sorted(self.objects.items())
            for version in versions
            if "/" not in key
        ]
        return found, None

    def _put(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None) -> str:
        self.puts += 1
        self.objects.setdefault(key, []).append(Version(f"v{self.puts}", body, metadata or {}))
        return f"v{self.puts}"

    def retract(self, handoff: Handoff, prefix: str, owner: str = "") -> None:
        def wrote(version: Version) -> bool:
            mine = version.metadata.get("handoff") == handoff.version_id
            return mine and owner in {"", version.metadata.get("owner")}

        for key, versions in self.objects.items():
            if key.startswith(prefix):
                versions[:] = [one for one in versions if not wrote(one)]

    def _check(self, key: str, seen: str | None) -> None:
        if (_etag(self.get("", key)) if self.objects.get(key) else None) != seen:
            raise Overtaken

    def _version(self, handoff: Handoff) -> Version:
        for version in self.objects.get(handoff.key, []):
            if version.id == handoff.version_id:
                return version
        raise Gone


@dataclass
class MemoryState:
    """The state table's rows; each method is one atomic write."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # name to the order and id of its newest version
    correlations: dict[str, str] = field(default_factory=dict)
    unclean: dict[str, bool] = field(default_factory=dict)  # what the next claim of a target will be told
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    tokens: dict[str, float] = field(default_factory=dict)

    def register(self, handoff: Handoff, state: State, now: float, seen: Row | None = None) -> Refusal | None:
        row = self.rows.get(_id(handoff))
        if not _as_seen(row, seen, now):
            return Refusal(row)
        sweeps = row.sweeps + 1 if row else 0
        kept = row or Row(state)
        self.rows[_id(handoff)] = replace(kept, state=state, held_until=0.0, since=now, sweeps=sweeps)
        return None

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        refusal = self._refused(claim, now, seen)
        if refusal is not None:
            return refusal
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        self.rows[_id(claim.handoff)] = replace(
            row or Row(State.PROCESSING),
            state=State.PROCESSING,
            attempt=claim.attempt,
            owner=claim.owner,
            held_until=claim.lease_until,
            since=now,
        )
        unclean = self.unclean.get(claim.target, False)
        self.targets[claim.target] = replace(
            target, lease_owner=claim.owner, held_until=claim.lease_until, unclean=unclean
        )
        self.unclean[claim.target] = True
        self.names[claim.handoff.key] = (order(claim.handoff), claim.handoff.version_id)
        if claim.correlation_id is not None:
            self.correlations[claim.correlation_id] = claim.handoff.file
        return None

    def _refused(self, claim: Claim, now: float, seen: Row | None) -> Refusal | None:
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        last_order, last_version = self.names.get(claim.handoff.key, ("", ""))
        mine = order(claim.handoff)
        newer = certainly_newer(last_order, mine) and last_version != claim.handoff.version_id
        user = self.correlations.get(claim.correlation_id or "")
        in_order = not claim.supersedes or not certainly_newer(target.last_order, mine)
        free = target.held_until <= now and in_order
        as_seen = _as_seen(row, seen, now)
        if as_seen and free and not newer and user in {None, claim.handoff.file}:
            return None
        return Refusal(
            row=None if as_seen else row,
            target=None if free else target,
            newer_version=last_version if newer else None,
            correlated_file=None if user == claim.handoff.file else user,
            superseding=claim.supersedes,
        )

    def postpone(self, claim: Claim, pause: Pause, now: float) -> Refusal | None:
        lost = self._lost(claim)
        if lost is None:
            row = self.rows[_id(claim.handoff)]
            self.rows[_id(claim.handoff)] = replace(
                row,
                state=State.RETRYING,
                attempt=claim.attempt - (not pause.counts),
                held_until=pause.until,
                patience=pause.patience,
                since=now,
                owner="",
            )
            self._release(claim, None, published=not pause.counts)
            self._count(pause.tally)
        return lost

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        lost = self._lost(claim)
        if lost is None:
            self._record(claim.handoff, outcome, now)
            self._release(claim, applied)
        return lost

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None
    ) -> Refusal | None:
        row = self.rows.get(_id(handoff))
        if not _as_seen(row, seen, now):
            return Refusal(row)
        self._record(handoff, outcome, now)
        return None

    def find(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row]:
        return {handoff: self.rows[_id(handoff)] for handoff in handoffs if _id(handoff) in self.rows}

    def target(self, name: str) -> Target:
        return self.targets.get(name, Target())

    def discard(self, handoff: Handoff) -> None:
        self.rows.pop(_id(handoff), None)

    def take_token(self, bucket: str, interval_seconds: float, burst: int, now: float) -> bool:
        until = max(self.tokens.get(bucket, 0.0), now)
        if until > now + interval_seconds * (burst - 1):
            return False
        self.tokens[bucket] = until + interval_seconds
        return True

    def _count(self, tally: Mapping[str, float]) -> None:
        for name, by in tally.items():
            self.counters[name] += by

    def _lost(self, claim: Claim) -> Refusal | None:
        row, target = self.rows.get(_id(claim.handoff)), self.targets.get(claim.target, Target())
        mine = row is not None and (row.state, row.owner, row.attempt) == (
            State.PROCESSING,
            claim.owner,
            claim.attempt,
        )
        target_mine = target.lease_owner == claim.owner
        return None if mine and target_mine else Refusal(None if mine else row, None if target_mine else target)

    def _record(self, handoff: Handoff, outcome: Outcome, now: float) -> None:
        row = self.rows.get(_id(handoff)) or Row(outcome.state)
        self.rows[_id(handoff)] = replace(
            row, state=outcome.state, outcome=outcome, since=now, held_until=0.0, owner=""
        )
        self._count(outcome.tally)

    def _release(self, claim: Claim, applied: Applied | None, *, published: bool = False) -> None:
        target = replace(self.targets[claim.target], lease_owner="", held_until=0.0)
        if not published:
            self.unclean[claim.target] = False if applied else target.unclean
        if applied is not None:
            target = Target(
                last_order=order(claim.handoff),
                last_file=claim.handoff.file,
                version=applied.version,
                replicas=applied.replicas,
            )
        self.targets[claim.target] = target


@dataclass
class MemoryQueues:
    """Messages that wait: when each may be received, and what it says."""

    waiting: list[tuple[float, Message]] = field(default_factory=list)
    now: Any = None  # the clock that delays are counted by

    def send(self, message: Message, group: str, delay_seconds: float = 0) -> None:
        del group
        self.waiting.append((self.now() + delay_seconds, message))

    def hide(self, record: Mapping[str, Any], seconds: float) -> None:
        raise NotImplementedError


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def _as_seen(row: Row | None, seen: Row | None, now: float) -> bool:
    if row is None or seen is None:
        return row is seen
    return (row.state, row.attempt) == (seen.state, seen.attempt) and row.held_until <= now


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
