"""The counters on moto: what each shard has counted is added up, and shards that are over are folded into one row."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations_with_replacement
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conductor_loop.audit.entries import Batch, Shard, add
from conductor_loop.counting import SECURITY
from conductor_loop.storage.measures import Counters
from conductor_loop.storage.rows import Key
from tests.integration.conftest import TABLE
from tests.integration.interrupting import FAULTS, Interrupter, Killed

NOW = 1_800_000_000.0
DAY = 86_400.0


def batch(
    shard: str, sequence: str, seen: Shard | None = None, *, created_at: float = NOW, lag: float = 0.0, **tally: float
) -> Batch:
    """Give what moves a shard on."""
    before = seen or Shard()
    after = Shard(
        sequence=sequence,
        created_at=created_at,
        lag=lag,
        entries=before.entries + 1,
        digest=f"digest of {sequence}",
        counters=add([before.counters, tally]),
        security_at=created_at if SECURITY in tally else before.security_at,
    )
    return Batch(shard, sequence, before, after, ())


@pytest.fixture
def table(aws: boto3.session.Session) -> Any:
    return aws.client("dynamodb")


@pytest.fixture
def counters(table: Any) -> Counters:
    return Counters(table, TABLE)


def test_a_shard_is_moved_on_once(counters: Counters) -> None:
    first = batch("shardId-1", "100", files_success=2, processing_sum=0.25)
    counters.advance(first)
    assert counters.read("shardId-1") == first.after
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        counters.advance(first)
    second = batch("shardId-1", "200", first.after, files_success=1, processing_sum=0.5)
    counters.advance(second)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        counters.advance(second)
    assert counters.totals().counters == {"files_success": 3, "processing_sum": 0.75}
    assert counters.ends() == {"shardId-1": second.after}


def test_a_shard_whose_row_another_release_has_written_is_moved_on(counters: Counters, table: Any) -> None:
    first = batch("shardId-1", "100", files_success=2)
    counters.advance(first)
    key = {"pk": {"S": "counter#shards"}, "sk": {"S": "shardId-1"}}
    progress = '{"counters": {"files_success": 2}, "sequence": "100"}'  # other fields, in another order
    table.update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET progress = :progress",
        ExpressionAttributeValues={":progress": {"S": progress}},
    )
    seen = counters.read("shardId-1")
    counters.advance(batch("shardId-1", "200", seen, files_success=1))
    assert counters.totals().counters == {"files_success": 3}


def test_counters_of_all_shards_are_added_up(counters: Counters) -> None:
    for number in range(20):
        at = NOW + number
        counters.advance(batch(f"shardId-{number}", "1", created_at=at, lag=number, files_failed=1, attacks=1))
    totals = counters.totals()
    assert totals.counters == {"files_failed": 20, "attacks": 20}
    assert (totals.created_at, totals.lag, totals.security_at) == (NOW + 19, 19, NOW + 19)


@pytest.fixture
def two_days_later(counters: Counters) -> Iterator[Counter[str]]:
    """Leave three shards that are over, and one that is not; what they have counted, before and after the test."""
    for number in range(4):
        at = NOW if number < 3 else NOW + 3 * DAY
        counters.advance(batch(f"shardId-{number}", "1", created_at=at, decided=number + 1, attacks=1))
    expected = Counter(decided=10, attacks=4)
    yield expected
    assert counters.totals().counters == expected


def test_shards_that_are_over_are_folded_into_one_row_and_their_ends_are_kept(
    counters: Counters, two_days_later: Counter[str], table: Any
) -> None:
    ends = {name: end.digest for name, end in counters.ends().items()}
    for _ in range(4):
        counters.fold(NOW + 3 * DAY, 90 * DAY)
        assert counters.totals().counters == two_days_later
        assert {name: end.digest for name, end in counters.ends().items()} == ends
    partition = {":pk": {"S": "counter#shards"}}
    rows = table.query(TableName=TABLE, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=partition)["Items"]
    assert [row["sk"]["S"] for row in rows] == ["closed", "shardId-3"]


def test_whenever_a_fold_is_killed_nothing_is_counted_twice_or_lost(
    counters: Counters, two_days_later: Counter[str], aws: boto3.session.Session
) -> None:
    interrupter = Interrupter()
    watched = Counters(interrupter.watch(aws.client("dynamodb")), TABLE)
    dice, later = random.Random(3), NOW + 3 * DAY  # noqa: S311 - to be repeated, not to be secret
    for number in range(60):
        when, at = dice.choice(("before", "after")), dice.randint(1, 12)
        interrupter.reset(FAULTS[f"killed {when}"], at)
        with suppress(Killed):
            watched.fold(later, 90 * DAY)
        assert counters.totals().counters == two_days_later
        later += DAY
        counters.advance(batch(f"shardId-{4 + number:03}", "1", created_at=later, decided=1))
        two_days_later["decided"] += 1
        assert counters.totals().counters == two_days_later


def test_of_two_that_fold_at_once_one_does(counters: Counters, two_days_later: Counter[str], table: Any) -> None:
    class Late(Counters):
        def _put(self, key: Key, *given: Any) -> None:
            for _ in range(2 if key.version == "closed" else 0):  # adds one more shard, and forgets it
                counters.fold(NOW + 8 * DAY, 90 * DAY)
            super()._put(key, *given)

    counters.fold(NOW + 3 * DAY, 90 * DAY)
    counters.advance(batch("shardId-4", "1", created_at=NOW + 5 * DAY, decided=1))
    two_days_later["decided"] += 1
    Late(table, TABLE).fold(NOW + 6 * DAY, 90 * DAY)
    assert counters.totals().counters == two_days_later


def test_a_reader_in_the_midst_of_a_fold_counts_all_of_it(
    counters: Counters, two_days_later: Counter[str], aws: boto3.session.Session
) -> None:
    """It reads what is closed first, and then the shards, whatever is written in between."""
    client, snapshots, later = aws.client("dynamodb"), [counters._rows("counter")], NOW + 3 * DAY
    client.meta.events.register("after-call", lambda **_: snapshots.append(counters._rows("counter")))
    for _ in range(3):
        Counters(client, TABLE).fold(later, 90 * DAY)
        for first, then in combinations_with_replacement(snapshots, 2):
            closed = {"closed": first["closed"]} if "closed" in first else {}
            rows = closed | {name: row for name, row in then.items() if name != "closed"}
            reader = Counters(client, TABLE)
            reader._rows = lambda *_, rows=rows: rows  # type: ignore[method-assign]
            assert reader.totals().counters == two_days_later
        del snapshots[:-1]
        later += 3 * DAY


def test_a_reader_in_the_midst_of_a_fold_knows_all_ends(
    counters: Counters, two_days_later: Counter[str], aws: boto3.session.Session
) -> None:
    del two_days_later
    client, folding = aws.client("dynamodb"), Counters(aws.client("dynamodb"), TABLE)
    reader = Counters(client, TABLE)
    read = reader._rows

    def slow(kind: str) -> Any:
        rows = read(kind)
        for _ in range(2):
            folding.fold(NOW + 3 * DAY, 90 * DAY)
        return rows

    reader._rows = slow  # type: ignore[method-assign]
    assert reader.ends().keys() == {f"shardId-{number}" for number in range(4)} == counters.ends().keys()
