"""What an intent costs after 0, 1,000, 10,000 and 100,000 others: calls and CPU.

AWS is moto, with a bucket and a table for each length of history, filled with what that many settled intents leave
behind. Intents are handed over alternately, so that whatever else the machine does falls on all of them alike.
"""

import copy
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import Any

from moto.dynamodb import models
from moto.s3.models import s3_backends

from bench.calls import World, moto_world
from bench.cpu import canned_porch
from bench.function import BUCKET, REGION, TABLE, clients, environment, function, intent, invoke
from bench.lines import Line, bounded, reported
from conductor_loop import handlers
from conductor_loop.storage.state import DynamoDBStateTable

LENGTHS = (0, 1_000, 10_000, 100_000)
MOST_TIMES = 1.25  # of the CPU without history: what runs of moto differ by among themselves
ROUNDS, EACH = 12, 3
_ACCOUNT = "123456789012"


class _Uncopied:
    """Stands in for ``copy`` within moto, which copies a whole table for each transaction, to undo it with.

    Nothing is undone here, and what is to be measured is not moto.
    """

    copy = staticmethod(copy.copy)

    @staticmethod
    def deepcopy[T](value: T) -> T:
        """Copy nothing."""
        return value


@dataclass
class Era:
    """One length of history, and what intents behind it cost."""

    length: int
    app: Any
    milliseconds: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def bucket(self) -> str:
        """Name the bucket; the table has the same name with another beginning."""
        return f"{BUCKET}-{self.length}"


def run() -> list[Line]:
    """Measure all of them."""
    moto: Any = models
    built, copying = handlers._built, moto.copy  # noqa: SLF001 - put back below
    moto.copy = _Uncopied
    try:
        with moto_world() as world:
            variables = environment(world.url, CONDUCTOR_PROCESSING_PRIORITY_QUEUES="false")
            with function(variables):
                return _measured(world)
    finally:
        handlers._built, moto.copy = built, copying  # noqa: SLF001


def _measured(world: World) -> list[Line]:
    eras = [_prepared(world, length) for length in LENGTHS]
    made: list[str] = []
    for client in clients():
        client.meta.events.register("before-call", lambda model, **_: made.append(model.name))
    for round_ in range(ROUNDS + 1):
        for era in eras:
            _hand_over(world, era, made, round_)
    return _lines(eras)


def _hand_over(world: World, era: Era, made: list[str], round_: int) -> None:
    events = [
        world.drop(f"intent-now-{round_}-{number}.json", intent(target=f"now-{number}"), era.bucket)
        for number in range(EACH)
    ]
    handlers._built = lambda *_: era.app  # type: ignore[assignment] # noqa: SLF001
    handlers._built.cache_clear = lambda: None  # type: ignore[method-assign] # noqa: SLF001
    made.clear()
    begun = time.process_time()
    for event in events:
        assert list(invoke(event).values()) == ["settled"]
    if round_:  # the first one warms up, and makes the targets known: to list packages, moto looks at every key
        era.milliseconds.append((time.process_time() - begun) * 1e3 / EACH)
        era.calls = len(made) // EACH


def _lines(eras: list[Era]) -> list[Line]:
    first = eras[0]
    lines = []
    for era in eras:
        figure = f"{statistics.median(era.milliseconds):.1f} ms"
        lines.append(reported("history", f"an intent after {era.length:,}", figure, note=f"{era.calls} calls"))
    last = eras[-1]
    ratios = [late / early for late, early in zip(last.milliseconds, first.milliseconds, strict=True)]
    what = f"CPU of an intent after {last.length:,}, of one after none"
    lines.append(bounded("history", what, statistics.median(ratios), MOST_TIMES, " x"))
    lines.append(bounded("history", "calls more than without history", last.calls - first.calls, 0))
    return lines


def _prepared(world: World, length: int) -> Era:
    """Fill a bucket and a table as so many settled intents leave them."""
    app = handlers._app("bench")  # noqa: SLF001 - the one place where its parts come together
    bucket, table = f"{BUCKET}-{length}", f"{TABLE}-{length}"
    world.s3.create_bucket(Bucket=bucket)
    world.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    world.dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    rows, objects = models.dynamodb_backends[_ACCOUNT][REGION].tables[table], s3_backends[_ACCOUNT]["aws"]
    for number in range(length):
        _settled(rows, objects, bucket, number)
    state = DynamoDBStateTable(clients()[1], table, keep_seconds=3600, jitter=lambda: 0.0)
    return Era(length, replace(app, state=state, run_porch=canned_porch()))


def _settled(rows: Any, objects: Any, bucket: str, number: int) -> None:  # noqa: ANN401 - moto's own
    file, target = f"intent-old-{number}.json", f"oran-sim/old-{number}"
    outcome = '{"status": {"status": "success"}, "archive": "processed"}'
    texts = {"state": "succeeded", "outcome": outcome, "arrived": f"2026-11-22#{file}", "arrival_day": "2026-11-22"}
    row = {name: {"S": value} for name, value in texts.items()}
    rows.put_item({"pk": {"S": f"intent#{file}"}, "sk": {"S": "v"}, "attempt": {"N": "1"}} | row)
    rows.put_item({"pk": {"S": f"target#{target}"}, "sk": {"S": "-"}, "last_file": {"S": file}})
    rows.put_item({"pk": {"S": f"name#{file}"}, "sk": {"S": "-"}, "last_version": {"S": "v"}})
    for key in (f"status/{file}.status", f"processed/{file}", f"packages/{target}/old-v1.0.0/Kptfile"):
        objects.put_object(bucket, key, b"#", disable_notification=True)
