"""From the state table's stream to the audit log: every entry, in order, and again whenever it may not have arrived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

type Publish = Callable[[Sequence[str]], None]
"""Takes entries, oldest first; raises where they may not have arrived."""


def fresh(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the entries that a batch of stream records has added to rows, in order."""
    return [entry for record in records for entry in _added(record["dynamodb"])]


def _added(change: Mapping[str, Any]) -> Iterator[str]:
    before = {*_entries(change.get("OldImage", {}))}
    return (entry for entry in _entries(change.get("NewImage", {})) if entry not in before)


def _entries(image: Mapping[str, Any]) -> Iterator[str]:
    return (one["S"] for one in image.get("audit", {}).get("L", []))
