"""The state table in memory: the same promises as DynamoDB's, held to them by tests/integration."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from conductor_loop.app import Cursor
from conductor_loop.audit.entries import timestamp
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Conflict, Last, Row, State, Target, Write, earliest, latest
from conductor_loop.storage.rows import anew, attributes, last_of, last_value, listed_values, text


@dataclass(frozen=True)
class Written:
    """A write, as the table's stream has it."""

    image: dict[str, Any]
    before: "Written | None" = field(repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """Give the record of the stream, but for its place there."""
        return {"NewImage": self.image} | ({"OldImage": self.before.image} if self.before else {})


@dataclass
class MemoryState:
    """The state table's rows; each method is one atomic write, or a read."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # name to the order and id of its newest version
    correlations: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, Unreadable] = field(default_factory=dict)  # rows that make no sense, by their path
    swept_to: Cursor | None = None

    def __post_init__(self) -> None:  # what no write depends on
        self.written: list[Written] = []  # oldest first
        self.newest: dict[tuple[str, str], Written] = {}  # of each row

    @property
    def unclean(self) -> set[tuple[str, str]]:
        """Give the rows of handoffs that are to be cleaned up after."""
        return {key for key, row in self.rows.items() if row.state is State.DONE and row.due_at}

    def write(self, write: Write) -> Conflict | None:
        mine, lease = _path(write.handoff), write.lease
        if mine in self.corrupt and not self.rows.get(_id(write.handoff), Row()).rev == write.before.rev != 0:
            raise self.corrupt[mine]
        if lease and (path := f"target/{lease.target}") in self.corrupt:
            raise self.corrupt[path]
        conflict = self._conflict(write)
        if conflict is not None:
            return conflict
        self._keep(write)
        if self.corrupt.pop(mine, None) and write.before.state is write.after.state:
            self.spoil(*_id(write.handoff))  # which no write of other fields makes sound
        if write.lease is not None:
            self.targets[write.lease.target] = write.lease.after
        if write.newest:
            self.names[write.handoff.key] = (latest(write.handoff.order), write.newest)
        if write.correlation_id:
            self.correlations[write.correlation_id] = write.handoff.file
        return None

    def _conflict(self, write: Write) -> Conflict | None:
        row, lease = self.rows.get(_id(write.handoff), Row()), write.lease
        target = self.targets.get(lease.target, Target()) if lease else Target()
        user = self.correlations.get(write.correlation_id, write.handoff.file)
        conflict = Conflict(
            row=None if row.rev == write.before.rev else row,
            target=None if lease is None or target.rev == lease.before.rev else target,
            newer_version=self._newer(write.handoff) if write.newest else None,
            correlated_file=None if user == write.handoff.file else user,
        )
        return None if conflict == Conflict() else conflict

    def _newer(self, handoff: Handoff) -> str | None:
        """Give the newest version of the name, unless this one is certainly not older."""
        last_order, last_version = self.names.get(handoff.key, ("", handoff.version_id))
        is_newest = last_version == handoff.version_id or last_order <= earliest(handoff.order)
        return None if is_newest else last_version

    def _keep(self, write: Write) -> None:
        """Change the fields that the write changes; the others stay as they are."""
        row, before, after = self.rows.get(_id(write.handoff), Row()), write.before, write.after
        names = [one.name for one in fields(Row)]
        changed = {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}
        self._put(write.handoff, replace(row, **changed), write)

    def _put(self, handoff: Handoff, row: Row, write: Write | None, last: Last | None = None) -> None:
        self.rows[_id(handoff)] = row
        before = self.newest.get(_id(handoff))
        old = before.image if before else {}
        image = {"pk": text(f"intent#{handoff.key}"), "sk": text(handoff.version_id), **attributes(row)}
        image |= listed_values(handoff, 0.0)
        image |= {"last": old["last"]} if "last" in old else {}
        image |= {"last": last_of(write)} if write is not None and write.last is not None else {}
        image |= {"last": last_value(last)} if last is not None else {}
        self.newest[_id(handoff)] = Written(image, before)
        self.written.append(self.newest[_id(handoff)])

    def outrank(self, handoff: Handoff, older: Collection[str], now: float) -> None:
        del now
        if self._newer(handoff) in {None, *older}:
            self.names[handoff.key] = (latest(handoff.order), handoff.version_id)

    def reset(self, error: Unreadable, now: float, last: Last) -> bool:
        if self.corrupt.pop(error.name, None) is None:
            return False  # another one did it
        kind, _, name = error.name.partition("/")
        if kind == "intent":
            key, _, version_id = name.rpartition("/")
            facts = {"at": timestamp(now), "event": "reset", **last}
            self._put(Handoff("", key, version_id), anew(error.row, now), None, facts)
        elif kind == "target":
            self.targets.pop(name, None)
        return True

    def find(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row]:
        there = [one for one in handoffs if _id(one) in self.rows and _path(one) not in self.corrupt]
        return {handoff: self.rows[_id(handoff)] for handoff in there}

    def spoil(self, name: str, version: str) -> None:
        """Make a handoff's row corrupt: only its state makes no sense."""
        path = f"intent/{name}/{version}"
        self.corrupt[path] = Unreadable(path, {**self.newest[name, version].image, "state": {"S": "garbage"}})

    def target(self, name: str) -> Target:
        if (path := f"target/{name}") in self.corrupt:
            raise self.corrupt[path]
        return self.targets.get(name, Target())

    def ahead(self, name: str) -> Callable[[], Target]:
        """Read it at once: until the result is asked for, others write."""
        try:
            found = self.target(name)
        except Unreadable:
            return lambda: self.target(name)
        return lambda: found

    def correlated(self, correlation_id: str, now: float) -> str | None:
        del now  # none of them expires
        return self.correlations.get(correlation_id)

    def read(self, handoffs: Iterable[Handoff]) -> dict[Handoff, Row | Unreadable]:
        handoffs = list(handoffs)
        return {
            **self.find(handoffs),
            **{one: self.corrupt[path] for one in handoffs if (path := _path(one)) in self.corrupt},
        }

    def uncleaned(self, bucket: str, now: float, most: int) -> list[Handoff]:
        due = sorted((self.rows[key].due_at, key) for key in self.unclean if self.rows[key].due_at <= now)
        return [Handoff(bucket, *key) for _, key in due[:most]]

    def cursor(self) -> Cursor | None:
        return self.swept_to

    def keep_cursor(self, cursor: Cursor | None) -> None:
        self.swept_to = cursor


def _id(handoff: Handoff) -> tuple[str, str]:
    return handoff.key, handoff.version_id


def _path(handoff: Handoff) -> str:
    return f"intent/{handoff.key}/{handoff.version_id}"
