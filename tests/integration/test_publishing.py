"""Packages, and who may write them: on memory and on moto alike."""

from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import Stubber
from moto.core.botocore_stubber import MockRawResponse

from conductor_loop.errors import Illegible
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Applied, Claim, Outcome, State, earliest, order
from conductor_loop.storage.bucket import Bucket
from tests.factories import BUCKET, World

NOW = 1_800_000_000.0
HANDOFF = Handoff(BUCKET, "intent-a.json", "v1", event_time="2020-11-23T03:00:00.000Z", sequencer="0A")
APPLIED = Applied("v1.0.0", 1, order(HANDOFF))
CLAIM = Claim(HANDOFF, "ns/name", owner="me", attempt=1, lease_until=NOW + 30)
FAILED = Outcome(State.FAILED, {"status": "failed"}, "failed")
SUCCEEDED = Outcome(State.SUCCEEDED, {"status": "success"}, "processed")


@pytest.fixture(params=["memory", "aws"])
def parts(request: pytest.FixtureRequest) -> World:
    chosen: World = World() if request.param == "memory" else request.getfixturevalue("world")
    return chosen


def test_only_what_a_handoff_has_published_is_removed(parts: World) -> None:
    other = replace(CLAIM, handoff=replace(HANDOFF, version_id="v2"), owner="other")
    parts.bucket.publish(CLAIM, {"packages/ns/name/p/mine": b"1", "packages/ns/name/q/mine": b"1"})
    parts.bucket.publish(other, {"packages/ns/name/p/theirs": b"2"})
    parts.bucket.remove_package(HANDOFF, "packages/ns/name/p/")
    assert set(parts.listing()) == {"packages/ns/name/p/theirs", "packages/ns/name/q/mine"}


def test_a_claim_whose_target_was_taken_over_decides_nothing(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="other", number=1)
    assert parts.state.claim(other, NOW + 31) is None
    refusal = parts.state.decide(CLAIM, SUCCEEDED, APPLIED, NOW + 32)
    assert refusal is not None
    assert refusal.target is not None
    assert parts.row(HANDOFF).state is State.PROCESSING


def test_an_order_that_is_known_to_the_second_supersedes_nobody_of_that_second(parts: World) -> None:
    swept = replace(CLAIM, handoff=replace(HANDOFF, sequencer="~"))
    parts.state.claim(swept, NOW)
    parts.state.decide(swept, SUCCEEDED, replace(APPLIED, order=earliest(order(swept.handoff))), NOW + 1)
    known = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="other", number=1)
    assert parts.state.claim(known, NOW + 2) is None
    before = replace(HANDOFF, key="intent-c.json", event_time="2020-11-23T02:59:59.999Z")
    parts.state.decide(known, SUCCEEDED, APPLIED, NOW + 3)
    assert parts.state.claim(replace(CLAIM, handoff=before, owner="late", number=2), NOW + 4) is not None


def test_an_input_under_a_kms_key_that_is_not_for_us_is_illegible(aws: boto3.session.Session) -> None:
    client = aws.client("s3")
    said = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: kms:Decrypt on this resource"
    with Stubber(client) as stub:
        stub.add_client_error("get_object", "AccessDenied", said, 403)
        stub.add_response("list_object_versions", {"Versions": [{"Key": HANDOFF.key, "VersionId": "v1"}]})
        with pytest.raises(Illegible):
            Bucket(client).read(HANDOFF, 10)


LIVE = "live/ns/name/kustomization.yaml"


def test_the_live_tree_has_the_component_of_the_last_generation_whoever_comes_last(parts: World) -> None:
    for generation in (3, 1, 5, 4, 5):
        parts.bucket.put_live(HANDOFF, LIVE, generation, f"{generation}".encode())
    assert parts.bucket.get(BUCKET, LIVE) == b"5"
    assert [key for key in parts.bucket.keys(BUCKET) if key.startswith("live/")] == [LIVE]


def test_what_somebody_else_has_put_into_the_live_tree_is_replaced(world: World, aws: boto3.session.Session) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key=LIVE, Body=b"?", Metadata={"generation": "many"})
    world.bucket.put_live(HANDOFF, LIVE, 1, b"1")
    assert world.bucket.get(BUCKET, LIVE) == b"1"


@pytest.mark.parametrize("refused", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_a_component_that_was_refused_is_compared_again(world: World, aws: boto3.session.Session, refused: str) -> None:
    """Another one is written between the look and the write, which S3 refuses as 412, or as 409 while it lasts."""
    client, other = world.bucket._client, aws.client("s3")
    puts: list[int] = []

    def answer(**_: Any) -> AWSResponse | None:
        puts.append(1)
        if len(puts) > 1:
            return None
        metadata = {"generation": "7" if refused == "PreconditionFailed" else "2"}
        other.put_object(Bucket=BUCKET, Key=LIVE, Body=b"theirs", Metadata=metadata)
        status = 412 if refused == "PreconditionFailed" else 409
        body = f"<Error><Code>{refused}</Code><Message>-</Message></Error>".encode()
        return AWSResponse("", status, HTTPHeaders(), MockRawResponse(body))

    client.meta.events.register_first("before-send.s3.PutObject", answer)
    world.bucket.put_live(HANDOFF, LIVE, 5, b"mine")
    assert world.bucket.get(BUCKET, LIVE) == (b"theirs" if refused == "PreconditionFailed" else b"mine")


def test_a_file_of_a_package_is_read_where_it_is_still_there(parts: World) -> None:
    key = "packages/ns/name/p/kustomization.yaml"
    assert parts.bucket.published(HANDOFF, key) is None
    parts.bucket.publish(CLAIM, {key: b"mine"})
    assert parts.bucket.published(HANDOFF, key) == b"mine"
    parts.bucket.remove_package(HANDOFF, "packages/ns/name/p/")
    assert parts.bucket.published(HANDOFF, key) is None
