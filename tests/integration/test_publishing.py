"""Packages, and who may write them: on memory and on moto alike."""

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import Stubber
from moto.core.botocore_stubber import MockRawResponse

from conductor_loop.errors import Illegible
from conductor_loop.intents.model import order
from conductor_loop.storage.bucket import S3Bucket
from tests.factories import BUCKET, World
from tests.integration.conftest import MotoBucket, conditional
from tests.writes import HANDOFF, PUT_AT, of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(params=["memory", "aws"])
def parts(request: pytest.FixtureRequest) -> World:
    chosen: World = World() if request.param == "memory" else request.getfixturevalue("world")
    return chosen


def test_only_what_a_handoff_has_published_is_removed(parts: World) -> None:
    parts.bucket.publish(HANDOFF, 1, {"packages/ns/name/p/mine": b"1", "packages/ns/name/q/mine": b"1"})
    parts.bucket.publish(of(version_id="v2"), 2, {"packages/ns/name/p/theirs": b"2"})
    parts.bucket.remove_package(HANDOFF, "packages/ns/name/p/")
    assert set(parts.listing()) == {"packages/ns/name/p/theirs", "packages/ns/name/q/mine"}


def test_an_input_under_a_kms_key_that_is_not_for_us_is_illegible(aws: boto3.session.Session) -> None:
    client = aws.client("s3")
    said = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: kms:Decrypt on this resource"
    with Stubber(client) as stub:
        stub.add_client_error("get_object", "AccessDenied", said, 403)
        stub.add_response("list_object_versions", {"Versions": [{"Key": HANDOFF.key, "VersionId": "v1"}]})
        with pytest.raises(Illegible):
            S3Bucket(client).read(HANDOFF, 10)


LIVE = "live/ns/name/kustomization.yaml"


def test_the_live_tree_has_the_component_of_the_last_generation_in_any_order_of_writes(parts: World) -> None:
    for generation in (3, 1, 5, 4, 5):
        parts.bucket.put_live(HANDOFF, LIVE, generation, f"{generation}".encode())
    assert parts.bucket.get(BUCKET, LIVE) == b"5"
    assert [key for key in parts.bucket.keys(BUCKET) if key.startswith("live/")] == [LIVE]


def test_a_foreign_object_in_the_live_tree_is_replaced(world: World, aws: boto3.session.Session) -> None:
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
    parts.bucket.publish(HANDOFF, 1, {key: b"mine"})
    assert parts.bucket.published(HANDOFF, key) == b"mine"
    parts.bucket.remove_package(HANDOFF, "packages/ns/name/p/")
    assert parts.bucket.published(HANDOFF, key) is None


@pytest.mark.parametrize("written", ["status", "live", "archive"])
def test_what_another_worker_writes_between_the_look_and_the_write_stays(
    world: World, aws: boto3.session.Session, written: str
) -> None:
    mine, newer = world.drop(body=b"mine"), of(version_id="v2", order=order(PUT_AT, "0B"))
    mine = of(mine, order=HANDOFF.order)
    world.bucket.put_status(of(version_id="v0", order=order(PUT_AT, "09")), HANDOFF.file, b"old", final=True)
    world.bucket.put_live(HANDOFF, LIVE, 1, b"old")
    world.bucket.set_aside(HANDOFF, "failed/intent-a.json", b"old")
    rival, met = MotoBucket(conditional(aws.client("s3"))), list[str]()

    def meanwhile(**_: Any) -> None:
        if not met:
            met.append(written)
            rival.put_status(newer, HANDOFF.file, b"newer", final=True)
            rival.put_live(newer, LIVE, 7, b"newer")
            rival.set_aside(newer, "failed/intent-a.json", b"newer")

    world.bucket.client.meta.events.register("after-call.s3.HeadObject", meanwhile)
    deeds: dict[str, tuple[Callable[[], object], str]] = {
        "status": (
            lambda: world.bucket.put_status(mine, HANDOFF.file, b"mine", final=True),
            "status/intent-a.json.status",
        ),
        "live": (lambda: world.bucket.put_live(mine, LIVE, 5, b"mine"), LIVE),
        "archive": (lambda: world.bucket.archive(mine, "failed/intent-a.json"), "failed/intent-a.json"),
    }
    deed, key = deeds[written]
    deed()
    assert met
    assert world.bucket.get(BUCKET, key) == b"newer"
