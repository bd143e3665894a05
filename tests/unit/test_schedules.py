"""Thousands of random histories: whatever comes between, every handoff has one outcome and nothing is lost."""

import json
import sys
from collections import Counter
from itertools import pairwise

import pytest

from conductor_loop.audit.verifying import Witness, verify
from conductor_loop.lifecycle import TRANSITIONS, State
from conductor_loop.order import order
from conductor_loop.status import encode
from tests.factories import BUCKET
from tests.schedules import Schedule
from tests.workers import Drop

SCHEDULES = 2000
_BATCHES = 8


@pytest.mark.parametrize("batch", range(_BATCHES))
def test_every_history_ends_with_one_answer_for_each_handoff(batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    seeds = range(batch, SCHEDULES, _BATCHES)
    for seed in seeds:
        try:
            check(seed, counts)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    with capsys.disabled():
        happened = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        sys.stdout.write(f"\n  {len(seeds)} schedules: {happened} ")


def check(seed: int, counts: Counter[str]) -> None:
    """Play one history, and hold what it left against everything that must be true."""
    played = Schedule(seed, counts)
    played.run()
    for drop in played.drops.values():
        _assert_decided_once(played, drop)
        _assert_archived(played, drop)
        _assert_told(played, drop)
        _assert_trail_is_whole(played, drop)
    for name in {drop.handoff.key for drop in played.drops.values()}:
        _assert_status_is_of_the_newest(played, name)
    _assert_packages_stay(played)
    for times in played.state.applied.values():
        assert times == sorted(times), "an old wish undid a newer one"
    told = Counter(str(drop.decided[0].status["status"]) for drop in played.drops.values())
    counted = {name.removeprefix("files_"): count for name, count in played.state.counters.items() if "files_" in name}
    assert told == counted


def _assert_decided_once(played: Schedule, drop: Drop) -> None:
    assert len(drop.decided) == 1, f"{drop.handoff}: {drop.decided}"
    assert played.state.find([drop.handoff])[drop.handoff].outcome == drop.decided[0]


def _assert_archived(played: Schedule, drop: Drop) -> None:
    name = f"{drop.decided[0].archive}/{drop.handoff.file}"
    keys = (name, f"{name}@{drop.handoff.version_id}")
    assert drop.body in [version.body for key in keys for version in played.bucket.objects.get(key, [])]


def _assert_told(played: Schedule, drop: Drop) -> None:
    """Its final status is there: under the name, in that one's history, or beside it."""
    name, version = drop.handoff.file, drop.handoff.version_id
    beside = played.bucket.objects.get(f"status/{name}@{version}.status", [])
    told = [one.body for one in (*played.bucket.objects[f"status/{name}.status"], *beside)]
    assert encode(drop.decided[0]) in told
    assert not beside or beside[-1].body == encode(drop.decided[0]), f"beside: {beside[-1].body.decode()}"


def _assert_trail_is_whole(played: Schedule, drop: Drop) -> None:
    """Each transition has its entry, linked to the one before it, and the status knows where they end."""
    row = played.state.find([drop.handoff])[drop.handoff]
    seal = drop.decided[0].status["audit"]
    verdict = verify(row.entries, [Witness(seal["chain"], seal["entries"], seal["sha256"])])
    assert not verdict.findings, f"{drop.handoff}: {verdict.findings}"
    events = [State(json.loads(entry)["event"]) for entry in row.entries]
    assert verdict.entries == row.head.seq == len(events)
    for before, after in pairwise([None, *events]):
        assert after in TRANSITIONS[before], f"{drop.handoff}: {events}"
    assert events[-1] is drop.decided[0].state


def _assert_status_is_of_the_newest(played: Schedule, name: str) -> None:
    newest = max((drop for drop in played.drops.values() if drop.handoff.file == name), key=lambda one: one.put_at)
    current = played.bucket.objects[f"status/{name}.status"][-1]
    assert current.body == encode(newest.decided[0]), f"{order(newest.handoff)}, but {current.body.decode()}"
    assert current.metadata["final"] == "yes"


def _assert_packages_stay(played: Schedule) -> None:
    there = {key: played.bucket.get(BUCKET, key) for key in played.packages}
    assert there == played.packages, "files of a decided package were replaced"
    told = {
        f"{package['prefix']}{path}"
        for drop in played.drops.values()
        if (package := json.loads(encode(drop.decided[0])).get("package"))
        for path in package["files"]
    }
    assert told == there.keys()
    foreign = {key for key in played.bucket.keys(BUCKET) if key.startswith("packages/")} - told
    assert not foreign, "files that nobody decided on, or beside those of a package that somebody did"
