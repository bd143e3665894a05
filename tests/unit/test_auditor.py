"""AuditFunction, killed at every call and handed batches again: every write is published and counted once."""

import json
import os
import random
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conductor_loop import counting
from conductor_loop.audit.entries import Shard, timestamp, unseen
from conductor_loop.audit.handler import AuditLog, take
from conductor_loop.audit.verify import verify
from conductor_loop.errors import Cause
from conductor_loop.intents import admit
from tests.auditing import POINTS, Conflict, MemoryAudit, Records, batches, known, stream
from tests.factories import World, intent

INTENTS = int(os.environ.get("AUDITED_INTENTS", "100"))  # 10,000 take two minutes
_CAUSES = (None, None, None, Cause.NETWORK_ERROR, Cause.PORCH_FAILED, Cause.PROCESSING_TIMEOUT)


def played(count: int, dice: random.Random) -> World:
    """Take intents to their ends: some are rejected, some tried again, some fail, some ask for what they do not get."""
    world = World()
    world.configure(priority_queues=True)
    for number in range(count):
        body = intent(
            target=f"target-{number % 50}",
            priority=dice.choice(("normal", "normal", "high", "critical")),
            correlation_id=f"c-{number // 2 if dice.random() < 0.02 else number}",
        )
        name = f"intent-{number if dice.random() < 0.95 else number // 2}.json"
        handoff = world.drop(name, b"{" if dice.random() < 0.1 else body)
        world.porch.script, world.porch.requests = [dice.choice(_CAUSES)], []
        admit.answer(world.app, handoff, world.deadline)
        if dice.random() < 0.03:
            world.bucket.withdraw(name)
        world.work()
    for _ in range(6):
        world.clock.wait(1000)
        world.work()
    assert not world.queues.waiting
    return world


@pytest.fixture(scope="module")
def world() -> World:
    return played(INTENTS, random.Random(7))  # noqa: S311 - to be repeated, not to be secret


def shards(world: World, count: int) -> dict[str, Records]:
    state: Any = world.state
    return stream(state.written, roll=len(state.written) // 4, count=count)


def rows_say(world: World) -> Counter[str]:
    """Count what is decided, and how, by the rows."""
    state: Any = world.state
    outcomes = [row.outcome for row in state.rows.values()]
    statuses = Counter(f"files_{one.status['status']}" for one in outcomes)
    codes = Counter(
        f"errors_{one.status['error_details']['code']}" for one in outcomes if "error_details" in one.status
    )
    phases = [one["NewImage"]["phase"]["S"] for one in state.written]
    retried = [one["NewImage"] for one in state.written if one["NewImage"]["phase"]["S"] == "retrying"]
    codes.update(f"errors_{Cause(json.loads(one['failure']['S'])['cause']).code}" for one in retried)
    runs = phases.count("processing")
    return statuses + codes + Counter(decided=len(outcomes), retried=len(retried), runs_structured=runs)


def counted(audit: MemoryAudit, expected: Counter[str]) -> None:
    assert {name: audit.counters[name] for name in expected} == expected
    prefixes = (counting.FILES, counting.ERRORS)
    assert {name for name in audit.counters if name.startswith(prefixes)} <= expected.keys()


def test_killed_at_every_call_everything_is_published_and_counted_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    audit, dice = MemoryAudit(), random.Random(1)  # noqa: S311 - likewise
    delivered = 0
    for shard, records in shards(world, 3).items():
        for batch in batches(records, 100, dice):
            for point in POINTS:
                audit.deliver(shard, batch, point)
            audit.deliver(shard, batch)
            delivered += 1
    assert audit.kills == delivered * len(POINTS)
    verification = audit.verified(known(world.state, world.bucket))  # type: ignore[arg-type]
    assert not verification.wrong, verification.findings[:5]
    assert verification == audit.verified(known(world.state, world.bucket), audit.exported())  # type: ignore[arg-type]
    counted(audit, rows_say(world))
    with capsys.disabled():
        said = f"{verification.chains} intents, {verification.entries} entries"
        said += f", {delivered} batches of {len(audit.shards)} shards"
        sys.stdout.write(f"\n  {said}, {audit.kills} kills, {len(audit.lines)} lines: {verification.wrong} findings ")


def test_killed_at_random_and_split_and_handed_over_again_counters_equal_the_rows(world: World) -> None:
    for seed in range(5):
        audit, dice = MemoryAudit(), random.Random(seed)  # noqa: S311 - likewise
        for shard, records in shards(world, 1 + seed).items():
            last: Records = []
            for batch in batches(records, 40, dice):
                _deliver(partial(audit.deliver, shard), batch, dice)
                audit.deliver(shard, last + batch if dice.random() < 0.2 else batch)  # at least once
                last = batch
        assert not audit.verified(known(world.state, world.bucket)).wrong  # type: ignore[arg-type]
        counted(audit, rows_say(world))


def test_the_counter_of_running_intents_equals_the_rows_at_any_time(world: World) -> None:
    audit, states, most = MemoryAudit(), dict[str, str](), 0
    ((shard, records),) = stream(world.state.written, count=1).items()  # type: ignore[attr-defined]
    for record in records:
        audit.deliver(shard, [record])
        image = record["dynamodb"]["NewImage"]
        states[image["pk"]["S"] + image["sk"]["S"]] = image["state"]["S"]
        running = [*states.values()].count("running")
        assert audit.counters[counting.RUNNING] == running
        most = max(most, running)
    assert (most > 0, running) == (True, 0)


def _deliver(deliver: Any, batch: Records, dice: random.Random) -> None:
    """Hand a batch over as Lambda does after failures: whole, or its halves."""
    while dice.random() < 0.6:
        deliver(batch, dice.choice(POINTS))
    if len(batch) > 1 and dice.random() < 0.5:
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            _deliver(deliver, half, dice)
    else:
        deliver(batch)


class MemoryLog:
    """CloudWatch Logs: what was published, and when."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)

    def put_log_events(self, *, logEvents: list[dict[str, Any]], **_: str) -> dict[str, Any]:  # noqa: N803 - as it is
        self.events = sorted([*self.events, *logEvents], key=lambda event: event["timestamp"])
        return {}


def test_whatever_part_of_the_log_is_read_nothing_is_found_of_a_trail_that_is_whole(world: World) -> None:
    """The time may begin within a batch; rows, and the ends of shards, may be gone with an earlier stack."""
    state: Any = world.state
    for seed in range(5):
        audit, log, dice, now = MemoryAudit(), MemoryLog(), random.Random(seed), 0.0  # noqa: S311 - likewise
        counters, logs = cast("Any", audit), cast("Any", log)
        for shard, records in sorted(shards(world, 1 + seed).items()):
            for batch in batches(records, 40, dice):
                times = [json.loads(one["dynamodb"]["NewImage"]["last"]["S"])["at"] for one in batch]
                now = max(now + 0.2, datetime.fromisoformat(max(times)).timestamp())
                event = {"shardId": shard, "Records": batch}
                take(counters, [AuditLog(logs, "group", "writer").publish], event, now)
        whole = replace(known(state, world.bucket), shards=audit.shards)
        missing: list[dict[str, Any]] = [{}, {"rows": ()}, {"shards": {}}, {"rows": (), "shards": {}}]
        for gone in missing * 10:
            begin = dice.choice(log.events)["timestamp"] + dice.choice((-1, 0, 1))
            lines = [event["message"] for event in log.events if event["timestamp"] >= begin]
            verification = verify(lines, replace(whole, since=timestamp(begin / 1000), **gone))
            assert not verification.findings


def test_of_two_that_are_at_the_same_shard_one_counts(world: World) -> None:
    audit = MemoryAudit()
    ((shard, records),) = stream(world.state.written[:20], count=1).items()  # type: ignore[attr-defined]
    export = audit._export

    def meanwhile(*given: Any) -> None:
        audit._export = export  # type: ignore[method-assign]
        audit.deliver(shard, records)
        export(*given)

    audit._export = meanwhile  # type: ignore[method-assign,assignment]
    with pytest.raises(Conflict):
        audit.deliver(shard, records)
    once = MemoryAudit()
    once.deliver(shard, records)
    assert audit.counters == once.counters
    assert audit.lines == once.lines * 2, "the same, to the byte"


def test_writes_without_an_entry_move_a_shard_on() -> None:
    audit = MemoryAudit()
    swept = {"NewImage": {"pk": {"S": "gauge#directories"}, "sk": {"S": "-"}, "swept_at": {"N": "7"}}}
    audit.deliver("shard", [{"dynamodb": {"SequenceNumber": "7", "ApproximateCreationDateTime": 7, **swept}}])
    assert audit.shards["shard"].sequence == "7"
    assert (audit.lines, audit.exports) == ([], {})


def test_a_write_of_the_same_revision_has_no_entry() -> None:
    world = World()
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    image = state.written[-1]["NewImage"]
    audit = MemoryAudit()
    swept = {"OldImage": image, "NewImage": image | {"sweeps": {"N": "1"}}}
    audit.deliver("shard", [{"dynamodb": {"SequenceNumber": "7", "ApproximateCreationDateTime": 7, **swept}}])
    assert audit.lines == []


@pytest.mark.parametrize("seconds", ["1" + "0" * 400, "1e300", "NaN"])
def test_a_number_that_no_counter_takes_keeps_no_entry_back(seconds: str) -> None:
    world = World()
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    image = state.written[-1]["NewImage"]
    last = json.dumps(json.loads(image["last"]["S"]) | {"tally": {}})
    image["last"] = {"S": last.replace("{}", f'{{"decided": 1, "processing_sum": {seconds}}}')}
    record = {"SequenceNumber": "1", "ApproximateCreationDateTime": 1, "NewImage": image}
    batch = unseen("shard", Shard(), [{"dynamodb": record}], 2.0)
    assert batch is not None
    assert len(batch.entries) == 1
    assert all(by < 1e12 for by in batch.after.counters.values())
