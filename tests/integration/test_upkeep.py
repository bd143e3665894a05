"""Promises of the adapters to the sweeper: archives, listings, turns, notes and messages."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from conductor_loop.cleanup import Cleaned, clean_up

from conductor_loop import messages
from conductor_loop.app import Cursor, Message, Turn
from conductor_loop.aws.measuring import StateMeasures
from conductor_loop.intent import Priority
from conductor_loop.intents.model import Applied, Claim, Pause, State
from conductor_loop.storage.queues import Queues
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE
from tests.integration.test_adapters import CLAIM, HANDOFF, NOW, OUTCOME


def test_an_archive_is_never_replaced_by_that_of_an_older_version(parts: World) -> None:
    old = replace(parts.bucket.drop(BUCKET, "intent-a.json", b"old"), sequencer="0A")
    new = replace(parts.bucket.drop(BUCKET, "intent-a.json", b"new"), sequencer="0B")
    for handoff in (old, new):
        assert parts.bucket.put_status(handoff, "intent-a.json", b"{}", final=True) == "intent-a.json"
    parts.bucket.archive(new, "failed/intent-a.json")
    parts.bucket.archive(old, "failed/intent-a.json")
    assert parts.bucket.get(BUCKET, "failed/intent-a.json") == b"new"
    assert parts.bucket.get(BUCKET, f"failed/intent-a.json@{old.version_id}") == b"old"


def test_an_archive_replaces_that_of_an_older_version(parts: World) -> None:
    for body in (b"old", b"new"):
        handoff = replace(parts.bucket.drop(BUCKET, "intent-a.json", body), sequencer="0A" if body == b"old" else "0B")
        parts.bucket.put_status(handoff, "intent-a.json", b"{}", final=True)
        parts.bucket.archive(handoff, "failed/intent-a.json")
    assert parts.bucket.get(BUCKET, "failed/intent-a.json") == b"new"


def test_archiving_twice_is_archiving_once(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"body")
    parts.bucket.put_status(handoff, "intent-a.json", b"{}", final=True)
    for _ in range(2):
        parts.bucket.archive(handoff, "processed/intent-a.json")
    assert parts.bucket.get(BUCKET, "processed/intent-a.json") == b"body"
    assert [key for key in parts.bucket.keys(BUCKET) if "@" in key] == []


def test_a_listing_goes_on_behind_the_cursor_although_what_it_names_is_gone(parts: World) -> None:
    handoffs = [parts.bucket.drop(BUCKET, f"intent-{name}.json", b"{}") for name in "abc"]
    parts.bucket.remove(handoffs[0])
    found, _ = parts.bucket.unsettled(BUCKET, Cursor(handoffs[1].key, handoffs[1].version_id), 1)
    assert [one.handoff.key for one in found] == ["intent-c.json"]


def test_a_listing_that_goes_on_within_a_name_knows_that_its_owner_has_removed_it(parts: World) -> None:
    old, new = (parts.bucket.drop(BUCKET, "intent-a.json", body) for body in (b"old", b"new"))
    at = Cursor(new.key, new.version_id)
    assert [one.withdrawn for one in parts.bucket.unsettled(BUCKET, at, 1)[0]] == [False]
    parts.bucket.withdraw("intent-a.json")
    (found,), _ = parts.bucket.unsettled(BUCKET, at, 1)
    assert (found.handoff.version_id, found.withdrawn) == (old.version_id, True)


def test_one_sweep_runs_at_a_time_and_the_next_goes_on_where_it_ended(parts: World) -> None:
    turn = parts.state.begin_sweep("me", NOW + 55, NOW)
    assert turn == Turn("me", None)
    assert parts.state.begin_sweep("rival", NOW + 99, NOW + 54) is None
    parts.state.end_sweep(Turn("me", Cursor("intent-a.json", "v1")))
    assert parts.state.begin_sweep("next", NOW + 99, NOW + 54) == Turn("next", Cursor("intent-a.json", "v1"))
    parts.state.end_sweep(Turn("next", None))
    assert parts.state.begin_sweep("again", NOW + 99, NOW + 54) == Turn("again", None)


def test_a_sweep_that_died_is_followed_by_the_next_and_cannot_end_it(parts: World) -> None:
    parts.state.begin_sweep("dead", NOW + 55, NOW)
    assert parts.state.begin_sweep("next", NOW + 115, NOW + 60) is not None
    parts.state.end_sweep(Turn("dead", None))
    assert parts.state.begin_sweep("rival", NOW + 199, NOW + 61) is None


def test_tries_of_the_sweeper_are_noted(parts: World) -> None:
    parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW)
    parts.state.note_sweep(HANDOFF, NOW + 60)
    parts.state.note_sweep(HANDOFF, NOW + 180)
    row = parts.row(HANDOFF)
    assert (row.sweeps, row.swept_at, row.since) == (2, NOW + 180, NOW)


def test_a_try_of_the_sweeper_makes_no_row(parts: World) -> None:
    with pytest.raises((KeyError, ClientError)):
        parts.state.note_sweep(HANDOFF, NOW + 60)
    assert parts.state.read([HANDOFF]) == {}


def test_the_row_knows_when_its_last_message_was_sent(parts: World) -> None:
    parts.state.register(HANDOFF, State.QUEUED, NOW)
    parts.state.claim(CLAIM, NOW + 1, parts.row(HANDOFF))
    parts.state.postpone(CLAIM, Pause(NOW + 60, 1), NOW + 2)
    assert parts.row(HANDOFF).queued_at == NOW
    parts.state.register(HANDOFF, State.ADMITTED, NOW + 70, parts.row(HANDOFF))
    assert parts.row(HANDOFF).queued_at == NOW
    parts.state.register(HANDOFF, State.QUEUED, NOW + 80, parts.row(HANDOFF))
    assert parts.row(HANDOFF).queued_at == NOW + 80


def test_a_handoff_is_found_when_it_is_to_be_cleaned_up_after(parts: World) -> None:
    decided(parts, CLAIM, clean_up_at=NOW + 1000)
    assert parts.state.uncleaned(BUCKET, NOW + 999, 9) == []
    (found,) = parts.state.uncleaned(BUCKET, NOW + 1000, 9)
    assert (found.bucket, found.key, found.version_id) == (BUCKET, "intent-a.json", "v1")


def test_one_that_was_decided_without_a_claim_is_found_too(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    skipped = replace(OUTCOME, state=State.SKIPPED, clean_up_at=NOW + 1031)
    assert parts.state.decide_unclaimed(HANDOFF, skipped, NOW + 31, parts.row(HANDOFF)) is None
    assert [one.key for one in parts.state.uncleaned(BUCKET, NOW + 1031, 9)] == ["intent-a.json"]
    assert parts.row(HANDOFF).reserved == (0,)


def test_the_oldest_few_are_found_first(parts: World) -> None:
    for number in range(3):
        handoff = replace(HANDOFF, key=f"intent-{number}.json")
        decided(parts, replace(CLAIM, handoff=handoff, target=f"ns/{number}"), clean_up_at=NOW + number)
    found = parts.state.uncleaned(BUCKET, NOW + 9, 2)
    assert [one.key for one in found] == ["intent-0.json", "intent-1.json"]


def test_what_is_cleaned_up_is_found_no_more_and_stays_as_it_was_decided(parts: World) -> None:
    decided(parts, replace(CLAIM, earlier=(7,)), clean_up_at=NOW + 10)
    assert (parts.row(HANDOFF).held_until, parts.row(HANDOFF).reserved) == (NOW + 10, (7,))
    parts.state.cleaned(HANDOFF, (7,))
    assert parts.row(HANDOFF).reserved == (7,)
    assert len(parts.state.uncleaned(BUCKET, NOW + 10, 9)) == 1
    for _ in range(2):
        parts.state.cleaned(HANDOFF)
    assert parts.state.uncleaned(BUCKET, NOW + 10, 9) == []
    row = parts.row(HANDOFF)
    assert (row.state, row.outcome, row.held_until, row.reserved) == (State.SUCCEEDED, OUTCOME, 0, ())


def test_what_is_not_to_be_cleaned_up_stays_as_it_is(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.cleaned(HANDOFF)
    assert (parts.row(HANDOFF).held_until, parts.row(HANDOFF).reserved) == (CLAIM.lease_until, (0,))


def test_numbers_outlast_a_hand_over(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.register(HANDOFF, State.QUEUED, NOW + 31, parts.row(HANDOFF))
    assert parts.row(HANDOFF).reserved == (0,)


def test_what_is_to_be_cleaned_up_is_no_active_worker(world: World, aws: boto3.session.Session) -> None:
    decided(world, CLAIM, clean_up_at=NOW + 1000)
    assert StateMeasures(aws.client("dynamodb"), TABLE).active_workers(NOW) == 0


def test_a_row_that_makes_no_sense_is_in_the_way_of_no_clean_up(world: World, aws: boto3.session.Session) -> None:
    decided(world, CLAIM, clean_up_at=NOW)
    aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": "intent#intent-a.json"}, "sk": {"S": "v1"}},
        UpdateExpression="SET outcome = :x",
        ExpressionAttributeValues={":x": {"S": "?"}},
    )
    world.clock.now = NOW
    assert clean_up(world.app, NOW + 10) == Cleaned(cleaned=1)
    assert world.state.uncleaned(BUCKET, NOW + 10**6, 9) == []


def decided(parts: World, claim: Claim, clean_up_at: float = 0.0) -> None:
    assert parts.state.claim(claim, NOW) is None
    outcome = replace(OUTCOME, clean_up_at=clean_up_at)
    assert parts.state.decide(claim, outcome, Applied("v1.0.0", 3, ""), NOW) is None


def test_a_correlation_id_is_free_once_it_expired_although_its_row_is_there_still(world: World) -> None:
    world.state.claim(replace(CLAIM, correlation_id="c-1"), NOW)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), target="ns/other", correlation_id="c-1")
    kept = 3600 + 30 * 86_400
    assert world.state.claim(other, NOW + kept) is not None
    assert world.state.claim(other, NOW + kept + 1) is None


def test_a_message_is_received_after_its_delay(aws: boto3.session.Session) -> None:
    client = aws.client("sqs")
    url = client.create_queue(QueueName="normal")["QueueUrl"]
    queues = Queues(client, {Priority.NORMAL: url})
    queues.send(Message(HANDOFF), "group", delay_seconds=600)
    queues.send(Message(replace(HANDOFF, key="intent-b.json")), "group")
    received = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [messages.read(message["Body"]).handoff.key for message in received] == ["intent-b.json"]
    counts: Any = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"])
    assert counts["Attributes"] == {"ApproximateNumberOfMessagesDelayed": "1"}


def test_a_message_says_after_its_queue_what_it_said_before() -> None:
    message = Message(HANDOFF, Priority.LOW, " (note)", swept=True)
    assert messages.read(messages.write(message)) == message


def test_a_message_of_an_older_release_is_understood() -> None:
    written = json.loads(messages.write(Message(HANDOFF)))
    del written["swept"]
    assert messages.read(json.dumps(written)) == Message(HANDOFF)
