"""Promises of the adapters to the sweeper: archives, listings, turns, notes and messages."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conductor_loop import messages
from conductor_loop.app import Cursor, Message, Turn
from conductor_loop.aws.measuring import StateMeasures
from conductor_loop.aws.sqs import Queues
from conductor_loop.intent import Priority
from conductor_loop.lifecycle import Applied, Claim, Pause, State
from conductor_loop.tidying import Tidied, tidy
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


def test_a_handoff_that_a_late_worker_may_have_written_for_is_found_when_its_time_has_come(parts: World) -> None:
    decided(parts, CLAIM, tidy_at=NOW + 1000)
    assert parts.state.untidy(BUCKET, NOW + 999, 9) == []
    (found,) = parts.state.untidy(BUCKET, NOW + 1000, 9)
    assert (found.handoff.key, found.handoff.version_id) == ("intent-a.json", "v1")
    assert found.handoff.event_time == HANDOFF.event_time
    assert found.outcome == OUTCOME


def test_one_that_was_decided_without_a_claim_is_found_too(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    skipped = replace(OUTCOME, state=State.SKIPPED, tidy_at=NOW + 1031)
    assert parts.state.decide_unclaimed(HANDOFF, skipped, NOW + 31, parts.row(HANDOFF)) is None
    assert [one.handoff.key for one in parts.state.untidy(BUCKET, NOW + 1031, 9)] == ["intent-a.json"]


def test_the_oldest_few_are_found_and_one_that_was_put_off_later(parts: World) -> None:
    for number in range(3):
        handoff = replace(HANDOFF, key=f"intent-{number}.json")
        decided(parts, replace(CLAIM, handoff=handoff, target=f"ns/{number}"), tidy_at=NOW + number)
    first, second = parts.state.untidy(BUCKET, NOW + 9, 2)
    assert {one.handoff.key for one in (first, second)} == {"intent-0.json", "intent-1.json"}
    assert parts.state.put_off(replace(HANDOFF, key="intent-0.json"), NOW + 600, NOW + 9)
    assert not parts.state.put_off(replace(HANDOFF, key="intent-0.json"), NOW + 600, NOW + 9)
    left = {one.handoff.key for one in parts.state.untidy(BUCKET, NOW + 9, 9)}
    assert left == {"intent-1.json", "intent-2.json"}
    assert len(parts.state.untidy(BUCKET, NOW + 600, 9)) == 3


def test_what_is_tidied_up_is_found_no_more_and_stays_as_it_was_decided(parts: World) -> None:
    decided(parts, CLAIM, tidy_at=NOW + 10)
    assert parts.row(HANDOFF).held_until == NOW + 10
    for _ in range(2):
        parts.state.tidied(HANDOFF)
    assert parts.state.untidy(BUCKET, NOW + 10, 9) == []
    assert not parts.state.put_off(HANDOFF, NOW + 600, NOW + 10)
    row = parts.row(HANDOFF)
    assert (row.state, row.outcome, row.held_until) == (State.SUCCEEDED, OUTCOME, 0)


def test_after_an_end_that_is_known_nothing_is_to_be_tidied_up(parts: World) -> None:
    decided(parts, CLAIM)
    parts.state.tidied(HANDOFF)
    assert parts.state.untidy(BUCKET, NOW + 10**6, 9) == []
    assert parts.row(HANDOFF).held_until == 0


def test_what_is_being_processed_is_not_to_be_tidied_up(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.tidied(HANDOFF)
    assert not parts.state.put_off(HANDOFF, NOW + 600, NOW + 31)
    assert parts.row(HANDOFF).held_until == CLAIM.lease_until


def test_the_row_knows_that_a_worker_may_be_late(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.postpone(CLAIM, Pause(NOW + 2, 1), NOW + 1)
    assert not parts.row(HANDOFF).late
    again = replace(CLAIM, attempt=2, owner="heir", late=True)
    parts.state.claim(again, NOW + 3, parts.row(HANDOFF))
    parts.state.postpone(again, Pause(NOW + 5, 1), NOW + 4)
    assert parts.row(HANDOFF).late
    parts.state.register(HANDOFF, State.QUEUED, NOW + 6, parts.row(HANDOFF))
    assert parts.row(HANDOFF).late


def test_a_claim_that_was_given_back_may_have_an_upload_under_way(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.postpone(CLAIM, Pause(NOW + 2, 1, counts=False), NOW + 1)
    assert parts.row(HANDOFF).late


def test_what_is_to_be_tidied_up_is_no_active_worker(world: World, aws: boto3.session.Session) -> None:
    decided(world, CLAIM, tidy_at=NOW + 1000)
    assert StateMeasures(aws.client("dynamodb"), TABLE).active_workers(NOW) == 0


def test_a_row_that_makes_no_sense_is_found_without_an_outcome(world: World, aws: boto3.session.Session) -> None:
    decided(world, CLAIM, tidy_at=NOW)
    aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": "intent#intent-a.json"}, "sk": {"S": "v1"}},
        UpdateExpression="SET outcome = :x",
        ExpressionAttributeValues={":x": {"S": "?"}},
    )
    (found,) = world.state.untidy(BUCKET, NOW, 9)
    assert found.outcome is None
    world.clock.now = NOW
    assert tidy(world.app, NOW + 10) == Tidied(tidied=1)
    assert world.state.untidy(BUCKET, NOW + 10**6, 9) == []


def decided(parts: World, claim: Claim, tidy_at: float = 0.0) -> None:
    assert parts.state.claim(claim, NOW) is None
    assert parts.state.decide(claim, replace(OUTCOME, tidy_at=tidy_at), Applied("v1.0.0", 3, ""), NOW) is None


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
