"""Promises of the bucket and of the queues, kept by S3 and SQS (on moto) and by those in memory alike."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from conductor_loop.app import Cursor, Message
from conductor_loop.errors import Gone, Illegible, NumberTaken
from conductor_loop.intent import Priority
from conductor_loop.intents import admit
from conductor_loop.intents.model import order
from conductor_loop.rates import Rate
from conductor_loop.storage.queues import SQSQueues
from tests.factories import BUCKET, World, intent
from tests.statuses import said
from tests.writes import HANDOFF, NOW, PUT_AT


def test_the_versions_below_another_one_are_older(parts: World) -> None:
    versions = [parts.bucket.drop(BUCKET, "intent-a.json", b"{}") for _ in range(3)]
    parts.bucket.drop(BUCKET, "intent-a.json5", b"{}")
    ids = [one.version_id for one in versions]
    parts.bucket.withdraw("intent-a.json")
    assert [set(parts.bucket.older_versions(one)) for one in versions] == [set(), {ids[0]}, {*ids[:2]}]


def test_a_burst_of_tokens_is_given_and_then_one_each_interval(parts: World) -> None:
    rate = Rate(quota=6, window_seconds=60, burst=3)
    taken = [parts.app.take("t", rate, NOW + after).allowed for after in (0, 0, 0, 0, 9, 10, 11, 1000)]
    assert taken == [True, True, True, False, False, True, False, True]


def test_exactly_the_version_is_read(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    found = parts.bucket.read(old, 100)
    assert found.body == b"old"
    assert found.newer_version is not None


def test_the_newest_version_has_no_newer_one(parts: World) -> None:
    parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    assert parts.bucket.read(new, 100).newer_version is None


def test_a_version_that_became_the_newest_again_has_no_newer_one(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.remove(parts.bucket.drop(BUCKET, "intent-a.json", b"new"))
    assert parts.bucket.read(old, 100).newer_version is None


def test_more_bytes_than_asked_for_are_not_read(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"12345")
    found = parts.bucket.read(handoff, 4)
    assert (found.handoff.size, found.body) == (5, None)


def test_a_deleted_version_is_distinguished(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"{}")
    parts.bucket.remove(handoff)
    with pytest.raises(Gone):
        parts.bucket.read(handoff, 100)
    with pytest.raises(Gone):
        parts.bucket.archive(handoff, "failed/intent-a.json")


def test_a_file_of_another_attempt_is_never_overwritten(parts: World) -> None:
    parts.bucket.publish(HANDOFF, 1, {"packages/x": b"1"})
    with pytest.raises(NumberTaken):
        parts.bucket.publish(HANDOFF, 2, {"packages/x": b"2"})
    assert parts.bucket.get(BUCKET, "packages/x") == b"1"


def test_an_upload_that_is_made_again_since_its_answer_was_lost_changes_nothing(parts: World) -> None:
    for _ in range(2):
        parts.bucket.publish(HANDOFF, 1, {"packages/x": b"1", "packages/y": b"2"})
    assert parts.bucket.get(BUCKET, "packages/x") == b"1"


def test_removing_a_version_leaves_the_others(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    parts.bucket.remove(new)
    assert parts.bucket.get(BUCKET, "intent-a.json") == b"old"
    parts.bucket.remove(old)
    assert parts.bucket.keys(BUCKET) == []


def test_an_event_without_a_version_means_the_newest(world: World) -> None:
    newest = world.bucket.drop(BUCKET, "intent-a.json", b"{}")
    known = world.bucket.read(replace(newest, version_id=""), 100).handoff
    assert known.version_id == newest.version_id
    assert known.event_time.endswith("Z")


def test_the_status_is_about_the_newest_version_that_has_one(parts: World) -> None:
    older, newer = HANDOFF, replace(HANDOFF, version_id="v2", order=order(PUT_AT, "0B"))
    parts.bucket.put_status(newer, HANDOFF.file, said("newer"), final=True)
    parts.bucket.put_status(older, HANDOFF.file, said("older"), final=True)
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == said("newer")
    assert parts.bucket.get(BUCKET, "status/intent-a.json@v1.status") == said("older")


def test_a_newer_version_replaces_the_status_of_an_older_one(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("older"), final=True)
    parts.bucket.put_status(
        replace(HANDOFF, version_id="v2", order=order(PUT_AT, "0B")), HANDOFF.file, said("newer"), final=True
    )
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == said("newer")


def test_a_version_that_the_sweeper_found_first_has_its_final_status_under_the_name(parts: World) -> None:
    swept = replace(HANDOFF, order="2026-11-23T03:00:00~")
    parts.bucket.put_status(swept, HANDOFF.file, said("first try"), final=False)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("final"), final=True)
    assert parts.bucket.get(BUCKET, f"status/{HANDOFF.file}.status") == said("final")


def test_a_late_try_of_a_version_leaves_nothing_beside_the_status_of_a_newer_one(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("final"), final=True)
    parts.bucket.put_status(
        replace(HANDOFF, version_id="v2", order=order(PUT_AT, "0B")), HANDOFF.file, said("newer"), final=True
    )
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("first try"), final=False)
    assert parts.bucket.keys(BUCKET) == ["status/intent-a.json.status"]


def test_a_final_status_stays_whatever_a_late_worker_says(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("first try"), final=False)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("final"), final=True)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("first try"), final=False)
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == said("final")


def test_every_version_in_the_root_is_unsettled(parts: World) -> None:
    versions = {parts.bucket.drop(BUCKET, key, b"{}").version_id for key in ("intent-a.json", "intent-a.json", "x.txt")}
    parts.bucket.put_status(HANDOFF, HANDOFF.file, said("done"), final=True)
    found, cursor = parts.bucket.unsettled(BUCKET, None, 1)
    assert {one.handoff.version_id for one in found} == versions
    assert not any(one.withdrawn for one in found)
    assert cursor is None


def test_a_decision_writes_the_row_and_the_target_and_a_rejection_the_row_and_the_name(
    world: World, aws: boto3.session.Session
) -> None:
    """And nothing that unrelated intents share: DynamoDB would cancel one of two at a time."""
    items: list[list[str]] = []
    table: Any = world.state
    table._client.meta.events.register(
        "provide-client-params.dynamodb.TransactWriteItems",
        lambda params, **_: items.append([one["Update"]["Key"]["pk"]["S"] for one in params["TransactItems"]]),
    )
    admit.answer(world.app, world.drop(body=intent(correlation_id="c-1")), world.deadline)
    admit.answer(world.app, world.drop("intent-b.json", b"{"), world.deadline)
    row, target = "intent#intent-a.json", "target#oran-sim/cnf-simulator"
    assert items == [
        [row, target, "name#intent-a.json", "correlation#c-1"],
        [row, target],
        ["intent#intent-b.json", "name#intent-b.json"],
    ]
    del aws


def test_a_listing_is_by_key_and_of_each_key_the_newest_first(parts: World) -> None:
    keys = ("intent-b.json", "intent-B.json", "intent-a.json", "intent-ä.json", "intent-a.json5", "intent-b.json")
    put = [parts.bucket.drop(BUCKET, key, b"{}") for key in keys]
    found, _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert [one.handoff.version_id for one in found] == [put[at].version_id for at in (1, 2, 4, 5, 0, 3)]


def test_what_its_owner_removed_is_withdrawn(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"{}")
    parts.bucket.withdraw("intent-a.json")
    with pytest.raises(Gone):
        parts.bucket.read(handoff, 100)
    (found,), _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert (found.handoff.version_id, found.withdrawn) == (handoff.version_id, True)
    assert parts.bucket.keys(BUCKET) == []
    parts.bucket.archive(handoff, "processed/intent-a.json")
    parts.bucket.remove(handoff)
    assert parts.bucket.unsettled(BUCKET, None, 1) == ([], None)


def test_a_name_that_is_put_again_after_it_was_withdrawn_is_not(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.withdraw("intent-a.json")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    found, _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert [(one.handoff.version_id, one.withdrawn) for one in found] == [
        (new.version_id, False),
        (old.version_id, False),
    ]
    assert parts.bucket.read(old, 100).newer_version == new.version_id


def test_an_object_that_s3_does_not_return_is_unreadable(aws: boto3.session.Session, world: World) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key="intent-a.json", Body=b"{}", StorageClass="GLACIER")
    with pytest.raises(Illegible):
        world.bucket.read(replace(HANDOFF, version_id=""), 100)


def test_an_archive_is_never_replaced_by_that_of_an_older_version(parts: World) -> None:
    old = replace(parts.bucket.drop(BUCKET, "intent-a.json", b"old"), order=order(PUT_AT, "0A"))
    new = replace(parts.bucket.drop(BUCKET, "intent-a.json", b"new"), order=order(PUT_AT, "0B"))
    for handoff in (old, new):
        assert parts.bucket.put_status(handoff, "intent-a.json", said("done"), final=True) == "intent-a.json"
    parts.bucket.archive(new, "failed/intent-a.json")
    parts.bucket.archive(old, "failed/intent-a.json")
    assert parts.bucket.get(BUCKET, "failed/intent-a.json") == b"new"
    assert parts.bucket.get(BUCKET, f"failed/intent-a.json@{old.version_id}") == b"old"


def test_an_archive_replaces_that_of_an_older_version(parts: World) -> None:
    for body in (b"old", b"new"):
        handoff = replace(
            parts.bucket.drop(BUCKET, "intent-a.json", body), order=order(PUT_AT, "0A" if body == b"old" else "0B")
        )
        parts.bucket.put_status(handoff, "intent-a.json", said("done"), final=True)
        parts.bucket.archive(handoff, "failed/intent-a.json")
    assert parts.bucket.get(BUCKET, "failed/intent-a.json") == b"new"


def test_archiving_twice_is_archiving_once(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"body")
    parts.bucket.put_status(handoff, "intent-a.json", said("done"), final=True)
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


def test_a_message_is_received_after_its_delay(aws: boto3.session.Session) -> None:
    client = aws.client("sqs")
    url = client.create_queue(QueueName="normal")["QueueUrl"]
    queues = SQSQueues(client, {Priority.NORMAL: url})
    queues.send(Message(HANDOFF), "group", delay_seconds=600)
    queues.send(Message(replace(HANDOFF, key="intent-b.json")), "group")
    received = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [Message.parse(message["Body"]).handoff.key for message in received] == ["intent-b.json"]
    counts: Any = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"])
    assert counts["Attributes"] == {"ApproximateNumberOfMessagesDelayed": "1"}


def test_a_message_says_after_its_queue_what_it_said_before() -> None:
    message = Message(HANDOFF, Priority.LOW, " (note)", swept=True)
    assert Message.parse(message.body) == message


def test_a_message_of_an_older_release_is_understood() -> None:
    written = json.loads(Message(HANDOFF).body)
    del written["swept"]
    assert Message.parse(json.dumps(written)) == Message(HANDOFF)


def test_the_next_number_of_a_target_follows_its_newest_package(parts: World) -> None:
    assert parts.bucket.next_number(HANDOFF, "ns/name") == 0
    for number in (9, 10, 2):
        parts.bucket.publish(HANDOFF, 1, {f"packages/ns/name/name-v1.0.{number}/Kptfile": b""})
    parts.bucket.publish(HANDOFF, 1, {"packages/ns/name2/name2-v1.0.99/Kptfile": b""})
    assert parts.bucket.next_number(HANDOFF, "ns/name") == 11
