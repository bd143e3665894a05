"""The chain of audit entries. Each holds the digest of the one before it: none is changed, dropped or moved unseen.

There is one chain for each shard of the state table's stream, in the order of its records:

{"chain": "intent/intent-a.json/v1", "seq": 2, "shard": "shardId-…", "n": 17, "prev": "<digest of entry 16>", …,
 "hash": "<SHA-256 of all before it>"}

``chain`` and ``seq`` say what an entry is about: the revision of one row. An entry depends on the records before it
alone, and not on how they were batched: one that is published again is the same, to the byte.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_OF_CHAIN = frozenset({"chain", "seq", "shard", "n", "prev", "hash", "after"})


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain of a shard ends. Without a value: it has no entry yet."""

    n: int = 0  # entries so far
    digest: str = ""  # of the last one: SHA-256, hexadecimal
    at: str = ""  # the time of the last one
    began: str = ""  # the time of the first one


@dataclass(frozen=True, slots=True)
class Change:
    """What one write of a row adds: an entry of the audit trail, and counts."""

    chain: str
    seq: int  # its place among the entries of the row
    fields: Mapping[str, Any]  # JSON, without secrets
    tally: Mapping[str, float]  # see counting


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it is published."""

    text: str  # a line of JSON
    head: Head  # of its shard, with it


def link(shard: str, head: Head, change: Change) -> Entry:
    """Make the next entry of a shard."""
    place = {"chain": change.chain, "seq": change.seq, "shard": shard, "n": head.n + 1, "prev": head.digest}
    document = {**place, **change.fields, **place}  # whatever a row calls its facts
    digest, at = _digest(document), str(change.fields.get("at", ""))
    return Entry(_written(document | {"hash": digest}), Head(head.n + 1, digest, at, head.began or at))


@dataclass(frozen=True, slots=True)
class Found:
    """A line of an audit trail, as it was read."""

    chain: str  # this and all below as the line says, which proves nothing where it is not sound
    seq: int
    shard: str
    n: int
    prev: str
    digest: str
    sound: bool  # whether it is what was once written, to the byte
    document: Mapping[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """Give what it says of its row."""
        return fields_of(self.document)


def fields_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says only where an entry stands."""
    return {name: value for name, value in document.items() if name not in _OF_CHAIN}


def read(text: str) -> Found | None:
    """Read a line; ``None`` where it does not even say which entry it is."""
    try:
        document = json.loads(text)
        chain, seq, shard, n, prev, digest = (document[name] for name in ("chain", "seq", "shard", "n", "prev", "hash"))
        chain.encode()  # no half of a character: no row has that, nor can it be printed
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if [type(one) for one in (chain, seq, shard, n, prev, digest)] != [str, int, str, int, str, str]:
        return None
    rest = {name: value for name, value in document.items() if name != "hash"}
    sound = _written(rest | {"hash": digest}) == text and _digest(rest) == digest
    return Found(chain, seq, shard, n, prev, digest, sound, document)


def timestamp(now: float) -> str:
    """Write a time (epoch seconds) to the millisecond: ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_written(document).encode()).hexdigest()


def _written(document: Mapping[str, Any]) -> str:
    """Write JSON of which there is one form only: in ASCII, without white space, in the order of the fields."""
    return json.dumps(document, separators=(",", ":"))
