"""What must be true of every history that has come to its end."""

from itertools import combinations

from conductor_loop.intents.model import is_exact
from tests.explorer.play import Play
from tests.factories import BUCKET
from tests.watched import assert_live, assert_trail
from tests.workers import Drop


def check(play: Play) -> None:
    """Hold what a play has left against every promise."""
    for drop in play.drops.values():
        if drop.decided or not drop.withdrawn:
            _check_answered(play, drop)
    for name in {drop.handoff.key for drop in play.drops.values()}:
        _check_newest_stands(play, name)
    for applied in play.state.applied.values():
        for (before, is_known), (after, is_known_too) in combinations(applied, 2):
            unknown = before.second == after.second and not (is_known and is_known_too)
            assert before.put_at < after.put_at or unknown, f"{after.handoff} undid {before.handoff}"
    _check_packages(play)
    assert_trail(play.state, play.bucket, play.drops.values())
    assert_live(play.state, play.bucket, play.packages)


def _check_answered(play: Play, drop: Drop) -> None:
    """Decided once, archived, and its final status is there: under the name, or beside it."""
    assert len(drop.decided) == 1, f"{drop.handoff}: decided {len(drop.decided)} times"
    file, version = drop.handoff.file, drop.handoff.version_id
    archived = [f"{drop.decided[0].archive}/{file}", f"{drop.decided[0].archive}/{file}@{version}"]
    assert drop.body in _versions(play, *archived), f"not archived: {drop.handoff}"
    assert drop.is_reported(play.bucket), f"without a final status: {drop.handoff}"


def _check_newest_stands(play: Play, name: str) -> None:
    """The status of a name is the final one of its newest version."""
    drops = [drop for drop in play.drops.values() if drop.handoff.key == name and drop.decided]
    if not drops:
        return
    newest = max(drops, key=lambda drop: drop.put_at)
    if is_exact(play.state.find([newest.handoff])[newest.handoff].order) or len({drop.second for drop in drops}) == len(
        drops
    ):
        current = play.bucket.objects[f"status/{name}.status"][-1]
        assert current.body == newest.decided[0].document, f"{newest.handoff}, but {current.body.decode()}"


def _check_packages(play: Play) -> None:
    """Each decided package is whole and as it was decided, and no other file is there."""
    there = {key: play.bucket.get(BUCKET, key) for key in play.bucket.keys(BUCKET) if key.startswith("packages/")}
    assert there == play.packages, f"{sorted(there)}, but decided were {sorted(play.packages)}"


def _versions(play: Play, *keys: str) -> list[bytes]:
    return [version.body for key in keys for version in play.bucket.objects.get(key, [])]
