"""What must be true of every history that has come to its end."""

from conductor_loop.lifecycle import State
from conductor_loop.status import encode
from tests.explorer.play import Play
from tests.factories import BUCKET
from tests.workers import Drop


def check(play: Play) -> None:
    """Hold what a play has left against every promise."""
    withdrawn = play.withdrawn
    for drop in play.drops.values():
        if drop.handoff.version_id not in withdrawn:
            _check_answered(play, drop)
    for name in {drop.handoff.key for drop in play.drops.values()}:
        _check_newest_stands(play, name)
    for target, times in play.state.applied.items():
        assert times == sorted(times), f"an older wish undid a newer one: {target}"
    _check_versions_in_order(play)
    _check_packages(play)


def _check_answered(play: Play, drop: Drop) -> None:
    """Decided once, archived, and its final status is there: under the name, or beside it."""
    assert len(drop.decided) == 1, f"{drop.handoff}: decided {len(drop.decided)} times"
    (outcome,) = drop.decided
    file, version = drop.handoff.file, drop.handoff.version_id
    archived = [f"{outcome.archive}/{file}", f"{outcome.archive}/{file}@{version}"]
    assert drop.body in _versions(play, *archived), f"not archived: {drop.handoff}"
    statuses = [f"status/{file}.status", f"status/{file}@{version}.status"]
    assert encode(outcome) in _versions(play, *statuses), f"without a final status: {drop.handoff}"


def _check_newest_stands(play: Play, name: str) -> None:
    """The status of a name is the final one of its newest version."""
    drops = [drop for drop in play.drops.values() if drop.handoff.key == name and drop.decided]
    if drops:
        current = play.bucket.objects[f"status/{name}.status"][-1]
        newest = max(drops, key=lambda drop: drop.put_at)
        assert current.body == encode(newest.decided[0]), f"{newest.handoff}, but {current.body.decode()}"


def _check_versions_in_order(play: Play) -> None:
    """No version of a name is applied after a newer one was decided."""
    for earlier, later in play.state_order():
        if later.decided[0].state is State.SUCCEEDED and earlier.handoff.key == later.handoff.key:
            assert earlier.put_at < later.put_at, f"{later.handoff} was applied after {earlier.handoff} was answered"


def _check_packages(play: Play) -> None:
    """Each decided package is whole and as it was decided, and no other file is there."""
    there = {key: play.bucket.get(BUCKET, key) for key in play.bucket.keys(BUCKET) if key.startswith("packages/")}
    assert there == play.packages, f"{sorted(there)}, but decided were {sorted(play.packages)}"


def _versions(play: Play, *keys: str) -> list[bytes]:
    return [version.body for key in keys for version in play.bucket.objects.get(key, [])]
