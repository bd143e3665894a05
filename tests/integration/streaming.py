"""The stream of the state table on moto: with the images of transactions, which moto's own has not."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.dynamodb.models import DynamoDBBackend

from conductor_loop.audit.entries import Change, change
from tests.auditing import MemoryAudit

SHARD = "shardId-00000001-a"
_WRITES = ("update_item", "put_item", "delete_item", "transact_write_items")


@dataclass
class Stream:
    """What was written since it was switched on, and an AuditFunction in memory that follows it."""

    table: str
    records: list[dict[str, Any]] = field(default_factory=list)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    _lock: Any = field(default_factory=threading.RLock)
    _inside: bool = False
    _followed: int = 0

    def follow(self) -> MemoryAudit:
        """Publish and count all that was written."""
        self.audit.deliver(SHARD, self.records[self._followed :])
        self._followed = len(self.records)
        return self.audit

    def changes(self) -> list[Change]:
        """Give what each write adds to the audit trail and the counters."""
        images = ((one["dynamodb"].get("OldImage", {}), one["dynamodb"].get("NewImage", {})) for one in self.records)
        return [found for old, new in images if (found := change(old, new)) is not None]

    def switch_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in _WRITES:
            monkeypatch.setattr(DynamoDBBackend, name, self._watching(getattr(DynamoDBBackend, name)))

    def _watching(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def watched(backend: Any, *given: Any, **named: Any) -> Any:
            with self._lock:
                if self._inside:  # a part of a transaction
                    return write(backend, *given, **named)
                before = [(key, self._image(backend, key)) for key in _keys(given)]
                self._inside = True
                try:
                    return write(backend, *given, **named)
                finally:
                    self._inside = False
                    for key, image in before:
                        self._record(image, self._image(backend, key))

        return watched

    def _image(self, backend: Any, key: Any) -> dict[str, Any]:
        item = backend.get_item(self.table, key) if self.table in backend.tables else None
        return dict(item.to_json()["Attributes"]) if item else {}

    def _record(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        if old != new:
            images = {"OldImage": old} if old else {}
            images |= {"NewImage": new} if new else {}
            place = {"SequenceNumber": f"{len(self.records) + 1}00", "ApproximateCreationDateTime": 1_800_000_000}
            self.records.append({"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": place | images})


def _keys(given: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    operations = given[0] if isinstance(given[0], list) else [{"": {"Key": given[1]}}]
    for operation in operations:
        for one in operation.values():
            whole = one["Key"] if "Key" in one else one["Item"]
            yield {name: whole[name] for name in ("pk", "sk")}
