"""Both adapters at once: each call is made to the one in memory and to the one on moto, and must have one answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any

from moto.s3.models import s3_backends

from conductor_loop.app import Cursor, Unsettled
from conductor_loop.intent import Handoff
from conductor_loop.storage.bucket import S3Bucket
from conductor_loop.storage.state import DynamoDBStateTable
from tests.factories import BUCKET
from tests.integration.conftest import TABLE, MotoBucket
from tests.memory import UNREADABLE, MemoryBucket
from tests.memory_state import MemoryState

_UNORDERED = frozenset({"older_versions"})
_AHEAD = frozenset({"ahead"})  # what they return is called later


class Twin:
    """An adapter in memory, each public call of which is made to the real one as well; what else it has is its own."""

    def __init__(self, memory: Any, real: Any, adapter: type) -> None:
        self.memory, self.real = memory, real
        self.differences: list[str] = []  # to be looked at in the end: the program survives most exceptions
        self._calls = frozenset(name for name in vars(adapter) if not name.startswith("_"))

    def __getattr__(self, name: str) -> Any:
        return self._both(name) if name in self._calls else getattr(self.memory, name)

    def _both(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            given = tuple(list(one) if isinstance(one, Iterator) else one for one in given)
            mine, theirs = (_answer(getattr(part, name), given, named) for part in (self.memory, self.real))
            if _comparable(name, mine) != _comparable(name, theirs):
                self.differences.append(f"{name}{given}{named}\n  in memory: {mine!r}\n  on moto:   {theirs!r}")
            return partial(_result, mine) if name in _AHEAD else _result(mine)

        return call


class TwinState(Twin):
    """Likewise, with what makes a row corrupt; ``client`` is DynamoDB's."""

    def __init__(self, memory: MemoryState, real: DynamoDBStateTable, client: Any) -> None:
        super().__init__(memory, real, DynamoDBStateTable)
        self._client = client

    def spoil(self, name: str, version: str) -> None:
        self.memory.spoil(name, version)
        self._client.update_item(
            TableName=TABLE,
            Key={"pk": {"S": f"intent#{name}"}, "sk": {"S": version}},
            UpdateExpression="SET #state = :garbage",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":garbage": {"S": "garbage"}},
        )


class TwinBucket(Twin):
    """Likewise, with what the owners of intents do; the version ids are those in memory."""

    memory: MemoryBucket
    real: MotoBucket

    def __init__(self, memory: MemoryBucket, real: MotoBucket) -> None:
        super().__init__(memory, real, S3Bucket)

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        handoff = self.memory.drop(bucket, key, body)
        kind = "GLACIER" if body == UNREADABLE else "STANDARD"
        self.real.client.put_object(Bucket=bucket, Key=key, Body=body, StorageClass=kind)
        stored: Any = s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys
        stored[key]._version_id = handoff.version_id
        return handoff

    def withdraw(self, key: str) -> None:
        self.memory.withdraw(key)
        self.real.withdraw(key)

    def unsettled(self, bucket: str, cursor: Cursor | None, pages: int) -> tuple[list[Unsettled], Cursor | None]:
        """List what is in both; moto finds nothing behind a version that was removed since."""
        known = cursor is None or cursor.version_id in {one.id for one in self.memory.objects[cursor.key]}
        found: tuple[list[Unsettled], Cursor | None]
        found = (self._both("unsettled") if known else self.memory.unsettled)(bucket, cursor, pages)
        return found

    def objects_of_both(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Give what lies in each, by key, but for the root, which is listed again and again anyway, and for rows."""
        mine, theirs = (
            {key: part.get(BUCKET, key) for key in part.keys(BUCKET) if _is_compared(key)}
            for part in (self.memory, self.real)
        )
        return mine, theirs


def _is_compared(key: str) -> bool:
    return "/" in key and not key.startswith("failed/state/")


def _answer(call: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    try:
        found = call(*given, **named)
        return found() if callable(found) else found
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - it is an answer, too
        return error


def _result(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _comparable(name: str, answer: Any) -> Any:
    return sorted(answer) if name in _UNORDERED else _plain(answer)


def _plain(value: Any) -> Any:
    """Give a value as JSON and DynamoDB keep it: numbers to the thousandth, and no tuple but a list."""
    match value:
        case Exception():
            return type(value)
        case float():
            return round(value, 3)
        case Enum() | str() | bytes():
            return value
        case Mapping():
            return {_plain(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return tuple(_plain(one) for one in value)
        case _ if is_dataclass(value):
            return (type(value), *(_plain(getattr(value, one.name)) for one in fields(value) if one.compare))
    return value
