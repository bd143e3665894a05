"""Rate limits in DynamoDB: one conditional update for each token, correct however many take at once."""

from typing import TYPE_CHECKING, Any

from conductor_loop.errors import NotAnswering
from conductor_loop.rates import Rate, Taken, outcome
from conductor_loop.storage import translated
from conductor_loop.storage.rows import Key, number, text
from conductor_loop.storage.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_REMEMBERED = 10_000  # buckets, or all are forgotten: a wrong guess costs a second write
_TRIES = 4  # a guess, and what others changed meanwhile
_KEPT_SECONDS = 3600  # that a full bucket's row stays: an absent one is full as well
_BUSY = "free_at BETWEEN :now AND :latest"  # some tokens are taken, and one is left
# All have come back; or the row is corrupt, and the bucket begins anew.
_IDLE = "attribute_not_exists(pk) OR free_at < :now OR NOT attribute_type(free_at, :number)"


class RateLimits(Table):
    """Buckets in the rows ``ratelimit#…``.

    What this process has seen of a bucket is remembered: so the first write guesses right nearly always, and a
    bucket that was seen empty is refused without a call until a token is back, since others only take more.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        super().__init__(client, table)
        self._seen: dict[str, float] = {}  # bucket to its free_at

    @translated("DynamoDB")
    def peek(self, bucket: str, rate: Rate, now: float) -> bool:
        """Say whether there is a token, as the table has it. Raises NotAnswering."""
        return rate.has_token(_free_at(self.get(Key("ratelimit", bucket))), now)

    def take(self, bucket: str, rate: Rate, now: float) -> Taken:
        """Take a token. Raises NotAnswering."""
        now = round(now, 3)  # as it is written: or a bucket could lie between what we and the table take for now
        free_at = self._seen.get(bucket, 0.0)
        for _ in range(_TRIES):
            if not rate.has_token(free_at, now):
                return outcome(rate, free_at, now, allowed=False)
            taken, free_at = self._try(bucket, rate, now, busy=free_at >= now)
            if len(self._seen) >= _MAX_REMEMBERED:
                self._seen.clear()
            self._seen[bucket] = free_at
            if taken:
                return outcome(rate, free_at, now, allowed=True)
        raise NotAnswering("DynamoDB: a bucket changes faster than it can be read")

    @translated("DynamoDB")
    def _try(self, bucket: str, rate: Rate, now: float, *, busy: bool) -> tuple[bool, float]:
        """Take a token of a bucket that is busy, or idle; whether it was, and its ``free_at`` then."""
        if busy:
            values = {":latest": number(now + rate.slack_seconds), ":interval": number(rate.interval_seconds)}
        else:
            values = {":next": number(now + rate.interval_seconds), ":number": text("N")}
        values |= {":now": number(float(now)), ":expires": number(int(now + rate.window_seconds + _KEPT_SECONDS))}
        update: Any = {
            "TableName": self._table,
            "Key": Key("ratelimit", bucket).item,
            "UpdateExpression": f"SET free_at = {'free_at + :interval' if busy else ':next'}, expires_at = :expires",
            "ConditionExpression": _BUSY if busy else _IDLE,
            "ExpressionAttributeValues": values,
            "ReturnValues": "UPDATED_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            return True, _free_at(self._client.update_item(**update)["Attributes"])
        except self._client.exceptions.ConditionalCheckFailedException as error:
            there: Any = error.response.get("Item", {})
            return False, _free_at(there)


def _free_at(item: Item) -> float:
    """Read when the tokens taken so far have come back; 0 of a row that is corrupt, or is missing."""
    return float(item.get("free_at", {}).get("N", 0.0))
