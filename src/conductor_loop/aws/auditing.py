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

from conductor_loop.audit.chain import read
from conductor_loop.audit.entries import timestamp
from conductor_loop.audit.verifying import Witness
from conductor_loop.aws import operator
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

    def witnesses(self, chains: Iterable[str], grace: float) -> list[Witness]:
        """Ask the state table and the statuses where the chains end: these, and all that began since.

        What is younger than ``grace`` (seconds) may still be on its way, and is not asked for.
        """
        outputs, now = operator.outputs(self.stack), time.time()
        settled = now - grace
        table = outputs["StateTable"]
        keys = {*_keys(chains), *self._begun(table, now)}
        rows = [witness for item in _rows(table, keys) for witness in self._of_row(item, settled)]
        return rows + self._of_statuses(outputs["HandoffBucket"], settled)

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

    def _of_row(self, item: Mapping[str, Any], settled: float) -> Iterator[Witness]:
        before = self._before(item) or item["pk"]["S"] == "audit#config"
        known = [found for one in item.get("audit", {}).get("L", []) if (found := read(one.get("S", "")))]
        for found in known:
            if timestamp(self.since) <= str(found.document.get("at", "")) <= timestamp(settled):
                yield Witness(found.chain, found.seq, found.digest if found.sound else "", before=before)
        if known:
            yield Witness(known[-1].chain, known[-1].seq, known[-1].digest, before=before, ends=True)

    def _of_statuses(self, bucket: str, settled: float) -> list[Witness]:
        client = boto3.client("s3")
        since, until = (datetime.fromtimestamp(at, UTC) for at in (self.since, settled))
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="status/")
        found = (one for page in pages for one in page.get("Contents", []))
        keys = [one["Key"] for one in found if since <= one["LastModified"] <= until]

        def look(key: str) -> Witness | None:
            try:
                body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            except client.exceptions.NoSuchKey:
                return None  # expired meanwhile
            seal = _seal(body)
            return Witness(seal["chain"], seal["entries"], seal["sha256"], of="its status") if seal else None

        with ThreadPoolExecutor(max_workers=_LOOKS) as pool:
            return [witness for witness in pool.map(look, keys) if witness is not None]


def _seal(body: bytes) -> Mapping[str, Any] | None:
    """Give the end of the chain as a status tells it; those of older releases do not."""
    try:
        seal: Mapping[str, Any] = json.loads(body)["audit"]
        chain, entries, digest = (seal[name] for name in ("chain", "entries", "sha256"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_whole = isinstance(chain, str) and type(entries) is int and entries > 0 and isinstance(digest, str)
    return seal if is_whole and chain and digest else None


def _keys(chains: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the keys of the rows that chains belong to."""
    for chain in chains:
        kind, _, name = chain.partition("/")
        file, _, version = name.rpartition("/")
        pk, sk = (f"intent#{file}", version.partition("~")[0]) if kind == "intent" else (f"audit#{chain}", "-")
        if 0 < len(sk) <= _LONGEST_SK and len(pk.encode()) <= _LONGEST_PK:  # or it was never a row's
            yield pk, sk


def _rows(table: str, keys: Iterable[tuple[str, str]]) -> Iterator[Mapping[str, Any]]:
    client = boto3.client("dynamodb")
    for some in batched(sorted(keys), _BATCH, strict=False):
        wanted: Any = {
            table: {
                "Keys": [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in some],
                "ProjectionExpression": "pk, sk, arrived, audit",
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
