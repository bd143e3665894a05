"""The state table in memory: the adapter itself, over a dictionary in the place of DynamoDB's client.

Of expressions it knows what the adapter writes; tests/integration holds both equal.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

from conductor_loop.audit.entries import plain
from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Row, Target
from conductor_loop.storage.rows import Key, key_of, read_row, read_target, text
from conductor_loop.storage.state import DynamoDBStateTable, Operation
from conductor_loop.storage.table import Item

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {"=": operator.eq, "<=": operator.le, "<": operator.lt}


class MemoryState(DynamoDBStateTable):
    """Rows by their keys; each method is one atomic write, or a read."""

    def __init__(self) -> None:
        client: Any = SimpleNamespace(put_item=partial(self._apply, "Put"))
        super().__init__(client, "state", keep_seconds=3600, jitter=lambda: 0.0)
        self.items: dict[Key, Item] = {}
        self.rows: dict[tuple[str, str], Row] = {}  # of handoffs; a corrupt one as it was before
        self.written: list[dict[str, Item]] = []  # records of the stream about handoffs, oldest first

    @property
    def unclean(self) -> list[Handoff]:
        """Give the handoffs that are to be cleaned up after."""
        return self.uncleaned("", float("inf"), len(self.items))

    def spoil(self, name: str, version: str = "-", kind: str = "intent") -> None:
        """Make a row corrupt; what else it says stays."""
        key = Key(kind, name, version)
        self.items[key] = {**key.item, **self.get(key), "state": text("garbage")}

    def lose(self, kind: str) -> None:
        """Lose all rows of a kind."""
        self.items = {key: item for key, item in self.items.items() if key.kind != kind}

    def get(self, key: Key) -> Item:
        return self.items.get(key, {})

    def get_some(self, keys: Iterable[Key]) -> Iterator[Item]:
        return (self.items[key] for key in keys if key in self.items)

    def ahead(self, name: str) -> Callable[[], Target]:
        """Read it at once: until the result is asked for, others write."""
        return partial(read_target, self.get(Key("target", name)))

    def uncleaned(self, bucket: str, now: float, most: int) -> list[Handoff]:
        rows = [(float(item["due_at"]["N"]), key) for key, item in self.items.items() if "clean_up" in item]
        due = sorted((at, key.name, key.version) for at, key in rows if at <= now)
        return [Handoff(bucket, name, version) for _, name, version in due[:most]]

    def _send(self, operations: Mapping[str, Operation]) -> Mapping[str, Item] | None:
        asked = [(kind, *next(iter(one.items()))) for kind, one in operations.items()]
        refused = {kind: self.get(_key(given)) for kind, _, given in asked if not _holds(given, self.get(_key(given)))}
        for _, how, given in [] if refused else asked:
            self._apply(how, **given)
        return refused or None

    def _apply(self, how: str, **given: Any) -> None:
        key = _key(given)
        before = self.items.pop(key, {})
        if how == "Delete":
            return
        self.items[key] = image = given["Item"] if how == "Put" else _updated(given, before)
        if key.kind == "intent":
            self.written.append({"NewImage": image, "OldImage": before})
            with suppress(Unreadable):
                self.rows[key.name, key.version] = read_row(image)


def _key(given: Mapping[str, Any]) -> Key:
    return key_of(given.get("Key") or given["Item"])


def _updated(given: Mapping[str, Any], before: Item) -> Item:
    values = given["ExpressionAttributeValues"]
    changed = {name: values.get(f":{name}") for name in given["ExpressionAttributeNames"].values()}
    if_missing = {name for name in changed if f"if_not_exists(#{name}, " in given["UpdateExpression"]}
    changed |= {name: before[name] for name in if_missing & before.keys()}
    kept = {name: value for name, value in {**before, **changed}.items() if value is not None}
    return {**given["Key"], **kept}


def _holds(given: Mapping[str, Any], row: Item) -> bool:
    """Say whether the condition of an operation holds for a row: one of its alternatives, with all of its clauses."""
    condition = given.get("ConditionExpression")
    return condition is None or any(
        all(_is_true(clause, given, row) for clause in one.split(" AND ")) for one in condition.split(" OR ")
    )


def _is_true(clause: str, given: Mapping[str, Any], row: Item) -> bool:
    if clause.endswith(")"):
        function, _, name = clause[:-1].partition("(")
        return (name in row) is {"attribute_exists": True, "attribute_not_exists": False}[function]
    name, comparison, wanted = clause.split()
    there = row.get(given["ExpressionAttributeNames"].get(name, name), {})
    value = given["ExpressionAttributeValues"][wanted]
    return there.keys() == value.keys() and _COMPARISONS[comparison](plain(there), plain(value))
