"""The state table as all of its parts read it: a row, some rows, or all under one key; consistently."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any

from conductor_loop.errors import NotAnswering
from conductor_loop.storage.rows import Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_READS = 100  # rows of one call

type Item = Mapping[str, Any]
"""A row as DynamoDB has it: attribute values by name."""


class Table:
    """Reads rows; parts that write them, too, build on it."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def get(self, key: Key) -> Item:
        """Read a row; an empty one where there is none."""
        return self._client.get_item(TableName=self._table, Key=key.item, ConsistentRead=True).get("Item", {})

    def get_some(self, keys: Iterable[Key]) -> Iterator[Item]:
        """Read the rows with some keys, in any order; those that are not there are left out. Raises NotAnswering."""
        for some in batched(keys, _READS, strict=False):
            left: Any = [key.item for key in some]
            while left:  # an answer has 16 MB at most, and leaves out the rest
                answer: Any = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": left, "ConsistentRead": True}}
                )
                found = answer["Responses"].get(self._table, [])
                left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
                if left and not found:
                    raise NotAnswering("DynamoDB: throttled")
                yield from found

    def query(self, kind: str, name: str) -> Iterator[Item]:
        """Read the rows ``kind#name``, in the order of their sort keys."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": Key(kind, name).pk}},
            ConsistentRead=True,
        )
        return (row for page in pages for row in page["Items"])
