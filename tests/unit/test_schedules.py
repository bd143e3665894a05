"""Random histories, others in each run: whatever comes between, every handoff has one outcome and nothing is lost."""

import json
import os
import sys
from collections import Counter
from itertools import combinations

import pytest

from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intents.model import is_exact
from tests.factories import BUCKET
from tests.memory import UNREADABLE
from tests.schedules import Schedule
from tests.watched import assert_live, assert_trail
from tests.workers import Drop

SEED, SCHEDULES = int(os.environ["SEED"]), int(os.environ["SCHEDULES"])  # tests/conftest.py chooses
_BATCHES = 8


@pytest.mark.parametrize("batch", range(_BATCHES))
def test_every_history_ends_with_one_answer_for_each_handoff(batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    seeds = range(SEED + batch, SEED + SCHEDULES, _BATCHES)
    for seed in seeds:
        try:
            check(seed, counts)
        except Exception as error:
            error.add_note(f"replay: SEED={seed} SCHEDULES=1 .venv/bin/pytest tests/unit/test_schedules.py")
            raise
    with capsys.disabled():
        happened = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        sys.stdout.write(f"\n  {len(seeds)} schedules: {happened} ")


def check(seed: int, counts: Counter[str]) -> None:
    """Play one history, and hold what it left against everything that must be true."""
    played = Schedule(seed, counts)
    played.run()
    for row in played.state.read(drop.handoff for drop in played.drops.values()).values():
        if isinstance(row, Unreadable):  # and was never read again
            played.state.reset(row, played.now, {})
    for drop in played.drops.values():
        if _is_answered(played, drop):
            _assert_decided_once(played, drop)
            _assert_archived(played, drop)
            _assert_reported(played, drop)
            _assert_true(played, drop)
    for name in {drop.handoff.key for drop in played.drops.values()}:
        _assert_status_is_of_the_newest(played, name)
    _assert_packages_stay(played)
    _assert_in_order(played)
    assert_live(played.state, played.bucket, played.packages)
    assert_trail(played.state, played.bucket, played.drops.values())


def _is_answered(played: Schedule, drop: Drop) -> bool:
    """Say whether it has an answer. None has only what its owner removed: before anybody saw it, or for good.

    Of what was deleted for good, and has no delivery left, no record is left but its row, until that expires.
    """
    if drop.decided:
        return True
    row = played.state.find([drop.handoff]).get(drop.handoff)
    unseen = (drop.withdrawn or drop.deleted) and row is None
    assert unseen or (drop.deleted and drop.dead), f"{drop}: {row}"
    return False


def _assert_decided_once(played: Schedule, drop: Drop) -> None:
    assert len(drop.decided) == 1, f"{drop.handoff}: {drop.decided}"
    assert played.state.find([drop.handoff])[drop.handoff].outcome == drop.decided[0]


def _assert_archived(played: Schedule, drop: Drop) -> None:
    name = f"{drop.decided[0].archive}/{drop.handoff.file}"
    keys = (name, f"{name}@{drop.handoff.version_id}")
    kept = drop.body in [version.body for key in keys for version in played.bucket.objects.get(key, [])]
    assert kept or drop.deleted or drop.body == UNREADABLE


def _assert_reported(played: Schedule, drop: Drop) -> None:
    name, version = drop.handoff.file, drop.handoff.version_id
    assert drop.is_reported(played.bucket) or drop.deleted, f"{drop}"
    beside = played.bucket.objects.get(f"status/{name}@{version}.status", [])
    assert not beside or beside[-1].body == drop.decided[0].document, f"beside: {beside[-1].body.decode()}"


def _assert_true(played: Schedule, drop: Drop) -> None:
    """Hold the answer against what happened: attempts that were made, and what they said."""
    status, row = drop.decided[0].status, played.state.find([drop.handoff])[drop.handoff]
    assert status["attempt"] == row.attempt or drop.spoiled, f"{status}"
    if status.get("error_details", {}).get("error_code") == Cause.WORKERS_DIED:
        assert not drop.reported or drop.spoiled, f"{status}, but some attempts reported what happened"


def _assert_status_is_of_the_newest(played: Schedule, name: str) -> None:
    reported = [one for one in played.drops.values() if one.handoff.file == name and one.decided]
    reported = [one for one in reported if one.is_reported(played.bucket)]
    if not reported:
        return
    newest = max(reported, key=lambda one: one.put_at)
    rivals = [one for one in reported if one.second == newest.second]
    if len(rivals) > 1 and not is_exact(played.state.find([newest.handoff])[newest.handoff].order):
        return  # its state was unknown
    current = played.bucket.objects[f"status/{name}.status"][-1]
    if _is_lost(played.drops[current.metadata["version"]]):
        return
    assert current.body == newest.decided[0].document, f"{newest.handoff.order}, but {current.body.decode()}"
    assert current.metadata["final"] == "yes"


def _is_lost(drop: Drop) -> bool:
    """Say whether it was deleted for good between two attempts, and has no delivery left: its last status stands."""
    return drop.deleted and drop.dead and not drop.decided


def _assert_in_order(played: Schedule) -> None:
    """An old wish never undoes a newer one, but where the order of two of one second is unknown."""
    for applied in played.state.applied.values():
        for (before, is_known), (after, is_known_too) in combinations(applied, 2):
            unknown = before.second == after.second and not (is_known and is_known_too)
            assert before.put_at < after.put_at or unknown, f"{after.handoff} undid {before.handoff}"


def _assert_packages_stay(played: Schedule) -> None:
    there = {key: played.bucket.get(BUCKET, key) for key in played.packages}
    assert there == played.packages, "files of a decided package were replaced"
    reported = {
        f"{package['prefix']}{path}"
        for drop in played.drops.values()
        if drop.decided and (package := json.loads(drop.decided[0].document).get("package"))
        for path in package["files"]
    }
    assert reported == there.keys()
    forgotten = {one.handoff.version_id for one in played.drops.values() if one.deleted and not one.decided}
    foreign = {
        key
        for key in played.bucket.keys(BUCKET)
        if key.startswith("packages/") and played.bucket.objects[key][-1].metadata["handoff"] not in forgotten
    } - reported
    assert not foreign, "files without a decision, or beside those of a package with one"
