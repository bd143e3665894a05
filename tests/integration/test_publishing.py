"""What stands in the place of a package: on memory and on moto alike."""

from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import Stubber
from moto.core.botocore_stubber import MockRawResponse

from conductor_loop.aws.s3 import Bucket
from conductor_loop.errors import Illegible
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Pause, State
from conductor_loop.order import earliest, order
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


def _next_claim(parts: World, number: int, at: float) -> Claim:
    claim = Claim(
        replace(HANDOFF, key=f"intent-{number}.json", event_time=f"2026-11-23T03:00:{number:02}.000Z"),
        "ns/name",
        owner=f"owner-{number}",
        attempt=1,
        lease_until=at + 30,
    )
    assert parts.state.claim(claim, at) is None
    return claim


def test_only_what_a_handoff_has_published_is_retracted(parts: World) -> None:
    other = replace(CLAIM, handoff=replace(HANDOFF, version_id="v2"), owner="other")
    parts.bucket.publish(CLAIM, {"packages/ns/name/p/mine": b"1"}, {})
    parts.bucket.publish(other, {"packages/ns/name/p/theirs": b"2"}, {})
    parts.bucket.retract(HANDOFF, "packages/ns/name/")
    assert parts.bucket.leftovers(HANDOFF, "packages/").keys() == {"packages/ns/name/p/theirs"}


def test_only_what_one_attempt_has_published_is_retracted(parts: World) -> None:
    parts.bucket.publish(CLAIM, {"packages/ns/name/p/early": b"1"}, {})
    parts.bucket.publish(replace(CLAIM, owner="heir"), {"packages/ns/name/p/late": b"2"}, {})
    parts.bucket.retract(HANDOFF, "packages/ns/name/", "me")
    assert parts.bucket.leftovers(HANDOFF, "packages/").keys() == {"packages/ns/name/p/late"}


def test_what_is_to_be_kept_is_not_retracted(parts: World) -> None:
    parts.bucket.publish(CLAIM, {"packages/ns/name/p/kept": b"1", "packages/ns/name/p/other": b"2"}, {})
    parts.bucket.retract(HANDOFF, "packages/ns/name/", keep={"packages/ns/name/p/kept"})
    assert parts.bucket.leftovers(HANDOFF, "packages/").keys() == {"packages/ns/name/p/kept"}


def test_what_was_replaced_by_a_file_that_is_retracted_comes_back(parts: World) -> None:
    other = replace(CLAIM, handoff=replace(HANDOFF, version_id="v0"), owner="other")
    parts.bucket.publish(other, {"packages/p/file": b"theirs"}, {})
    parts.bucket.publish(CLAIM, {"packages/p/file": b"mine"}, parts.bucket.leftovers(HANDOFF, "packages/p/"))
    parts.bucket.retract(HANDOFF, "packages/p/")
    assert parts.bucket.get(BUCKET, "packages/p/file") == b"theirs"


def test_the_place_is_clean_after_a_success_and_after_an_attempt_that_published_nothing(parts: World) -> None:
    first = _next_claim(parts, 1, NOW)
    assert parts.state.target("ns/name").unclean is False
    parts.state.decide(first, SUCCEEDED, APPLIED, NOW + 1)
    second = _next_claim(parts, 2, NOW + 2)
    assert parts.state.target("ns/name").unclean is False
    parts.state.decide(second, FAILED, None, NOW + 3)
    third = _next_claim(parts, 3, NOW + 4)
    parts.state.postpone(third, Pause(NOW + 5, 1), NOW + 5)
    _next_claim(parts, 4, NOW + 6)
    assert parts.state.target("ns/name").unclean is False


def test_the_place_is_unclean_behind_a_dead_attempt_until_somebody_succeeds(parts: World) -> None:
    _next_claim(parts, 1, NOW)
    second = _next_claim(parts, 2, NOW + 31)
    assert parts.state.target("ns/name").unclean is True
    parts.state.decide(second, FAILED, None, NOW + 32)
    third = _next_claim(parts, 3, NOW + 33)
    assert parts.state.target("ns/name").unclean is True, "the second one has published nothing, and mended nothing"
    parts.state.decide(third, SUCCEEDED, APPLIED, NOW + 34)
    _next_claim(parts, 4, NOW + 35)
    assert parts.state.target("ns/name").unclean is False


def test_the_place_is_unclean_behind_an_attempt_that_gave_up_half_way(parts: World) -> None:
    first = _next_claim(parts, 1, NOW)
    parts.state.postpone(first, Pause(NOW + 1, 1, counts=False), NOW + 1)
    assert parts.row(first.handoff).attempt == 0
    _next_claim(parts, 2, NOW + 2)
    assert parts.state.target("ns/name").unclean is True


def test_a_claim_whose_target_was_taken_over_decides_nothing(parts: World) -> None:
    first = _next_claim(parts, 1, NOW)
    _next_claim(parts, 2, NOW + 31)
    refusal = parts.state.decide(first, SUCCEEDED, APPLIED, NOW + 32)
    assert refusal is not None
    assert refusal.target is not None
    assert parts.row(first.handoff).state is State.PROCESSING


def test_an_order_that_is_known_to_the_second_supersedes_nobody_of_that_second(parts: World) -> None:
    swept = replace(CLAIM, handoff=replace(HANDOFF, sequencer="~"))
    parts.state.claim(swept, NOW)
    parts.state.decide(swept, SUCCEEDED, replace(APPLIED, order=earliest(order(swept.handoff))), NOW + 1)
    known = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="other")
    assert parts.state.claim(known, NOW + 2) is None
    before = replace(HANDOFF, key="intent-c.json", event_time="2020-11-23T02:59:59.999Z")
    parts.state.decide(known, SUCCEEDED, APPLIED, NOW + 3)
    assert parts.state.claim(replace(CLAIM, handoff=before, owner="late"), NOW + 4) is not None


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


def test_a_package_is_read_as_the_handoff_published_it(parts: World) -> None:
    key, other = "packages/ns/name/p/kustomization.yaml", replace(CLAIM, handoff=replace(HANDOFF, version_id="v2"))
    assert parts.bucket.published(HANDOFF, key) is None
    parts.bucket.publish(CLAIM, {key: b"mine", f"{key}.old": b"-"}, {})
    assert parts.bucket.published(HANDOFF, key) == b"mine"
    parts.bucket.publish(other, {key: b"theirs"}, parts.bucket.leftovers(HANDOFF, "packages/"))
    assert parts.bucket.published(HANDOFF, key) == b"mine"
    assert parts.bucket.published(other.handoff, key) == b"theirs"
