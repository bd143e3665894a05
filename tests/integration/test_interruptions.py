"""Calls of an adapter that are several calls of the SDK, interrupted at each of them in each way, and made again.

What happens between calls of an adapter, ``tests/explorer`` plays in memory.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends

from conductor_loop.errors import LeaseLost
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Outcome
from conductor_loop.storage.state import DynamoDBStateTable
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE, MotoBucket
from tests.integration.interrupting import FAULTS, Fault, Interrupter, Killed
from tests.writes import NOW, claims, concludes, ends, made, waits

OLD = Handoff(BUCKET, "intent-a.json", "v0", event_time="2020-01-15T07:59:00.000Z", order="2020-01-15T07:59:00.000Z#09")
MINE = replace(OLD, version_id="v1", event_time="2020-01-15T08:00:00.000Z", order="2020-01-15T08:00:00.000Z#0A")
NEW = replace(OLD, version_id="v2", event_time="2020-01-15T08:01:00.000Z", order="2020-01-15T08:01:00.000Z#0B")
CLAIM = replace(claims(MINE), correlation_id="c-1")
OUTCOME = Outcome({"status": "success"}, "processed")
PREFIX = "packages/ns/name/p/"
FILES = {f"{PREFIX}Kptfile": b"1", f"{PREFIX}kustomization.yaml": b"2"}
LIVE = "live/ns/name/kustomization.yaml"

type Deed = Callable[[World], object]


def publish(world: World) -> None:
    world.bucket.publish(MINE, 1, FILES)


def put_status(handoff: Handoff, *, final: bool = True) -> Deed:
    return lambda world: world.bucket.put_status(handoff, handoff.file, handoff.version_id.encode(), final=final)


def drop(world: World) -> None:
    world.bucket.drop(BUCKET, MINE.key, b"mine")
    stored: Any = s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys
    stored[MINE.key]._version_id = MINE.version_id


def archive(world: World) -> None:
    world.bucket.archive(MINE, f"processed/{MINE.file}")


def archive_another(world: World) -> None:
    world.bucket.set_aside(MINE, f"processed/{MINE.file}", b"another")


def _all(*deeds: Deed) -> Deed:
    def do(world: World) -> None:
        for deed in deeds:
            deed(world)

    return do


def outranked_by_two(world: World) -> None:
    made(world, concludes(OLD, newest=OLD.version_id))


CASES: dict[str, tuple[Deed, Deed]] = {  # what was there before, and the call
    "a package": (lambda _: None, publish),
    "a package is removed": (publish, lambda world: world.bucket.remove_package(MINE, PREFIX)),
    "a status over one of its own": (put_status(MINE, final=False), put_status(MINE)),
    "a status behind a newer one": (put_status(NEW), put_status(MINE)),
    "an archive over an older one": (_all(drop, archive_another, put_status(MINE)), archive),
    "an archive behind a newer one": (_all(drop, archive_another, put_status(NEW)), archive),
    "the live tree": (
        lambda world: world.bucket.put_live(OLD, LIVE, 1, b"old"),
        lambda world: world.bucket.put_live(MINE, LIVE, 2, b"mine"),
    ),
    "a name is outranked": (
        outranked_by_two,
        lambda world: world.state.outrank(
            replace(MINE, event_time=OLD.event_time, order="2020-01-15T07:59:00~"), [OLD.version_id], NOW
        ),
    ),
    "a handoff waits": (lambda _: None, lambda world: world.state.write(waits(MINE))),
    "a claim": (lambda _: None, lambda world: world.state.write(CLAIM)),
    "a decision": (
        lambda world: world.state.write(CLAIM),
        lambda world: world.state.write(ends(CLAIM, OUTCOME, version="v1.0.0", replicas=3)),
    ),
}


@pytest.fixture
def interrupter() -> Interrupter:
    return Interrupter()


@pytest.fixture
def world(aws: boto3.session.Session, interrupter: Interrupter, monkeypatch: pytest.MonkeyPatch) -> World:
    """Give clients with the SDK's own retries, but no waiting between them."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    config = Config(retries={"mode": "standard", "total_max_attempts": 4})
    s3, table = (interrupter.watch(aws.client(name, config=config)) for name in ("s3", "dynamodb"))
    state = DynamoDBStateTable(table, TABLE, keep_seconds=3600, jitter=lambda: 0.0)
    return World(bucket=MotoBucket(s3), state=state)


@pytest.mark.parametrize("name", CASES)
def test_what_was_interrupted_comes_to_the_same_when_it_is_made_again(
    world: World, interrupter: Interrupter, name: str
) -> None:
    wanted, calls = play(world, interrupter, CASES[name]), list(interrupter.calls)
    struck = 0
    for at in range(1, len(calls) + 1):
        for how, fault in FAULTS.items():
            if "cancelled" in how and calls[at - 1] != "TransactWriteItems":
                continue
            assert play(world, interrupter, CASES[name], fault, at) == wanted, f"{how}: call {at} of {calls}"
            assert interrupter.struck, f"{how}: never got to call {at} of {calls}"
            struck += 1
    print(f"{name}: {struck} faults at {calls}")


def play(
    world: World, interrupter: Interrupter, case: tuple[Deed, Deed], fault: Fault | None = None, at: int = 0
) -> object:
    """Make a call with an interruption, and again without; give what both have left."""
    before, call = case
    forget()
    interrupter.reset()
    before(world)
    interrupter.reset(fault, at)
    if fault is not None:
        with suppress(*((LeaseLost,) if fault.passes else (Killed, Exception))):  # overtaken by its own first try
            call(world)
        interrupter.fault = None
    call(world)
    return left()


def forget() -> None:
    """Empty moto."""
    s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys.clear()
    dynamodb_backends["123456789012"]["us-east-1"].tables[TABLE].items.clear()


def left() -> object:
    """Give what lies in the bucket, and what the table says, but for times of moto's."""
    keys: Any = s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys
    objects = {key: (keys[key].value, keys[key].metadata) for key in keys if hasattr(keys[key], "value")}
    rows: Any = dynamodb_backends["123456789012"]["us-east-1"].tables[TABLE].items
    return objects, {name: {range_: item.to_json() for range_, item in found.items()} for name, found in rows.items()}
