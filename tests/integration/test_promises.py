"""What docs/architecture.md promises, over DynamoDB and S3: what is stored about it, and what the API says."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.reconcile import sweep
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.listing import Listing
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE

DAY = 86_400


@pytest.fixture
def inbox(aws: boto3.session.Session) -> Inbox:
    return Inbox(aws.client("s3"), BUCKET)


@pytest.fixture
def site(world: World) -> World:
    world.configure(priority_queues=True)
    return world


def queued(site: World, file: str = "intent-a.json", **fields: Any) -> Handoff:
    handoff = site.drop(file, intent(**fields))
    admit.answer(site.app, handoff, site.deadline)
    return handoff


def by_its_message(site: World) -> None:
    site.work()


def by_the_sweeper(site: World) -> None:
    site.queues.waiting.clear()
    sweep(site.app, None, site.deadline)
    site.work()


@pytest.mark.parametrize("ended", [by_its_message, by_the_sweeper])
def test_a_withdrawn_intent_ends_expires_and_frees_its_name(
    site: World, aws: boto3.session.Session, inbox: Inbox, ended: Callable[[World], None]
) -> None:
    handoff, listing = queued(site), Listing(aws.client("dynamodb"), TABLE, DAY)
    answered = listing.newest("intent-a.json")
    assert answered is not None
    assert (answered.listed.state, inbox.waiting("intent-a.json") is not None) == ("queued", True)
    site.bucket.withdraw("intent-a.json")
    ended(site)
    answered = listing.newest("intent-a.json")
    assert answered is not None
    assert answered.status is not None
    assert (answered.listed.state, answered.withdrawn, answered.takes_name) == ("skipped", True, False)
    assert answered.status["message"].startswith("Withdrawn: ")
    assert site.status()["message"].startswith("Withdrawn: ")
    key = {"pk": {"S": "intent#intent-a.json"}, "sk": {"S": handoff.version_id}}
    row = aws.client("dynamodb").get_item(TableName=TABLE, Key=key)["Item"]
    assert float(row["expires_at"]["N"]) > site.clock()
    assert inbox.put("intent-a.json", intent(), replace=False)


def test_a_row_that_waits_expires_too_where_nothing_ever_ends_it(site: World, aws: boto3.session.Session) -> None:
    handoff = queued(site)
    site.bucket.remove(handoff)  # for good: no listing has it, and its message may be lost
    (row,) = (
        item for item in aws.client("dynamodb").scan(TableName=TABLE)["Items"] if item["pk"]["S"].startswith("intent#")
    )
    assert float(row["expires_at"]["N"]) >= site.clock() + 30 * DAY


def test_an_older_version_is_skipped_under_a_newer_one_that_s3_does_not_return(
    site: World, aws: boto3.session.Session
) -> None:
    older = queued(site)
    aws.client("s3").put_object(Bucket=BUCKET, Key="intent-a.json", Body=b"{}", StorageClass="GLACIER")
    site.work()
    row = site.row(older)
    assert row.outcome is not None
    assert row.outcome.status["status"] == "skipped"
    assert site.porch.requests == []


def test_an_older_version_is_skipped_after_a_newer_one_was_refused(site: World) -> None:
    older = queued(site, replicas=50)
    message, site.queues.waiting = site.queues.waiting, []
    newer = queued(site, replicas="5")
    site.queues.waiting = message
    site.work()
    row = site.row(older)
    assert row.outcome is not None
    assert row.outcome.status["message"] == f"Superseded by version {newer.version_id} of the same name"
    assert (site.status()["status"], site.porch.requests) == ("failed", [])
