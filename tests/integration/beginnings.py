"""What is there already when an intent is played: what others did, what a dead worker left, rows that make no sense."""

from collections.abc import Mapping
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from conductor_loop import pipeline
from conductor_loop.lifecycle import Claim
from tests.factories import BUCKET, intent
from tests.integration.conftest import TABLE, MotoBucket
from tests.integration.playing import LATE, Killed, Play


def answer_another(play: Play, **fields: Any) -> None:
    """Let another intent be decided first."""
    fields = {"target": f"target-{play.number}-other"} | fields
    world, handoff = play.world, play.drop(f"intent-{play.number}-other.json", intent(**fields))
    world.configure(priority_queues=False)
    pipeline.answer(world.app, handoff, world.deadline)
    world.configure(priority_queues=play.path.queued)
    play.others += 1


def its_row_makes_no_sense(play: Play) -> None:
    """Leave a row for the intent that nobody can read."""
    row = {"pk": {"S": f"intent#{play.file}"}, "sk": {"S": play.handoff.version_id}, "state": {"S": "queued"}}
    _put_row(row)


def its_targets_row_makes_no_sense(play: Play) -> None:
    """Leave a row for the target whose lease would never end."""
    _put_row({"pk": {"S": f"target#oran-sim/target-{play.number}"}, "sk": {"S": "-"}, "held_until": {"S": "?"}})


def files_in_its_place(play: Play) -> None:
    """Leave files where the package belongs, as an attempt does that died."""
    name = f"target-{play.number}"
    for file in ("Kptfile", "left-over.yaml"):
        key = f"packages/oran-sim/{name}/{name}-v1.0.0/{file}"
        play.world.bucket.client.put_object(Bucket=BUCKET, Key=key, Body=b"old")


def _put_row(item: dict[str, Any]) -> None:
    dynamodb_backends["123456789012"]["us-east-1"].put_item(TABLE, item)


def its_worker_is_late(play: Play) -> None:
    """Leave an attempt that was never heard of again, and whose upload lands when all is decided."""
    world = play.world
    bucket: Any = world.bucket
    quiet = MotoBucket(bucket.client)  # its worker is none of those that are killed

    def publish(claim: Claim, files: Mapping[str, bytes], _: object) -> None:
        package = next(iter(files)).rpartition("/")[0]
        play.late = lambda: quiet.publish(claim, {f"{package}{LATE}": b"late"}, {})
        raise Killed

    bucket.publish = publish
    world.configure(priority_queues=False)
    with pytest.raises(Killed):
        pipeline.answer(world.app, play.handoff, world.deadline)
    world.configure(priority_queues=play.path.queued)
    del bucket.publish
    world.clock.wait(150)  # its lease runs out


def its_worker_is_late_and_another_applied(play: Play) -> None:
    """Leave such an attempt, and a newer intent applied to the same target."""
    its_worker_is_late(play)
    answer_another(play, target=f"target-{play.number}-shared")
