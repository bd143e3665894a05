"""Promises of the adapters to the sweeper: archives, listings, turns, notes and messages."""

import json
from dataclasses import replace
from typing import Any

import boto3

from conductor_loop import messages
from conductor_loop.app import Cursor, Message, Turn
from conductor_loop.aws.sqs import Queues
from conductor_loop.intent import Priority
from conductor_loop.lifecycle import Pause, State
from tests.factories import BUCKET, World
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
    assert [handoff.key for handoff in found] == ["intent-c.json"]


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


def test_the_row_knows_when_its_last_message_was_sent(parts: World) -> None:
    parts.state.register(HANDOFF, State.QUEUED, NOW)
    parts.state.claim(CLAIM, NOW + 1, parts.row(HANDOFF))
    parts.state.postpone(CLAIM, Pause(NOW + 60, 1), NOW + 2)
    assert parts.row(HANDOFF).queued_at == NOW
    parts.state.register(HANDOFF, State.ADMITTED, NOW + 70, parts.row(HANDOFF))
    assert parts.row(HANDOFF).queued_at == NOW
    parts.state.register(HANDOFF, State.QUEUED, NOW + 80, parts.row(HANDOFF))
    assert parts.row(HANDOFF).queued_at == NOW + 80


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
