"""What is listed while an intent is settled does not grow with what its target has been through."""

from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.attempt import LATEST_WRITE_SECONDS, package_prefix
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import clean_up
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE
from tests.writes import claims, ends, made

TARGET = "oran-sim/cnf-simulator"
PAGE = 4  # entries that S3 gives at once here; 1,000 on AWS
PACKAGES = 12  # that were made before


@pytest.fixture
def listed(world: World) -> list[str]:
    """Make pages short; the names of the listings that are asked for."""
    listed: list[str] = []

    def shorten(params: dict[str, Any], model: Any, **_: Any) -> None:
        listed.append(model.name)
        params["MaxKeys"] = PAGE

    for name in ("ListObjectsV2", "ListObjectVersions"):
        world.bucket.client.meta.events.register(f"before-parameter-build.s3.{name}", shorten)
    return listed


def make_history(world: World) -> None:
    """Let so many intents have published for the target."""
    for number in range(PACKAGES):
        handoff = Handoff(BUCKET, f"intent-{number}.json", f"old-{number}", event_time="2020-01-01T00:00:00.000Z")
        claim = claims(handoff, target=world.state.target(TARGET), name=TARGET)
        prefix = package_prefix(TARGET, number)
        world.bucket.publish(handoff, 1, {f"{prefix}{file}": b"old" for file in ("Kptfile", "patch.yaml")})
        made(world, claim, ends(claim, version=f"v1.0.{number}", replicas=1))


def come_to_nothing(world: World) -> None:
    """Let an attempt die in the middle of its upload, and the next one come to nothing."""
    handoff = world.drop()
    publish = world.bucket.publish

    def die(handoff: Handoff, claim: int, files: Mapping[str, bytes]) -> None:
        publish(handoff, claim, dict(list(files.items())[:1]))
        raise SystemExit

    world.bucket.publish = die
    with pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    world.bucket.publish = publish
    world.clock.wait(150)
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.status()["status"] == "failed"


def test_clean_up_lists_the_attempts_own_package_only(world: World, listed: list[str]) -> None:
    make_history(world)
    before = world.listing()
    listed.clear()
    come_to_nothing(world)
    world.clock.wait(LATEST_WRITE_SECONDS)
    assert clean_up(world.app, world.deadline) == (1, 0)
    assert len(listed) == 1, listed
    assert [key for key in world.listing() if key.startswith("packages/")] == [
        key for key in before if key.startswith("packages/")
    ]


def test_a_number_that_was_lost_is_that_after_the_newest_package(
    world: World, aws: boto3.session.Session, listed: list[str]
) -> None:
    make_history(world)
    aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"target#{TARGET}"}, "sk": {"S": "-"}},
        UpdateExpression="SET lease_expires_at = :garbage",
        ExpressionAttributeValues={":garbage": {"S": "?"}},
    )
    handoff = world.drop()
    listed.clear()
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.status()["package"]["prefix"] == package_prefix(TARGET, PACKAGES)
    assert len([one for one in world.listing() if one.startswith(f"packages/{TARGET}/")]) == 2 * (PACKAGES + 1)
