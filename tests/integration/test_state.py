"""Promises of the state table, kept by DynamoDB (on moto) and by the table in memory alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from conductor_loop.app import Cursor
from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intents.model import Conflict, Row, State, Write, order
from conductor_loop.intents.outcome import describe
from conductor_loop.porch import Delivered, PorchFailed, Run
from conductor_loop.porch.report import PackageRevision
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE
from tests.writes import (
    HANDOFF,
    NAME,
    NOW,
    OUTCOME,
    PUT_AT,
    claims,
    concludes,
    ends,
    made,
    of,
    refused,
    retries,
    waits,
)

NEWER = of(version_id="v2", order=order(PUT_AT, "0B"))
OTHER = of(key="intent-b.json")
FAILURE = describe(
    Row(attempt=1),
    PorchFailed(
        Cause.PROCESSING_TIMEOUT,
        Run(-1, "ü", "", 30.0),
        "late.",
        Delivered("repository", 1, 2, PackageRevision("default", "edge-1.a.b", "Proposed")),
    ),
)


# -- a row is written upon the revision that was read


def history(world: World, name: str) -> tuple[Row, ...]:
    """Write a row's history; all of its revisions."""
    claim = claims(before=waits().after)
    writes: dict[str, list[Write]] = {"no row": [], "waiting": [waits()], "running": [waits(), claim]}
    writes |= {"retrying": [waits(), claim, retries(claim)], "done": [waits(), claim, ends(claim)]}
    made(world, *writes[name])
    return (Row(), *(write.after for write in writes[name]))


@pytest.mark.parametrize("name", ["no row", "waiting", "running", "retrying", "done"])
@pytest.mark.parametrize("write", [waits, claims, concludes])
def test_only_a_write_upon_the_last_revision_is_made(parts: World, name: str, write: Callable[..., Write]) -> None:
    *stale, last = history(parts, name)
    target = parts.state.target(NAME)
    given: dict[str, Any] = {"target": target} if write is claims else {}
    for before in [*stale, replace(last, rev=last.rev + 1)]:
        assert refused(parts, write(before=before, **given)).row == last
        assert parts.state.find([HANDOFF]).get(HANDOFF, Row()) == last
        assert parts.state.target(NAME) == target, "all or nothing"
    made(parts, write(before=last, **given))
    assert parts.row(HANDOFF).rev == last.rev + (1 if last.rev or write is waits else 2)


def test_a_row_is_read_as_it_was_written(parts: World) -> None:
    claim = claims()
    made(parts, claim)
    assert parts.row(HANDOFF) == claim.after
    assert parts.state.target(NAME) == claim.lease.after  # type: ignore[union-attr]
    made(parts, retries(claim, failure=FAILURE))
    assert parts.row(HANDOFF).failure == FAILURE
    claim = claims(before=parts.row(HANDOFF), target=parts.state.target(NAME))
    made(parts, claim, ends(claim, last_order=HANDOFF.order, last_file=HANDOFF.file, version=None, replicas=3))
    assert parts.row(HANDOFF).outcome == OUTCOME
    assert parts.state.find([HANDOFF, NEWER]).keys() == {HANDOFF}


def test_a_write_leaves_the_fields_that_it_does_not_change(parts: World) -> None:
    """A late event gives the order of what a worker holds, which keeps its lease."""
    claim = claims(of(order="2026-11-23T03:00:00~"))
    made(parts, claim)
    made(parts, Write(HANDOFF, claim.after, replace(claim.after, order=HANDOFF.order), NOW))
    made(parts, retries(claim))
    assert parts.row(HANDOFF).order == HANDOFF.order
    assert parts.row(HANDOFF).state is State.WAITING


def test_a_write_that_the_sdk_repeats_is_refused_by_itself(parts: World) -> None:
    claim = claims(before=waits().after)
    for write in (waits(), claim, retries(claim)):
        made(parts, write)
        assert refused(parts, write).row == write.after


def test_a_message_expects_no_row_that_was_claimed_or_decided_at_once(parts: World) -> None:
    expected = Row(rev=1, entries=1, queued=True)
    made(parts, concludes())
    assert refused(parts, claims(before=expected)).row == concludes().after
    made(parts, claims(OTHER))
    assert refused(parts, concludes(OTHER, expected)).row == claims(OTHER).after


# -- a target is written upon the revision that was read


def test_another_handoff_cannot_claim_a_target_that_was_written_meanwhile(parts: World) -> None:
    claim = claims()
    made(parts, claim)
    assert refused(parts, claims(OTHER)) == Conflict(target=parts.state.target(NAME))
    assert parts.state.find([OTHER]) == {}
    heir = claims(OTHER, target=parts.state.target(NAME), at=NOW + 31)
    made(parts, heir)
    assert refused(parts, ends(claim, at=NOW + 32)).target == heir.lease.after  # type: ignore[union-attr]
    assert parts.row(HANDOFF) == claim.after, "a worker whose target was taken over decides nothing"
    made(parts, ends(heir, at=NOW + 33))


# -- a name, a correlation id


@pytest.mark.parametrize("newer", [waits, claims, lambda handoff: concludes(handoff, newest=handoff.version_id)])
@pytest.mark.parametrize("older", [waits, lambda: claims(name="ns/other"), lambda: concludes(newest="v1")])
def test_an_older_version_of_a_name_is_refused_once_a_newer_one_was_seen(
    parts: World, newer: Callable[..., Write], older: Callable[[], Write]
) -> None:
    made(parts, newer(NEWER))
    assert refused(parts, older()) == Conflict(newer_version="v2")
    made(parts, concludes())  # which notes nothing of the name
    made(parts, claims(NEWER, parts.row(NEWER), parts.state.target(NAME)))


def test_a_version_stands_above_those_that_are_known_to_be_older(parts: World) -> None:
    made(parts, claims())
    swept = of(version_id="v2", order="2026-11-23T03:00:00~")
    for older in ([], ["v0"], ["v0", "v1"]):
        assert refused(parts, claims(swept, name="ns/other")).newer_version == "v1"
        parts.state.outrank(swept, older, NOW)
    made(parts, claims(swept, name="ns/other"))
    again = claims(before=parts.row(HANDOFF), target=parts.state.target(NAME))
    assert refused(parts, again).newer_version == "v2"


def test_a_correlation_id_belongs_to_one_file(parts: World) -> None:
    made(parts, replace(claims(), correlation_id="c-1"))
    assert refused(parts, replace(claims(OTHER, name="ns/b"), correlation_id="c-1")).correlated_file == "intent-a.json"
    made(parts, replace(claims(NEWER, name="ns/other"), correlation_id="c-1"))


def test_a_correlation_id_is_free_once_it_expired_although_its_row_is_there_still(world: World) -> None:
    made(world, replace(claims(), correlation_id="c-1"))
    kept = 3600 + 30 * 86_400
    other = replace(claims(OTHER, name="ns/b"), correlation_id="c-1")
    assert refused(world, replace(other, at=NOW + kept)).correlated_file
    made(world, replace(other, at=NOW + kept + 1))


# -- what else is kept


def test_rows_expire_after_the_time_they_are_kept(world: World, aws: boto3.session.Session) -> None:
    made(world, concludes())
    items: list[Any] = aws.client("dynamodb").scan(TableName=TABLE)["Items"]
    (row,) = [item for item in items if item["pk"]["S"].startswith("intent#")]
    assert row["expires_at"] == {"N": str(int(NOW) + 3600 + 30 * 86_400)}


def test_a_handoff_is_found_when_it_is_to_be_cleaned_up_after(parts: World) -> None:
    for number in range(3):
        handoff = of(key=f"intent-{number}.json")
        claim = claims(handoff, name=f"ns/{number}")
        done = ends(claim)
        made(parts, claim, replace(done, after=replace(done.after, due_at=NOW + 10 + number, packages=(7,))))
    assert parts.state.uncleaned(BUCKET, NOW + 9, 9) == []
    assert [one.key for one in parts.state.uncleaned(BUCKET, NOW + 99, 2)] == ["intent-0.json", "intent-1.json"]
    (found,) = parts.state.uncleaned(BUCKET, NOW + 10, 9)
    assert (found.bucket, found.key, found.version_id) == (BUCKET, "intent-0.json", "v1")
    row = parts.row(found)
    made(parts, Write(found, row, row.next(packages=(), due_at=0.0), NOW))
    assert parts.state.uncleaned(BUCKET, NOW + 10, 9) == []


def test_a_corrupt_row_is_distinguished(world: World, aws: boto3.session.Session) -> None:
    made(world, waits())
    key = {"pk": {"S": "intent#intent-a.json"}, "sk": {"S": "v1"}}
    aws.client("dynamodb").update_item(
        TableName=TABLE, Key=key, UpdateExpression="SET attempt = :x", ExpressionAttributeValues={":x": {"S": "?"}}
    )
    with pytest.raises(Unreadable):
        world.state.write(claims())
    assert world.state.find([HANDOFF]) == {}


# -- where the next sweep goes on


def test_a_sweep_goes_on_where_the_last_one_ended(parts: World) -> None:
    assert parts.state.cursor() is None
    parts.state.keep_cursor(Cursor("intent-a.json", "v1"))
    assert parts.state.cursor() == Cursor("intent-a.json", "v1")
    parts.state.keep_cursor(None)
    assert parts.state.cursor() is None
