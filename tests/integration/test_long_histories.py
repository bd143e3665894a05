"""What is listed while an intent is settled does not grow with what its target has been through."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import boto3
import pytest
from moto.s3.models import s3_backends

from conductor_loop import pipeline
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Claim
from conductor_loop.settling import Answer
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE

TARGET = "oran-sim/cnf-simulator"
PAGE = 4  # entries that S3 gives at once here; 1,000 on AWS
SHORT, LONG = 2, 40  # packages that were made before


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


def make_history(world: World, packages: int, name: Callable[[int], str]) -> None:
    """Let so many intents have published for the target."""
    for number in range(packages):
        handoff = Handoff(BUCKET, f"intent-{number}.json", f"old-{number}", event_time="2020-01-01T00:00:00.000Z")
        prefix = f"packages/{TARGET}/{name(number)}/"
        claim = Claim(handoff, TARGET, f"owner-{number}", 1, world.clock() + 30)
        replacing = world.bucket.leftovers(handoff, prefix)
        world.bucket.publish(claim, {f"{prefix}{file}": b"old" for file in ("Kptfile", "patch.yaml")}, replacing)
    versions: Any = s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys
    for version in (version for key in list(versions) for version in versions.getlist(key)):
        version.last_modified = datetime(2020, 1, 1, 0, 1)  # noqa: DTZ001 - as moto has them


def named_anew(number: int) -> str:
    return f"cnf-simulator-v0.9.{number}"


def named_alike(_: int) -> str:
    return "cnf-simulator-v1.0.0"


def take_back(world: World) -> None:
    """Let an attempt die in the middle of its upload, and the next one come to nothing."""
    handoff = replace(world.drop(), event_time="2021-01-01T00:00:00.000Z")
    publish = world.bucket.publish

    def die(claim: Claim, files: Any, replacing: Any) -> None:
        some = dict(list(files.items())[:1])
        publish(claim, some, {key: seen for key, seen in replacing.items() if key in some})
        raise SystemExit

    world.bucket.publish = die
    with pytest.raises(SystemExit):
        pipeline.answer(world.app, handoff, world.deadline)
    world.bucket.publish = publish
    world.clock.wait(150)
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    assert pipeline.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.status()["status"] == "failed"


@pytest.mark.parametrize("name", [named_anew, named_alike])
@pytest.mark.parametrize("packages", [SHORT, LONG])
def test_taking_back_lists_the_attempts_own_package_only(
    world: World, listed: list[str], name: Callable[[int], str], packages: int
) -> None:
    make_history(world, packages, name)
    before = world.listing()
    listed.clear()
    take_back(world)
    assert len(listed) <= 5, listed
    assert [key for key in world.listing() if key.startswith("packages/")] == [
        key for key in before if key.startswith("packages/")
    ]


@pytest.mark.parametrize(("packages", "version"), [(SHORT, "v0.9.2"), (LONG, "v0.9.1800000002")])
def test_the_search_for_a_lost_version_ends_and_no_package_is_replaced(
    world: World, aws: boto3.session.Session, listed: list[str], packages: int, version: str
) -> None:
    make_history(world, packages, named_anew)
    key = {"pk": {"S": f"target#{TARGET}"}, "sk": {"S": "-"}}
    aws.client("dynamodb").put_item(TableName=TABLE, Item=key | {"version": {"N": "1"}})
    handoff = world.drop()
    listed.clear()
    assert pipeline.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert len(listed) <= 6, listed
    assert world.status()["package"]["name"].endswith(version)
    assert len([one for one in world.listing() if one.startswith(f"packages/{TARGET}/")]) == 2 * (packages + 1)
