"""Whether an audit trail is whole: which entry of which chain was removed, altered, or put elsewhere."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from conductor_loop.audit.chain import Found, read

_MOST_MISSING = 1000  # entries in a row that are missed one by one: who adds a line can write any number into it


@dataclass(frozen=True, slots=True)
class Witness:
    """What somebody else than the trail knows of a chain: a row of the state table, a status object."""

    chain: str
    seq: int
    digest: str
    before: bool = False  # whether the chain began before what is looked at
    of: str = "the state table"
    ends: bool = False  # whether it only says where the chain ended, after the trail was read


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: at which position of which chain."""

    chain: str
    seq: int
    what: str

    def __str__(self) -> str:
        return f"{_named(self.chain)}: entry {self.seq} {self.what}"


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


def verify(lines: Iterable[str], witnesses: Sequence[Witness]) -> Verdict:
    """Hold the lines of a trail, in its order, against one another and against the witnesses.

    A line may be there more than once: who publishes them repeats what may not have arrived. So an order is right where
    the entries can be read in it, one after the other, somewhere among the lines.
    """
    verdict, chains = Verdict(), defaultdict[str, list[Found]](list)
    for line in lines:
        found = read(line)
        if found is None:
            verdict.illegible += 1
        else:
            chains[found.chain].append(found)
    told = defaultdict[str, list[Witness]](list)
    for witness in witnesses:
        told[witness.chain].append(witness)
    for name in sorted({*chains, *told}):
        entries, findings = _chain(name, chains.get(name, []), told[name])
        verdict.chains += bool(entries)
        verdict.entries += entries
        verdict.findings += findings
    return verdict


def _chain(name: str, found: Sequence[Found], witnesses: Sequence[Witness]) -> tuple[int, list[Finding]]:
    sound = {one.seq: one for one in found if one.sound}
    findings = {one.seq: "was altered" for one in found if not one.sound}
    findings |= {
        one.seq: "is there twice, and differs: one was put in" for one in found if _differs(one, sound.get(one.seq))
    }
    unknown = _unknown(sound, witnesses)
    known = {*sound, *(one.seq for one in witnesses if not one.ends)} - unknown
    first = min(known, default=1) if any(one.before for one in witnesses) else 1
    far = {seq for seq in known if seq > first + len(known) + _MOST_MISSING}
    findings |= dict.fromkeys(unknown, "is not known to the state table: it was put in")
    findings |= dict.fromkeys(far, "is far from all others: it was put in, or those between are missing")
    last = max(known - far, default=0)
    for seq in range(first, last + 1):
        before = sound.get(seq - 1) if seq - 1 not in findings else None
        if seq not in findings and (wrong := _wrong(seq, sound.get(seq), before, witnesses)):
            findings[seq] = wrong
    if not findings:
        findings |= _moved([one.seq for one in found], first, last)
    return len(sound), [Finding(name, seq, what) for seq, what in sorted(findings.items())]


def _unknown(sound: Iterable[int], witnesses: Sequence[Witness]) -> set[int]:
    """Give the entries that cannot be: before the first one, and behind the end of the chain."""
    end = max((one.seq for one in witnesses if one.ends), default=math.inf)
    return {seq for seq in sound if not 1 <= seq <= end}


def _differs(one: Found, other: Found | None) -> bool:
    return one.sound and other is not None and one.digest != other.digest


def _wrong(seq: int, mine: Found | None, before: Found | None, witnesses: Sequence[Witness]) -> str:
    if mine is None:
        return "is missing"
    if (before is not None and mine.prev != before.digest) or (seq == 1 and mine.prev):
        return "does not follow the one before it: one of them was replaced"
    for witness in witnesses:
        if witness.seq == seq and witness.digest != mine.digest:
            return f"is another one than {witness.of} knows: it was replaced"
    return ""


def _moved(order: Sequence[int], first: int, last: int) -> dict[int, str]:
    """Find the first entry that does not stand behind the one before it."""
    rest = iter(order)
    for seq in range(first, last + 1):
        if seq not in rest:  # reads on, up to it
            return {seq: f"stands before entry {seq - 1}: they were put into another order"}
    return {}


def _named(chain: str) -> str:
    """Name what a chain is about, as people know it."""
    kind, _, rest = chain.partition("/")
    if kind != "intent":
        return chain
    file, _, version = rest.rpartition("/")
    return f"{file} (version {version})"
