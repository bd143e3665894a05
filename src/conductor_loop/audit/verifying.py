"""Whether an audit trail is whole: which entry of which handoff was removed, altered, or put elsewhere."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from conductor_loop.audit.chain import Change, Found, Head, fields_of, read

_MOST_MISSING = 1000  # entries in a row that are missed one by one: who adds a line can write any number into it
_ALTERED, _MISSING = "was altered", "is missing"
_OF_TABLE, _OF_STATUS = (f"is another one than {of} knows: it was replaced" for of in ("the state table", "its status"))
_FAR = "is far from all others: it was put in, or those between are missing"
_PUT_IN = "is not known to the state table: it was put in"


@dataclass(frozen=True, slots=True)
class Witness:
    """A row of the state table: what it says of its last write."""

    last: Change
    due: bool = True  # whether the entry of that write must be among the lines
    before: bool = False  # whether there were entries before the first line

    @property
    def fields(self) -> dict[str, Any]:
        """Give what the entry of that write says."""
        return fields_of(self.last.fields)


@dataclass(frozen=True, slots=True)
class End:
    """Where the chain of a shard ends, as the state table has it."""

    head: Head
    due: bool = True  # whether its last entry must be among the lines
    before: bool = False  # whether it had entries before the first line


@dataclass(frozen=True, slots=True)
class StatusDigest:
    """A status object: which version of which handoff it is about, and its digest."""

    chain: str
    digest: str


def read_status(body: bytes) -> tuple[float, StatusDigest | None]:
    """Read which decision a status object tells of, and when that was made (epoch seconds).

    ``None`` if of none: it is corrupt, or of a retry, whose status is replaced.
    """
    try:
        status = json.loads(body)
        digest = StatusDigest(
            f"intent/{status['intent_file']}/{status['version_id']}", hashlib.sha256(body).hexdigest()
        )
        return datetime.fromisoformat(status["timestamp"]).timestamp(), None if "next_retry" in status else digest
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0, None


@dataclass(frozen=True, slots=True)
class Known:
    """What the state table and the statuses say; read after the lines."""

    rows: Sequence[Witness] = ()
    statuses: Sequence[StatusDigest] = ()
    shards: Mapping[str, End] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: at which position of what, or with all of it (position 0)."""

    chain: str
    seq: int
    what: str

    def __str__(self) -> str:
        return f"{_named(self.chain)}: {f'entry {self.seq} ' if self.seq else ''}{self.what}"


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what was found."""

    chains: int = 0
    entries: int = 0
    findings: list[Finding] = field(default_factory=list)
    illegible: int = 0  # lines that do not even say which entry they are

    @property
    def wrong(self) -> int:
        """How much was found."""
        return len(self.findings) + self.illegible


def verify(lines: Iterable[str], known: Known) -> Verdict:
    """Compare the lines of a trail with one another, and with what the state table and the statuses say.

    A line may be there more than once: what may not have arrived is published again. So an order is right where the
    entries can be read in it, one after the other, somewhere among the lines.
    """
    verdict, found = Verdict(), [read(line) for line in lines]
    verdict.illegible = found.count(None)
    entries = [one for one in found if one is not None]
    histories = _histories(entries, known)
    for history in histories:
        verdict.chains += bool(history.sound)
        verdict.entries += len(history.sound)
    findings = {(one.chain, one.seq): one for history in histories for one in history.findings()}
    links = _Links(entries, known.shards, {one.last.chain for one in known.rows})
    for one in links.broken():
        findings.setdefault((one.chain, one.seq), one)
    explained = sum(one.what in {_ALTERED, _MISSING, _FAR} or not one.seq for one in findings.values())
    gaps = list(links.gaps())
    if sum(count for _, _, count in gaps) > explained:
        findings |= {(shard, n): Finding(shard, n, _gap(count)) for shard, n, count in gaps}
    verdict.findings = sorted(findings.values(), key=lambda one: (one.chain, one.seq))
    return verdict


def _gap(count: int) -> str:
    more = f", with {count - 1} behind it" if count > 1 else ""
    return f"is missing{more}; no row and no status says what it was about"


@dataclass(slots=True)
class _History:
    """The entries about one row, and what is known of it."""

    chain: str
    found: list[Found] = field(default_factory=list)  # in the order of the lines
    row: Witness | None = None
    statuses: list[str] = field(default_factory=list)  # digests

    @property
    def sound(self) -> dict[int, Found]:
        return {one.seq: one for one in self.found if one.sound}

    def findings(self) -> list[Finding]:
        sound = self.sound
        wrong = {one.seq: _ALTERED for one in self.found if not one.sound}
        wrong |= {
            one.seq: "is there twice, and differs: one was put in"
            for one in self.found
            if one.sound and one.digest != sound[one.seq].digest
        }
        unknown = {seq for seq in sound if seq < 1 or (self.row is not None and seq > self.row.last.seq)}
        wrong |= dict.fromkeys(unknown, _PUT_IN)
        known = sorted({*sound, *({self.row.last.seq} if self.row is not None and self.row.due else ())} - unknown)
        wrong = self._missing(known) | wrong
        if self.row is not None and (mine := sound.get(self.row.last.seq)) and mine.fields != self.row.fields:
            wrong.setdefault(mine.seq, _OF_TABLE)
        wrong |= {seq: what for seq, what in self._untold() if not wrong}
        wrong = wrong or _moved([one.seq for one in self.found], known)
        return [Finding(self.chain, seq, what) for seq, what in wrong.items()]

    def _missing(self, known: Sequence[int]) -> dict[int, str]:
        """Name what is missing of 1 to the last; of one that began before the lines, from the first that is known."""
        wrong: dict[int, str] = {}
        sound = self.sound
        last = known[0] - 1 if known and self.row is not None and self.row.before else 0
        for seq in known:
            mine = sound.get(seq)
            until = seq if mine is None else mine.document.get("after", seq - 1)  # behind that, it was made anew
            if type(until) is not int or until - last > _MOST_MISSING:
                wrong[seq] = _FAR
                continue
            wrong |= dict.fromkeys(range(last + 1, until + 1), _MISSING)
            last = seq
        return wrong

    def _untold(self) -> Iterable[tuple[int, str]]:
        """Hold the statuses against the entries about them."""
        entries = {str(one.document.get("status_sha256", "")): seq for seq, one in self.sound.items()}
        entries.pop("", None)
        for digest in self.statuses:
            if digest not in entries:
                seq = max(entries.values(), default=0)
                yield seq, _OF_STATUS if seq else "the entry about its status is missing"


def _histories(entries: Iterable[Found], known: Known) -> list[_History]:
    found: dict[str, _History] = {}
    for one in entries:
        found.setdefault(one.chain, _History(one.chain)).found.append(one)
    for row in known.rows:
        found.setdefault(row.last.chain, _History(row.last.chain)).row = row
    for status in known.statuses:
        found.setdefault(status.chain, _History(status.chain)).statuses.append(status.digest)
    return [found[chain] for chain in sorted(found)]


def _moved(order: Sequence[int], known: Sequence[int]) -> dict[int, str]:
    """Find the first entry that does not stand behind the one before it."""
    rest = iter(order)
    for before, seq in pairwise([0, *known]):
        if seq not in rest:  # reads on, up to it
            return {seq: f"stands before entry {before}: they were put into another order"}
    return {}


class _Links:
    """The chains of the shards."""

    def __init__(self, entries: Iterable[Found], ends: Mapping[str, End], rows: Collection[str]) -> None:
        self._shards: defaultdict[str, dict[int, list[Found]]] = defaultdict(dict)
        self._ends, self._rows = ends, rows
        for one in entries:
            if one.sound and one not in (others := self._shards[one.shard].setdefault(one.n, [])):
                others.append(one)

    def broken(self) -> Iterable[Finding]:
        """Name entries that do not follow the one before them, or that the state table does not know."""
        for shard, places in self._shards.items():
            for n, found in places.items():
                for one in found:
                    if what := self._wrong(one, places.get(n - 1, []), self._ends.get(shard)):
                        yield Finding(one.chain, one.seq, what)

    def _wrong(self, mine: Found, before: Sequence[Found], end: End | None) -> str:
        if (mine.n == 1 and mine.prev) or (before and mine.prev not in {one.digest for one in before}):
            return "does not follow the one before it: one of them was replaced"
        if end is None:
            return ""
        if mine.n == end.head.n and mine.digest != end.head.digest:
            return _OF_TABLE
        return _PUT_IN if mine.n > end.head.n and mine.chain not in self._rows else ""  # else it is on its way there

    def gaps(self) -> Iterable[tuple[str, int, int]]:
        """Give the shards, the first entry that is missing, and how many are, for each gap."""
        for shard in sorted({*self._shards, *self._ends}):
            there, end = sorted(self._shards.get(shard, {})), self._ends.get(shard)
            if end is not None:
                there = [n for n in there if n <= end.head.n]
                first = min([*there, end.head.n]) if end.before else 1
                there = [first - 1, *there, *([end.head.n + 1] if end.due else [])]
            for before, after in pairwise(there):
                if after > before + 1:
                    yield shard, before + 1, after - before - 1


def _named(chain: str) -> str:
    """Name what a chain is about, as people know it."""
    kind, _, rest = chain.partition("/")
    if kind != "intent":
        return chain
    file, _, version = rest.rpartition("/")
    return f"{file} (version {version})"
