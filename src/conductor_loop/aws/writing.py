"""Conditional writes to the state table, one or several together; what they say is in ``dynamodb``."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from conductor_loop.aws.rows import Key, Values, read_refusal
from conductor_loop.lifecycle import Refusal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

_RESERVED = {
    "#state": "state",
    "#owner": "owner",
    "#file": "file",
    "#namespace": "namespace",
    "#last": "last",
}  # words that expressions keep for themselves
_TRIES = 6  # of a transaction that conflicts with another one
_CONFLICT_SECONDS = 0.02  # before the second try; doubled for each later one


class Writing:
    """Makes updates, and sends them.

    Args:
        client: Of DynamoDB.
        table: The state table.
        jitter: Evenly spread from 0 to 1.

    """

    def __init__(self, client: "DynamoDBClient", table: str, jitter: Callable[[], float]) -> None:
        self._client, self._table, self._jitter = client, table, jitter

    def update(self, key: Key, expression: str, condition: str, values: Values) -> "UpdateTypeDef":
        """Write down one update; without a condition it is made in any case."""
        update: UpdateTypeDef = {
            "TableName": self._table,
            "Key": key.item,
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        }
        if condition:
            update["ConditionExpression"] = condition
            update["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if names := {name: word for name, word in _RESERVED.items() if name in expression + condition}:
            update["ExpressionAttributeNames"] = names  # DynamoDB refuses an empty map
        return update

    def write(self, *updates: "UpdateTypeDef") -> Refusal | None:
        """Make all of the updates or none; ``None`` means made. A conflict with another transaction is waited out."""
        for tried in range(_TRIES):
            try:
                self._send(updates)
            except self._client.exceptions.ConditionalCheckFailedException as error:
                return read_refusal([error.response.get("Item")])
            except (
                self._client.exceptions.TransactionCanceledException,
                self._client.exceptions.TransactionConflictException,
            ) as error:
                reasons: Any = error.response.get("CancellationReasons", [])
                if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                    return read_refusal([reason.get("Item") for reason in reasons])
                if tried == _TRIES - 1:
                    raise  # in conflict, or throttled, all this time
                time.sleep(_CONFLICT_SECONDS * 2**tried * self._jitter())
            else:
                return None
        raise AssertionError  # the last try returns or raises

    def _send(self, updates: Sequence["UpdateTypeDef"]) -> None:
        if len(updates) == 1:  # half the price of a transaction
            self._client.update_item(**updates[0])
        else:
            self._client.transact_write_items(TransactItems=[{"Update": update} for update in updates])
