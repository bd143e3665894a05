"""What an operator does with the audit trail of a deployed stack: read it, and whatever it is held against."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from typing import Any

import boto3

from conductor_loop.audit.chain import timestamp
from conductor_loop.audit.entries import last_change
from conductor_loop.audit.verifying import End, Known, StatusDigest, Witness, read_status
from conductor_loop.aws import operator
from conductor_loop.aws.counters import Counters
from conductor_loop.aws.logs import group

_LOOKS = 16  # at statuses, side by side
_BATCH = 100  # rows of one call
_LONGEST_PK, _LONGEST_SK = 2048, 1024  # bytes of a key that DynamoDB takes
_ACCEPTED_SKEW = timedelta(days=1)  # of clocks, to either side


@dataclass(frozen=True, slots=True)
class Trail:
    """The audit trail of a stack since a moment (epoch seconds)."""

    stack: str
    since: float

    def lines(self, word: str | None = None) -> list[str]:
        """Read the log, oldest first; with ``word``, the lines that may hold it. Raises NotThere."""
        plain = word if word and json.dumps(word) == f'"{word}"' else None  # any other is written in another way there
        return [line.text for line in group(f"/conductor-loop/{self.stack}/audit", plain, self.since)]

    def known(self, chains: Iterable[str], grace: float) -> Known:
        """Ask the state table and the statuses about the rows of chains, and about all that began since.

        What is younger than ``grace`` (seconds) may still be on its way, and is not asked for.
        """
        outputs, now = operator.outputs(self.stack), time.time()
        table, until = outputs["StateTable"], now - grace
        ends = Counters(boto3.client("dynamodb"), table).ends()
        keys = {*_keys(chains), *self._begun(table, now)}
        return Known(
            rows=[row for item in _rows(table, keys) if (row := self._witness(item, until)) is not None],
            statuses=self._statuses(outputs["HandoffBucket"], until),
            shards={
                shard: End(head, due=self._is_due(head.at, until), before=head.began < timestamp(self.since))
                for shard, head in ends.items()
            },
        )

    def _begun(self, table: str, now: float) -> Iterator[tuple[str, str]]:
        """List the rows that were made since, by the days of their arrival."""
        pages = boto3.client("dynamodb").get_paginator("query")
        for day in _days(self.since, now):
            for partition in (day, f"audit#{day}"):
                asked: Any = {
                    "TableName": table,
                    "IndexName": "by-day",
                    "KeyConditionExpression": "arrival_day = :day",
                    "ExpressionAttributeValues": {":day": {"S": partition}},
                    "ProjectionExpression": "pk, sk, arrived",
                }
                for page in pages.paginate(**asked):
                    yield from ((one["pk"]["S"], one["sk"]["S"]) for one in page["Items"] if not self._before(one))

    def _before(self, item: Mapping[str, Any]) -> bool:
        return bool(item.get("arrived", {"S": ""})["S"] < timestamp(self.since))

    def _is_due(self, at: str, until: float) -> bool:
        return timestamp(self.since) <= at <= timestamp(until)

    def _witness(self, item: Mapping[str, Any], until: float) -> Witness | None:
        last = last_change(item)
        if last is None:
            return None
        due = self._is_due(str(last.fields.get("at", "")), until)
        return Witness(last, due, before=self._before(item) or last.chain == "config")

    def _statuses(self, bucket: str, until: float) -> list[StatusDigest]:
        client = boto3.client("s3")
        since = datetime.fromtimestamp(self.since, UTC)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="status/")
        found = (one for page in pages for one in page.get("Contents", []))
        keys = [one["Key"] for one in found if since <= one["LastModified"]]

        def look(key: str) -> StatusDigest | None:
            try:
                body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            except client.exceptions.NoSuchKey:
                return None  # expired meanwhile
            decided_at, status = read_status(body)
            return status if self.since <= decided_at <= until else None

        with ThreadPoolExecutor(max_workers=_LOOKS) as pool:
            return [status for status in pool.map(look, keys) if status is not None]


def _keys(chains: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the keys of the rows that chains belong to."""
    for chain in chains:
        kind, _, name = chain.partition("/")
        file, _, version = name.rpartition("/")
        pk, sk = (f"intent#{file}", version) if kind == "intent" else (f"audit#{chain}", "-")
        if 0 < len(sk) <= _LONGEST_SK and len(pk.encode()) <= _LONGEST_PK:  # or it was never a row's
            yield pk, sk


def _rows(table: str, keys: Iterable[tuple[str, str]]) -> Iterator[Mapping[str, Any]]:
    client = boto3.client("dynamodb")
    for some in batched(sorted(keys), _BATCH, strict=False):
        wanted: Any = {
            table: {
                "Keys": [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in some],
                "ConsistentRead": True,
            }
        }
        while wanted:
            answer = client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(table, [])
            wanted = answer.get("UnprocessedKeys")


def _days(since: float, until: float) -> Sequence[str]:
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in (since, until))
    first, last = first - _ACCEPTED_SKEW, last + _ACCEPTED_SKEW
    return [date.fromordinal(one).isoformat() for one in range(first.toordinal(), last.toordinal() + 1)]
