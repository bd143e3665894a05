"""Whether an audit trail is whole: which entry of which handoff was removed, altered, or put elsewhere; pure."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from conductor_loop.audit.entries import NONSENSE, Change, Entry, Shard, facts, read, timestamp

_MOST_MISSING = 1000  # entries in a row that are missed one by one: a line that is put in can have any number
_ALTERED, _MISSING = "was altered", "is missing"
_OF_TABLE, _OF_STATUS = (f"is another one than {of} knows: it was replaced" for of in ("the state table", "its status"))
_FAR = "is far from all others: it was put in, or those between are missing"
_TWICE = "is there twice, and differs: one was put in"
_PUT_IN = "is not known to the state table: it was put in"
_NOT_NEXT = "does not follow the one before it: one of them was replaced"

type Places = dict[tuple[str, int], str]  # what is wrong, by chain and position


@dataclass(frozen=True, slots=True)
class Known:
    """What the state table and the statuses say of a time; read after the lines."""

    rows: Sequence[Change] = ()  # their last changes
    statuses: Sequence[Change] = ()  # what the status objects say of the entries about them
    shards: Mapping[str, Shard] = field(default_factory=dict)
    since: str = ""  # what was published before is not among the lines
    until: str = "~"  # what happened since may still be on its way to them

    def has(self, at: str) -> bool:
        """Whether an entry of that time must be among the lines."""
        return self.since <= at <= self.until


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something that is wrong: at which position of what, or with all of it (position 0)."""

    chain: str
    seq: int
    what: str

    def __str__(self) -> str:
        kind, _, name = self.chain.partition("/")
        file, _, version = name.rpartition("/")
        named = f"{file} (version {version})" if kind == "intent" else self.chain
        return f"{named}: {f'entry {self.seq} ' if self.seq else ''}{self.what}"


@dataclass(slots=True)
class Verification:
    """What was looked at, and what was found."""

    chains: int = 0
    entries: int = 0
    findings: list[AuditFinding] = field(default_factory=list)
    illegible: int = 0  # lines that do not even say which entry they are

    @property
    def wrong(self) -> int:
        """How much was found."""
        return len(self.findings) + self.illegible


def read_status(body: bytes) -> Change | None:
    """Return what a status object says of its entry; ``None`` if it is corrupt, or of a retry, and replaced later."""
    try:
        status = json.loads(body)
        at = timestamp(datetime.fromisoformat(status["timestamp"]).timestamp())
        chain = f"intent/{status['intent_file']}/{status['version_id']}"
    except NONSENSE:
        return None
    fields = {"at": at, "status_sha256": hashlib.sha256(body).hexdigest()}
    return None if "next_retry" in status else Change(chain, 0, fields)


def verify(lines: Iterable[str], known: Known) -> Verification:
    """Compare the lines of a trail with one another, and with what the state table and the statuses say.

    A line may be there more than once: what may not have arrived is published again. So an order is right where the
    entries can be read in it, one after the other, somewhere among the lines.
    """
    found = [read(line) for line in lines]
    entries = [one for one in found if one is not None]
    sound = [one for one in entries if one.sound]
    rows = {row.chain: row for row in known.rows}
    wrong = _check_links(sound, rows, known) | _check_rows(entries, rows, known)
    places = {(one.chain, one.seq) for one in sound}
    explained = sum(what == _FAR or place not in places for place, what in wrong.items())
    gaps = list(_gaps(sound, known))
    for shard, n, count in gaps if sum(count for *_, count in gaps) > explained else ():
        more = f", with {count - 1} behind it" if count > 1 else ""
        wrong[shard, n] = f"is missing{more}; no row and no status says what it was about"
    return Verification(
        chains=len({one.chain for one in sound}),
        entries=len(places),
        findings=[AuditFinding(*place, what) for place, what in sorted(wrong.items())],
        illegible=len(found) - len(entries),
    )


# -- the entries about a row


def _check_rows(entries: Iterable[Entry], rows: Mapping[str, Change], known: Known) -> Places:
    found, statuses = defaultdict[str, list[Entry]](list), defaultdict[str, list[str]](list)
    for one in entries:
        found[one.chain].append(one)
    for status in known.statuses:
        if known.has(status.at):
            statuses[status.chain].append(status.fields["status_sha256"])
    return {
        (chain, seq): what
        for chain in {*found, *rows, *statuses}
        for seq, what in _check_row(found[chain], rows.get(chain), statuses[chain], known).items()
    }


def _check_row(found: Sequence[Entry], row: Change | None, statuses: Iterable[str], known: Known) -> dict[int, str]:
    sound = {one.seq: one for one in found if one.sound}
    last = row.seq if row else max(sound, default=0)
    wrong = {one.seq: _ALTERED for one in found if not one.sound}
    wrong |= {one.seq: _TWICE for one in found if one.sound and one.digest != sound[one.seq].digest}
    wrong |= {seq: _PUT_IN for seq in sound if not 0 < seq <= last}
    due = {last} if row and known.has(row.at) else set[int]()
    expected = sorted({seq for seq, one in sound.items() if 0 < seq <= last and _at(one) <= known.until} | due)
    is_older = (row.began if row else "") < known.since
    wrong = _missing(sound, expected, expected[0] - 1 if expected and is_older else 0) | wrong
    if row and last in sound and facts(sound[last].document) != facts(row.fields):
        wrong.setdefault(last, _OF_TABLE)
    decided = {str(one.document.get("status_sha256", "")): seq for seq, one in sound.items()}
    if not wrong and not decided.keys() >= {*statuses}:
        seq = max((seq for digest, seq in decided.items() if digest), default=0)
        wrong[seq] = _OF_STATUS if seq else "the entry about its status is missing"
    return wrong or _moved([one.seq for one in found], expected)


def _missing(sound: Mapping[int, Entry], expected: Sequence[int], last: int) -> dict[int, str]:
    """Name what is missing behind the last one that may be."""
    wrong: dict[int, str] = {}
    for seq in expected:
        until = sound[seq].document.get("after", seq - 1) if seq in sound else seq  # behind that, it was made anew
        if type(until) is not int or until - last > _MOST_MISSING:
            wrong[seq] = _FAR
            continue
        wrong |= dict.fromkeys((one for one in range(last + 1, until + 1) if one not in sound), _MISSING)
        last = seq
    return wrong


def _moved(order: Iterable[int], expected: Sequence[int]) -> dict[int, str]:
    rest = iter(order)
    for before, seq in pairwise([0, *expected]):
        if seq not in rest:  # reads on, up to it
            return {seq: f"stands before entry {before}: they were put into another order"}
    return {}


# -- the chains of the shards


def _check_links(sound: Iterable[Entry], rows: Collection[str], known: Known) -> Places:
    digests = defaultdict[tuple[str, int], set[str]](set)
    for one in sound:
        digests[one.shard, one.n].add(one.digest)
    wrong: Places = {}
    for one in sound:
        before, end = digests.get((one.shard, one.n - 1)), known.shards.get(one.shard)
        if (one.n == 1 and one.prev) or (before and one.prev not in before):
            wrong[one.chain, one.seq] = _NOT_NEXT
        elif end and one.n == end.entries and one.digest != end.digest:
            wrong[one.chain, one.seq] = _OF_TABLE
        elif end and one.n > end.entries and one.chain not in rows:  # else it is on its way there
            wrong[one.chain, one.seq] = _PUT_IN
    return wrong


def _gaps(sound: Iterable[Entry], known: Known) -> Iterator[tuple[str, int, int]]:
    """Give the shards, the first entry that is missing, and how many are, for each gap.

    Only between entries of the time: of the batches at its ends, the lines may have a part.
    """
    found = defaultdict[str, dict[int, str]](dict)
    for one in sound:
        found[one.shard][one.n] = _at(one)
    for shard in sorted({*found, *known.shards}):
        end = known.shards.get(shard)
        there = {n: at for n, at in found[shard].items() if end is None or n <= end.entries}
        edges = {1: end.began, end.entries: end.at} if end and end.entries else {}
        due = sorted(n for n, at in (there | edges).items() if known.has(at))
        between = [due[0] - 1, *(n for n in sorted(there) if due[0] <= n <= due[-1]), due[-1] + 1] if due else []
        yield from ((shard, n + 1, after - n - 1) for n, after in pairwise(between) if after > n + 1)


def _at(entry: Entry) -> str:
    return str(entry.document.get("at", ""))
