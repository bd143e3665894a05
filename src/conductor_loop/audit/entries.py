"""What a write of a row adds to the audit trail and to the counters, and how entries are chained; pure.

There is one chain for each shard of the state table's stream, in the order of its records:

{"chain": "intent/intent-a.json/v1", "seq": 2, "shard": "shardId-…", "n": 17, "prev": "<digest of entry 16>", …,
 "hash": "<SHA-256 of all before it>"}

``chain`` and ``seq`` say what an entry is about: the revision of one row. An entry depends on the records before it
alone, and not on how they were batched: one that is published again is the same, to the byte. No secrets: names, codes,
rules and places, never what porch printed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.counting import RUNNING, SECURITY, Tally
from conductor_loop.errors import Cause
from conductor_loop.intents.model import Outcome, Phase, State

type Image = Mapping[str, Mapping[str, Any]]  # a row, as DynamoDB's stream has it

_PLACE = {"chain": str, "seq": int, "shard": str, "n": int, "prev": str, "hash": str}
NONSENSE = (KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError, RecursionError)
"""What reading it raises; OSError, where it is a time that the platform does not know."""
_NOT_SAID = {"tally", "asked", "note"}  # of the facts about a write; what comes of them is
_MOST = 1e12  # that one entry adds to a counter: more, or no number, makes no sense
_LONGEST = 100_000  # characters of what an entry says: the log takes at most a megabyte
_DIGITS = 40  # of the stream's numbers, at most


@dataclass(frozen=True, slots=True)
class Change:
    """What a write of a row adds."""

    chain: str
    seq: int  # its place among the entries of the row
    fields: Mapping[str, Any]  # JSON
    tally: Tally = field(default_factory=dict)
    began: str = ""  # when the row was made; empty: unknown

    @property
    def at(self) -> str:
        """When it was written; empty: unknown."""
        return str(self.fields.get("at", ""))


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, as it is published or was read. What it says proves nothing where it is not sound."""

    text: str  # a line of JSON
    chain: str
    seq: int
    shard: str
    n: int
    prev: str
    digest: str
    document: Mapping[str, Any] = field(kw_only=True)
    sound: bool = field(default=True, kw_only=True)  # whether it is what was once written, to the byte


@dataclass(frozen=True, slots=True)
class Shard:
    """What is published and counted of a shard of the stream: its row."""

    sequence: str = ""  # the stream's number of the last record; empty: none is
    created_at: float = 0.0  # when that was written; epoch seconds
    lag: float = 0.0  # seconds from then until it was counted
    entries: int = 0
    digest: str = ""  # of the last entry: SHA-256, hexadecimal
    at: str = ""  # the time of the last entry
    began: str = ""  # the time of the first one
    counters: Tally = field(default_factory=dict)
    security_at: float = 0.0  # when an intent last looked like an attack; epoch seconds


@dataclass(frozen=True, slots=True)
class Batch:
    """What the records of a shard add that are not counted yet."""

    shard: str
    name: str  # no other batch has it, and names sort as the records do
    before: Shard
    after: Shard
    entries: Sequence[Entry]


def timestamp(now: float) -> str:
    """Write a time (epoch seconds) to the millisecond: ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


# -- the chain


def unseen(name: str, before: Shard, records: Sequence[Mapping[str, Any]], now: float) -> Batch | None:
    """Return what those of the records add to the shard of that name that it has not counted; ``None``: none is new."""
    seen = int(before.sequence or -1)
    fresh = [one["dynamodb"] for one in records if int(one["dynamodb"]["SequenceNumber"]) > seen]
    if not fresh:
        return None
    after, entries = before, list[Entry]()
    for record in fresh:
        old, new = record.get("OldImage", {}), record.get("NewImage", {})
        ran, runs = (image.get("state", {}).get("S") == State.RUNNING for image in (old, new))
        mine, created_at = change(old, new), float(record["ApproximateCreationDateTime"])
        if mine is not None:
            entries.append(entry := link(name, after, mine))
            after = replace(after, entries=entry.n, digest=entry.digest, at=mine.at, began=after.began or mine.at)
            after = replace(after, security_at=created_at) if SECURITY in mine.tally else after
        counters = add([after.counters, {RUNNING: runs - ran}, mine.tally if mine else {}])
        after = replace(after, sequence=record["SequenceNumber"], created_at=created_at, counters=counters)
    after = replace(after, lag=max(now - after.created_at, 0.0))
    return Batch(name, f"{fresh[0]['SequenceNumber'].zfill(_DIGITS)}-{name}", before, after, entries)


def add(tallies: Iterable[Tally]) -> Tally:
    """Add up counters; times keep milliseconds."""
    total = Counter[str]()
    for tally in tallies:
        total.update(tally)
    return {name: round(by, 3) for name, by in total.items() if by}


def link(name: str, shard: Shard, change: Change) -> Entry:
    """Make the next entry of a shard."""
    said = {name: value for name, value in change.fields.items() if name not in _PLACE}
    place = (change.chain, change.seq, name, shard.entries + 1, shard.digest)
    document: dict[str, Any] = dict(zip(_PLACE, place, strict=False)) | said
    document["hash"] = _digest(document)
    return Entry(_json(document), *(document[name] for name in _PLACE), document=document)


def read(text: str) -> Entry | None:
    """Read a line; ``None`` where it does not even say which entry it is."""
    try:
        document = json.loads(text)
        place = [document[name] for name in _PLACE]
        document["chain"].encode()  # no half of a character: no row has that, nor can it be printed
    except NONSENSE:
        return None
    if [type(one) for one in (*place, document.get("after", 0))] != [*_PLACE.values(), int]:
        return None
    rest, digest = {name: value for name, value in document.items() if name != "hash"}, document["hash"]
    sound = _json(rest | {"hash": digest}) == text and _digest(rest) == digest
    return Entry(text, *place, document=document, sound=sound)


def facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry says of its row, without where it stands."""
    return {name: value for name, value in document.items() if name not in _PLACE and name != "after"}


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json(document).encode()).hexdigest()


def _json(document: Mapping[str, Any]) -> str:
    """Write JSON of which there is one form only: in ASCII, without white space, in the order of the fields."""
    return json.dumps(document, separators=(",", ":"))


# -- what a row says


def change(old: Image, new: Image) -> Change | None:
    """Return what a write adds; ``None`` where the row has as many entries as before: such a write has none.

    ``after`` is the revision before, where that is not the one below: the row had made no sense, and was made anew.
    """
    mine, before = last_change(new), _entries(old) or 0
    if mine is None or mine.seq == before:
        return None
    return mine if mine.seq == before + 1 else replace(mine, fields={"after": before, **mine.fields})


def last_change(image: Image) -> Change | None:
    """Return what a row says of its last revision; ``None`` where it does not say which that is.

    A corrupt row has an entry that says so: nothing may keep the entries behind it from being published.
    """
    if (seq := _entries(image)) is None:
        return None
    chain = path(image)
    try:
        last = json.loads(image["last"]["S"])
        tally = {counter: by for counter, by in last.get("tally", {}).items() if abs(by) < _MOST}
        fields = {name: value for name, value in last.items() if name not in _NOT_SAID}
        if not chain.startswith("audit/"):  # or it is there for its entry alone
            fields |= _handoff({name: plain(value) for name, value in image.items()}, last)
        if len(_json(fields)) > _LONGEST:
            raise ValueError
    except NONSENSE:
        fields, tally = {"event": "unreadable"}, {}
    return Change(chain.removeprefix("audit/"), seq, fields, tally, str(image.get("arrived", {}).get("S", "")))


def _handoff(row: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the row of a handoff adds to the facts about its last write; empty values say nothing."""
    phase, said = Phase(row["phase"]), dict[str, Any]()
    if phase.done:
        said = _decided(json.loads(row["outcome"]))
    elif phase is Phase.PROCESSING:
        namespace, _, target = row["target"].partition("/")
        said = {"namespace": namespace, "target": target, "attempt": row["attempt"]}
    elif phase is Phase.RETRYING and "tally" in last:
        cause, due = Cause(json.loads(row["failure"])["cause"]), datetime.fromtimestamp(row["due_at"], UTC)
        said = {"next_retry": f"{due:%Y-%m-%dT%H:%M:%SZ}", "code": cause.code, "error_code": cause.value}
    if "asked" in last:
        asked = last["asked"] if last["asked"] != row["priority"] else None
        said |= {"priority": row["priority"], "asked_for": asked, "rule": last.get("note", "").strip(" ()")}
    return {"event": phase.value} | {name: value for name, value in said.items() if value not in (None, "", [])}


def _decided(document: Mapping[str, Any]) -> dict[str, Any]:
    outcome = Outcome(document["status"], document["archive"])
    status, error = outcome.status, outcome.status.get("error_details", {})
    return {
        "attempt": status["attempt"] or None,
        "because": status["message"] if outcome.phase is Phase.SKIPPED else None,
        "moved_to": outcome.archive,
        "package": status.get("package", {}).get("prefix"),
        "config_version": status.get("config_version"),
        "code": error.get("code"),
        "error_code": error.get("error_code"),
        "rules": [*dict.fromkeys(one["rule"] for one in error.get("validation_errors", []))],
        "status_sha256": hashlib.sha256(outcome.document).hexdigest(),
    }


def _entries(image: Image) -> int | None:
    number = image.get("entries", {}).get("N", "")
    return int(number) if number.isdecimal() else None


def path(row: Image) -> str:
    """Give a row's key as a path."""
    name = row["pk"]["S"].replace("#", "/", 1)
    return name if row["sk"]["S"] == "-" else f"{name}/{row['sk']['S']}"


def plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever an attribute holds
    """Give what an attribute holds."""
    kind, content = next(iter(value.items()))
    if kind == "L":
        return [plain(one) for one in content]
    if kind != "N":
        return content
    return int(content) if content.lstrip("-").isdecimal() else float(content)
