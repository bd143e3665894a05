"""What DynamoDB bills for a write, from the items as they were before and after it.

A write unit is 1 KB of the larger of the two; a transaction takes two for each. An index is written where its key
changes: once where an item enters or leaves it, or else twice, also behind a transaction, since indexes follow by
themselves. Source: Amazon DynamoDB developer guide, "Read/write capacity" and "Global secondary indexes", read for this
model in 2026-11.
"""

import math
from collections.abc import Mapping
from typing import Any

type Item = Mapping[str, Mapping[str, Any]]

INDEXES = {
    "by-day": ("arrival_day", "arrived"),
    "clean-up": ("clean_up", "due_at"),
}  # their keys: they hold nothing else
_KEYS = ("pk", "sk")
_UNIT = 1024  # bytes
_READ_UNIT = 4096  # bytes


def size(item: Item) -> int:
    """Count the bytes of an item: its names and its values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def writes(before: Item, after: Item, *, transaction: bool) -> int:
    """Count the write units of one item's write, its indexes included."""
    table = max(1, math.ceil(max(size(before), size(after)) / _UNIT)) * (2 if transaction else 1)
    return table + sum(_index_writes(before, after, index) for index in INDEXES.values())


def strong_reads(item: Item) -> int:
    """Count the read units of one consistent read."""
    return max(1, math.ceil(size(item) / _READ_UNIT))


def _index_writes(before: Item, after: Item, key: tuple[str, ...]) -> int:
    was, is_ = _projected(before, key), _projected(after, key)
    if was == is_:
        return 0
    return (2 if was and is_ else 1) * max(1, math.ceil(max(size(was), size(is_)) / _UNIT))


def _projected(item: Item, key: tuple[str, ...]) -> Item:
    if any(name not in item for name in key):
        return {}
    return {name: item[name] for name in (*_KEYS, *key)}


def _value_size(value: Mapping[str, Any]) -> int:
    kind, given = next(iter(value.items()))
    if kind == "N":
        return len(given.lstrip("-").replace(".", "")) // 2 + 2
    return len(given.encode()) if kind == "S" else 1
