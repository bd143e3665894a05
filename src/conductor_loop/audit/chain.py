"""Chains of audit entries. Each holds the digest of the one before it: none is changed, taken out or moved unseen.

{"chain": "intent/intent-a.json/v1", "seq": 2, "prev": "<digest of 1>", …, "hash": "<SHA-256 of all before it>"}
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends, and the next entry is linked. Without a value: a chain that has no entry yet."""

    seq: int = 0  # of the last entry; the first is 1
    digest: str = ""  # of the last entry: SHA-256, hexadecimal
    restart: str = ""  # tells chains of one name apart, where a row was lost and its chain begun anew

    def __str__(self) -> str:
        return f"{self.seq}.{self.digest}.{self.restart}" if self.seq else ""

    @classmethod
    def read(cls, text: str) -> "Head":
        """Read what ``str`` wrote. Raises ValueError."""
        if not text:
            return cls()
        seq, digest, restart = text.split(".")
        return cls(int(seq), digest, restart)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it is kept and published."""

    text: str  # a line of JSON
    head: Head  # of its chain, with it

    @property
    def document(self) -> Mapping[str, Any]:
        """What it says."""
        document: Mapping[str, Any] = json.loads(self.text)
        return document


def link(name: str, head: Head, fields: Mapping[str, Any]) -> Entry:
    """Make the next entry of a chain, of fields that are JSON and hold no secrets."""
    chain = f"{name}~{head.restart}" if head.restart else name
    document = {"chain": chain, "seq": head.seq + 1, "prev": head.digest, **fields}
    digest = _digest(document)
    return Entry(_written(document | {"hash": digest}), Head(head.seq + 1, digest, head.restart))


@dataclass(frozen=True, slots=True)
class Found:
    """A line of an audit trail, as somebody found it."""

    chain: str  # as it says, which nobody can rely on where it is not sound
    seq: int
    prev: str
    digest: str
    sound: bool  # whether it is what was once written, to the byte
    document: Mapping[str, Any]


def read(text: str) -> Found | None:
    """Read a line; ``None`` where it does not even say which entry it is."""
    try:
        document = json.loads(text)
        chain, seq, prev, digest = (document[name] for name in ("chain", "seq", "prev", "hash"))
        chain.encode()  # no half of a character: nobody can ask for that, nor print it
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not (isinstance(chain, str) and type(seq) is int and isinstance(prev, str) and isinstance(digest, str)):
        return None
    rest = {name: value for name, value in document.items() if name != "hash"}
    sound = _written(rest | {"hash": digest}) == text and _digest(rest) == digest
    return Found(chain, seq, prev, digest, sound, document)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_written(document).encode()).hexdigest()


def _written(document: Mapping[str, Any]) -> str:
    """Write JSON of which there is one form only: in ASCII, without white space, in the order of the fields."""
    return json.dumps(document, separators=(",", ":"))
