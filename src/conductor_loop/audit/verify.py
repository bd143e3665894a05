"""Whether an audit trail is whole: which entry of which handoff was removed, altered, or put elsewhere; pure."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from conductor_loop.audit.entries import NONSENSE, Change, Entry, Shard, facts, read, timestamp

_ALTERED = "was altered"
_OF_TABLE, _OF_STATUS = (f"is another one than {of} knows: it was replaced" for of in ("the state table", "its status"))
_TWICE = "is there twice, and differs: one was put in"
_PUT_IN = "is not known to the state table: it was put in"
_OF_SHARD = "is another one than its shard has there: it was replaced, or put in"

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
        """Whether an entry of that time (empty: unknown) must be among the lines."""
        return at != "" and self.since <= at <= self.until


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
    chains, shards, rows = _by("chain", entries), _by("shard", entries), {row.chain: row for row in known.rows}
    statuses = _by("chain", (one for one in known.statuses if known.has(one.at)))
    wrong: Places = {}
    for shard in {*shards, *known.shards}:
        wrong |= _check_shard(shard, shards[shard], rows, known)
    for chain in {*chains, *rows, *statuses}:
        of_row = _check_row(chains[chain], rows.get(chain), statuses[chain], known)
        wrong |= {(chain, seq): what for seq, what in of_row.items()}
    return Verification(
        chains=len({one.chain for one in sound}),
        entries=len({(one.chain, one.seq) for one in sound}),
        findings=[AuditFinding(*place, what) for place, what in sorted(wrong.items())],
        illegible=len(found) - len(entries),
    )


def _by[T](name: str, ones: Iterable[T]) -> defaultdict[str, list[T]]:
    grouped = defaultdict[str, list[T]](list)
    for one in ones:
        grouped[getattr(one, name)].append(one)
    return grouped


def _gaps(there: Mapping[int, int], first: int, last: int) -> dict[int, str]:
    """Name what is missing from the first to the last position; of those that are ``there``, it says the one before."""
    wrong, before = dict[int, str](), first - 1
    for one in [*sorted(one for one in there if first <= one <= last), last + 1]:
        if (missing := there.get(one, one - 1) - before) > 0:
            wrong[before + 1] = f"is missing, with {missing - 1} behind it" if missing > 1 else "is missing"
        before = one
    return wrong


def _check_row(found: Sequence[Entry], row: Change | None, statuses: Iterable[Change], known: Known) -> dict[int, str]:
    """Hold the entries about a row against it and its statuses, and miss those between; by their positions."""
    sound = {one.seq: one for one in found if one.sound}
    last = row.seq if row else max(sound, default=0)
    wrong = {one.seq: _ALTERED for one in found if not one.sound}
    wrong |= {one.seq: _TWICE for one in found if one.sound and one.digest != sound[one.seq].digest}
    wrong |= {seq: _PUT_IN for seq in sound if not 0 < seq <= last}
    due = {last} if row and known.has(row.at) else set[int]()
    expected = sorted({seq for seq, one in sound.items() if 0 < seq <= last and _at(one) <= known.until} | due)
    is_older = (row.began if row else "") < known.since
    there = {one.seq: one.seq - 1 for one in found}
    there |= {seq: one.document.get("after", seq - 1) for seq, one in sound.items()}  # it was made anew behind that
    wrong = _gaps(there, expected[0] if expected and is_older else 1, max(expected, default=0)) | wrong
    if row and last in sound and facts(sound[last].document) != facts(row.fields):
        wrong.setdefault(last, _OF_TABLE)
    decided = {str(one.document.get("status_sha256", "")): seq for seq, one in sound.items()}
    if not wrong and not decided.keys() >= {one.fields["status_sha256"] for one in statuses}:
        seq = max((seq for digest, seq in decided.items() if digest), default=0)
        wrong[seq] = _OF_STATUS if seq else "the entry about its status is missing"
    return wrong or _moved([one.seq for one in found], expected)


def _moved(order: Iterable[int], expected: Sequence[int]) -> dict[int, str]:
    rest = iter(order)
    for before, seq in pairwise([0, *expected]):
        if seq not in rest:  # reads on, up to it
            return {seq: f"stands before entry {before}: they were put into another order"}
    return {}


def _check_shard(shard: str, found: Sequence[Entry], rows: Collection[str], known: Known) -> Places:
    """Hold each entry of a shard against the digest that the one behind it has, or the table; and miss those between.

    Only between entries of the time: of the batches at its ends, the lines may have a part.
    """
    sound = [one for one in found if one.sound]
    last = max(sound, key=lambda one: one.n, default=None)
    end = known.shards.get(shard) or (Shard(entries=last.n, digest=last.digest) if last else Shard())
    digests = defaultdict[int, set[str]](set)
    for one in sound:
        digests[one.n - 1].add(one.prev)
    digests[end.entries] = {end.digest}  # whatever a line behind it says
    replaced = [one for one in sound if one.digest not in digests.get(one.n, {one.digest})]
    more = [one for one in sound if one.n > end.entries and one.chain not in rows]  # others are on their way there
    times = {1: end.began, end.entries: end.at} | {one.n: _at(one) for one in sound if one.n <= end.entries}
    due = [n for n, at in times.items() if known.has(at)]
    gaps = _gaps({one.n: one.n - 1 for one in found}, min(due, default=1), max(due, default=0))
    wrong = {(one.chain, one.seq): _OF_SHARD for one in replaced} | {(one.chain, one.seq): _PUT_IN for one in more}
    return wrong | {(shard, n): what for n, what in gaps.items()}


def _at(entry: Entry) -> str:
    return str(entry.document.get("at", ""))
