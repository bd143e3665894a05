"""One set of promises, kept by the adapters on moto and by the in-memory ones alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from conductor_loop.errors import Gone, Illegible, NumberTaken, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Applied, Claim, Outcome, Pause, Refusal, Row, State, Target, order
from conductor_loop.rates import Rate
from tests.factories import BUCKET, World, intent

NOW = 1_800_000_000.0
HANDOFF = Handoff(BUCKET, "intent-a.json", "v1", event_time="2026-11-23T03:00:00.000Z", sequencer="0A")
CLAIM = Claim(HANDOFF, "ns/name", owner="me", attempt=1, lease_until=NOW + 30)
HEIR = replace(CLAIM, owner="heir", attempt=2, lease_until=NOW + 90, number=1, earlier=(0,))  # of the dead attempt
APPLIED = Applied("v1.0.0", 3, order(HANDOFF))
OUTCOME = Outcome(State.SUCCEEDED, {"status": "success", "message": "ü"}, "processed")


def test_a_claim_holds_the_handoff_and_its_target(parts: World) -> None:
    assert parts.state.claim(CLAIM, NOW) is None
    rival = replace(CLAIM, owner="rival")
    refusal = parts.state.claim(rival, NOW + 1)
    assert refusal is not None
    row = Row(State.PROCESSING, 1, "me", NOW + 30, since=NOW, order=order(HANDOFF), target="ns/name", reserved=(0,))
    assert refusal.row == replace(row, rev=1)
    assert refusal.target == Target(lease_owner="me", held_until=NOW + 30, reserved=1)


def test_another_handoff_cannot_claim_a_held_target(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="rival")
    refusal = parts.state.claim(other, NOW + 1)
    assert refusal is not None
    assert refusal.row is None
    assert parts.state.find([other.handoff]) == {}


def test_a_lease_that_ran_out_can_be_taken_over_as_it_was_seen_once(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    seen = parts.row(HANDOFF)
    assert parts.state.claim(HEIR, NOW + 31, seen) is None
    assert parts.state.claim(replace(HEIR, owner="late"), NOW + 31, seen) is not None


def test_no_two_attempts_at_a_target_have_one_number(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="other", lease_until=NOW + 90)
    refusal = parts.state.claim(other, NOW + 31)
    assert refusal is not None, "it has the number of the attempt before it"
    assert refusal.target is not None
    assert refusal.target.reserved == 1
    assert parts.state.claim(replace(other, number=1), NOW + 31) is None
    assert parts.row(other.handoff).reserved == (1,)


def test_a_claim_is_made_upon_the_target_as_it_was_read(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, replace(APPLIED, generation=7), NOW + 1)
    other = replace(CLAIM, handoff=replace(HANDOFF, key="intent-b.json"), owner="other", number=1)
    assert parts.state.claim(other, NOW + 2) is not None, "it was read before the other one was applied"
    assert parts.state.claim(replace(other, generation=7), NOW + 2) is None


def test_a_number_is_free_again_after_an_attempt_that_published_nothing(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.postpone(CLAIM, Pause(NOW + 2, 1), NOW + 1)
    assert (parts.row(HANDOFF).reserved, parts.state.target("ns/name").reserved) == ((), 0)
    second = replace(CLAIM, attempt=2, owner="second")
    assert parts.state.claim(second, NOW + 2, parts.row(HANDOFF)) is None
    parts.state.decide(second, replace(OUTCOME, state=State.FAILED), None, NOW + 3)
    assert (parts.row(HANDOFF).reserved, parts.state.target("ns/name").reserved) == ((), 0)


def test_a_number_stays_reserved_after_one_that_may_have_published(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.postpone(CLAIM, Pause(NOW + 1, 1, counts=False, next_number=1), NOW + 1)
    assert (parts.row(HANDOFF).reserved, parts.state.target("ns/name").reserved) == ((0,), 1)
    second = replace(CLAIM, owner="second", number=1, earlier=(0,))
    assert parts.state.claim(second, NOW + 2, parts.row(HANDOFF)) is None
    parts.state.decide(second, OUTCOME, APPLIED, NOW + 3)
    assert (parts.row(HANDOFF).reserved, parts.state.target("ns/name").reserved) == ((0,), 2)


def test_a_row_is_claimed_with_the_numbers_that_it_was_seen_with(parts: World) -> None:
    """The attempt is as it was before: only its number tells that there was one."""
    parts.state.claim(CLAIM, NOW)
    parts.state.postpone(CLAIM, Pause(NOW + 1, 1, counts=False, next_number=1), NOW + 1)
    seen = parts.row(HANDOFF)
    assert parts.state.claim(replace(CLAIM, owner="heir", number=1), NOW + 2, replace(seen, reserved=())) is not None


def test_only_the_claim_in_force_decides(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.claim(HEIR, NOW + 31, parts.row(HANDOFF))
    assert parts.state.decide(CLAIM, OUTCOME, APPLIED, NOW + 32) is not None
    assert parts.state.decide(HEIR, OUTCOME, APPLIED, NOW + 33) is None
    again = parts.state.decide(HEIR, OUTCOME, replace(APPLIED, replicas=9), NOW + 34)
    assert again is not None
    assert again.row is not None
    assert again.row.outcome == OUTCOME
    assert parts.state.target("ns/name").version == "v1.0.0"


@pytest.mark.parametrize("other", [{"owner": "another"}, {"attempt": 2}])
def test_a_claim_that_is_not_this_one_decides_and_postpones_nothing(parts: World, other: dict[str, Any]) -> None:
    parts.state.claim(CLAIM, NOW)
    claimed = parts.row(HANDOFF)
    refusals = [
        parts.state.decide(replace(CLAIM, **other), OUTCOME, APPLIED, NOW + 1),
        parts.state.postpone(replace(CLAIM, **other), Pause(NOW + 60, 2), NOW + 1),
    ]
    assert [refusal.row if refusal else None for refusal in refusals] == [claimed] * 2
    assert parts.row(HANDOFF) == claimed


def test_a_worker_whose_handoff_was_handed_over_meanwhile_decides_nothing(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.register(HANDOFF, State.QUEUED, NOW + 31, parts.row(HANDOFF))
    assert parts.state.decide(CLAIM, OUTCOME, APPLIED, NOW + 32) is not None
    assert parts.row(HANDOFF).state is State.QUEUED


def test_a_decision_frees_the_target_and_records_what_was_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, APPLIED, NOW + 1)
    target = parts.state.target("ns/name")
    assert (target.lease_owner, target.version, target.replicas, target.last_file) == ("", "v1.0.0", 3, "intent-a.json")


def test_a_failure_frees_the_target_and_leaves_what_was_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, replace(OUTCOME, state=State.FAILED), None, NOW + 1)
    assert parts.state.target("ns/name") == Target()


def test_a_package_without_a_version_is_remembered_as_that(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, replace(APPLIED, version=None), NOW + 1)
    assert parts.state.target("ns/name").version is None


def test_an_older_order_is_refused_once_a_newer_one_is_applied(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, APPLIED, NOW + 1)
    older = replace(HANDOFF, key="intent-b.json", event_time="2026-11-23T02:59:59.000Z")
    refusal = parts.state.claim(replace(CLAIM, handoff=older), NOW + 2)
    assert refusal is not None
    assert refusal.target is not None
    assert refusal.target.last_file == "intent-a.json"


def test_a_decision_without_a_claim_is_made_once(parts: World) -> None:
    assert parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW) is None
    refusal = parts.state.decide_unclaimed(HANDOFF, replace(OUTCOME, state=State.FAILED), NOW)
    assert refusal is not None
    assert refusal.row is not None
    assert refusal.row.outcome == OUTCOME


def test_rows_are_found_by_their_handoffs(parts: World) -> None:
    other = replace(HANDOFF, version_id="v2")
    parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW)
    assert parts.state.find([HANDOFF, other]) == {
        HANDOFF: Row(State.SUCCEEDED, outcome=OUTCOME, since=NOW, order=order(HANDOFF), rev=1)
    }


def test_a_registered_handoff_waits_and_can_be_claimed_as_it_was_seen(parts: World) -> None:
    assert parts.state.register(HANDOFF, State.QUEUED, NOW) is None
    assert parts.state.register(HANDOFF, State.QUEUED, NOW) is not None
    assert parts.state.claim(CLAIM, NOW, Row(State.QUEUED, order=order(HANDOFF), rev=1)) is None
    assert parts.row(HANDOFF).state is State.PROCESSING


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.QUEUED},
        {"attempt": 2},
        {"order": "2026-11-23T03:00:00"},
        {"order": ""},
        {"rev": 1},
        {"reserved": (7,)},
    ],
    ids=str,
)
def test_a_row_that_is_not_as_it_was_seen_refuses_every_write(parts: World, change: dict[str, Any]) -> None:
    parts.state.claim(CLAIM, NOW - 60)
    parts.state.postpone(CLAIM, Pause(NOW - 1, 1), NOW - 50)
    row = parts.row(HANDOFF)
    seen = replace(row, **change)
    refusals = [
        parts.state.register(HANDOFF, State.QUEUED, NOW, seen),
        parts.state.claim(CLAIM, NOW, seen),
        parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW, seen),
    ]
    assert [refusal.row if refusal else None for refusal in refusals] == [row] * 3
    assert parts.row(HANDOFF) == row
    assert parts.state.claim(CLAIM, NOW, row) is None


def test_a_write_that_the_sdk_makes_again_is_refused_by_itself(parts: World) -> None:
    def refused(write: Callable[[], Refusal | None]) -> Refusal:
        assert write() is None
        refusal = write()
        assert refusal is not None
        assert refusal.row == parts.row(HANDOFF)
        return refusal

    refused(lambda: parts.state.register(HANDOFF, State.QUEUED, NOW))
    seen = parts.row(HANDOFF)
    refusal = refused(lambda: parts.state.claim(CLAIM, NOW, seen))
    assert refusal.target == parts.state.target("ns/name")
    refused(lambda: parts.state.postpone(CLAIM, Pause(NOW + 60, 1), NOW + 1))
    seen = parts.row(HANDOFF)
    refused(lambda: parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW + 61, seen))


def test_an_order_is_learnt_where_its_second_alone_is_known(parts: World) -> None:
    parts.state.learn(HANDOFF)
    assert parts.state.find([HANDOFF]) == {}, "of what has no row, nothing is"
    for known, learnt in (("", HANDOFF.sequencer), ("~", HANDOFF.sequencer), ("0F", "0F")):
        handoff = replace(HANDOFF, key=f"intent-{known or 'unknown'}.json")
        parts.state.register(replace(handoff, sequencer=known), State.QUEUED, NOW)
        parts.state.learn(handoff)
        assert parts.row(handoff).order == order(replace(handoff, sequencer=learnt))


def test_handing_over_again_is_counted_and_keeps_the_attempts(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    later = NOW + 31
    assert parts.state.register(HANDOFF, State.QUEUED, later, parts.row(HANDOFF)) is None
    row = parts.row(HANDOFF)
    assert (row.state, row.attempt, row.sweeps) == (State.QUEUED, 1, 1)


def test_a_held_handoff_cannot_be_handed_over_again(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    assert parts.state.register(HANDOFF, State.QUEUED, NOW + 1, parts.row(HANDOFF)) is not None


def test_a_postponed_handoff_frees_its_target_and_is_held_until_it_is_due(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    assert parts.state.postpone(CLAIM, Pause(NOW + 60, 2), NOW + 1) is None
    row = parts.row(HANDOFF)
    assert (row.state, row.attempt, row.held_until, row.patience) == (State.RETRYING, 1, NOW + 60, 2)
    assert parts.state.target("ns/name").lease_owner == ""
    again = replace(CLAIM, owner="next", attempt=2, lease_until=NOW + 99)
    assert parts.state.claim(again, NOW + 59, row) is not None
    assert parts.state.claim(again, NOW + 60, row) is None


def test_only_the_claim_in_force_postpones(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.claim(HEIR, NOW + 31, parts.row(HANDOFF))
    assert parts.state.postpone(CLAIM, Pause(NOW + 60, 1), NOW + 32) is not None
    assert parts.row(HANDOFF).owner == "heir"


def test_an_older_version_of_a_name_is_refused_once_a_newer_one_was_claimed(parts: World) -> None:
    newer = replace(CLAIM, handoff=replace(HANDOFF, version_id="v2", sequencer="0B"), target="ns/other")
    parts.state.claim(newer, NOW)
    refusal = parts.state.claim(CLAIM, NOW)
    assert refusal is not None
    assert refusal.newer_version == "v2"
    again = replace(newer, owner="again", attempt=2, number=1, earlier=(0,))
    assert parts.state.claim(again, NOW + 99, parts.row(newer.handoff)) is None


def test_an_older_version_of_a_name_is_refused_once_a_newer_one_waits(parts: World) -> None:
    newer = replace(HANDOFF, version_id="v2", sequencer="0B")
    parts.state.register(newer, State.QUEUED, NOW)
    for refusal in (parts.state.register(HANDOFF, State.QUEUED, NOW), parts.state.claim(CLAIM, NOW)):
        assert refusal is not None
        assert refusal.newer_version == "v2"
    assert parts.state.claim(replace(CLAIM, handoff=newer), NOW, parts.row(newer)) is None


def test_an_older_version_of_a_name_is_refused_once_a_newer_one_was_decided_without_a_claim(parts: World) -> None:
    newer = replace(HANDOFF, version_id="v2", sequencer="0B")
    parts.state.decide_unclaimed(newer, OUTCOME, NOW, newest="v2")
    for refusal in (
        parts.state.claim(CLAIM, NOW),
        parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW, newest=HANDOFF.version_id),
    ):
        assert refusal is not None
        assert refusal.newer_version == "v2"
    assert parts.state.decide_unclaimed(HANDOFF, OUTCOME, NOW) is None, "which notes nothing of the name"


def test_a_version_stands_above_those_that_are_known_to_be_older(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    swept = replace(HANDOFF, version_id="v2", sequencer="~")
    other = replace(CLAIM, handoff=swept, target="ns/other")
    for older in ([], ["v0"], ["v0", CLAIM.handoff.version_id]):
        refusal = parts.state.claim(other, NOW)
        assert refusal is not None
        assert refusal.newer_version == CLAIM.handoff.version_id
        parts.state.outrank(swept, older, NOW)
    assert parts.state.claim(other, NOW) is None
    refusal = parts.state.claim(replace(CLAIM, attempt=2), NOW + 99, parts.row(HANDOFF))
    assert refusal is not None
    assert refusal.newer_version == "v2"


def test_the_versions_below_another_one_are_older(parts: World) -> None:
    versions = [parts.bucket.drop(BUCKET, "intent-a.json", b"{}") for _ in range(3)]
    parts.bucket.drop(BUCKET, "intent-a.json5", b"{}")
    ids = [one.version_id for one in versions]
    parts.bucket.withdraw("intent-a.json")
    assert [set(parts.bucket.older_versions(one)) for one in versions] == [set(), {ids[0]}, {*ids[:2]}]


def test_a_correlation_id_belongs_to_one_file(parts: World) -> None:
    mine = replace(CLAIM, correlation_id="c-1")
    parts.state.claim(mine, NOW)
    other = replace(mine, handoff=replace(HANDOFF, key="intent-b.json"), target="ns/other")
    refusal = parts.state.claim(other, NOW)
    assert refusal is not None
    assert refusal.correlated_file == "intent-a.json"
    same_file = replace(mine, handoff=replace(HANDOFF, version_id="v2", sequencer="0B"), target="ns/other")
    assert parts.state.claim(same_file, NOW) is None


def test_superseding_can_be_switched_off(parts: World) -> None:
    parts.state.claim(CLAIM, NOW)
    parts.state.decide(CLAIM, OUTCOME, APPLIED, NOW + 1)
    older = replace(HANDOFF, key="intent-b.json", event_time="2026-11-23T02:59:59.000Z")
    assert parts.state.claim(replace(CLAIM, handoff=older, supersedes=False, number=1), NOW + 2) is None


def test_a_burst_of_tokens_is_given_and_then_one_each_interval(parts: World) -> None:
    rate = Rate(quota=6, window_seconds=60, burst=3)
    taken = [parts.app.take("t", rate, NOW + after).allowed for after in (0, 0, 0, 0, 9, 10, 11, 1000)]
    assert taken == [True, True, True, False, False, True, False, True]


def test_exactly_the_version_is_read(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    found = parts.bucket.read(old, 100)
    assert found.body == b"old"
    assert found.newer_version is not None


def test_the_newest_version_has_no_newer_one(parts: World) -> None:
    parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    assert parts.bucket.read(new, 100).newer_version is None


def test_a_version_that_became_the_newest_again_has_no_newer_one(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.remove(parts.bucket.drop(BUCKET, "intent-a.json", b"new"))
    assert parts.bucket.read(old, 100).newer_version is None


def test_more_bytes_than_asked_for_are_not_read(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"12345")
    found = parts.bucket.read(handoff, 4)
    assert (found.handoff.size, found.body) == (5, None)


def test_a_version_that_is_gone_is_told_apart(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"{}")
    parts.bucket.remove(handoff)
    with pytest.raises(Gone):
        parts.bucket.read(handoff, 100)
    with pytest.raises(Gone):
        parts.bucket.archive(handoff, "failed/intent-a.json")


def test_a_file_of_another_attempt_is_never_overwritten(parts: World) -> None:
    parts.bucket.publish(CLAIM, {"packages/x": b"1"})
    with pytest.raises(NumberTaken):
        parts.bucket.publish(HEIR, {"packages/x": b"2"})
    assert parts.bucket.get(BUCKET, "packages/x") == b"1"


def test_an_upload_that_is_made_again_since_its_answer_was_lost_changes_nothing(parts: World) -> None:
    for _ in range(2):
        parts.bucket.publish(CLAIM, {"packages/x": b"1", "packages/y": b"2"})
    assert parts.bucket.get(BUCKET, "packages/x") == b"1"


def test_removing_a_version_leaves_the_others(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    parts.bucket.remove(new)
    assert parts.bucket.get(BUCKET, "intent-a.json") == b"old"
    parts.bucket.remove(old)
    assert parts.bucket.keys(BUCKET) == []


def test_an_event_without_a_version_means_the_newest(world: World) -> None:
    newest = world.bucket.drop(BUCKET, "intent-a.json", b"{}")
    known = world.bucket.read(replace(newest, version_id=""), 100).handoff
    assert known.version_id == newest.version_id
    assert known.event_time.endswith("Z")


def test_rows_expire_after_the_time_they_are_kept(world: World, aws: boto3.session.Session) -> None:
    world.state.decide_unclaimed(HANDOFF, OUTCOME, NOW)
    items: list[Any] = aws.client("dynamodb").scan(TableName="state")["Items"]
    (row,) = [item for item in items if item["pk"]["S"].startswith("intent#")]
    assert row["expires_at"] == {"N": str(int(NOW) + 3600 + 30 * 86_400)}


def test_the_status_is_about_the_newest_version_that_has_one(parts: World) -> None:
    older, newer = HANDOFF, replace(HANDOFF, version_id="v2", sequencer="0B")
    parts.bucket.put_status(newer, HANDOFF.file, b"newer", final=True)
    parts.bucket.put_status(older, HANDOFF.file, b"older", final=True)
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == b"newer"
    assert parts.bucket.get(BUCKET, "status/intent-a.json@v1.status") == b"older"


def test_a_newer_version_replaces_the_status_of_an_older_one(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"older", final=True)
    parts.bucket.put_status(replace(HANDOFF, version_id="v2", sequencer="0B"), HANDOFF.file, b"newer", final=True)
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == b"newer"


def test_a_version_that_the_sweeper_found_first_has_its_final_status_under_the_name(parts: World) -> None:
    swept = replace(HANDOFF, event_time="2026-11-23T03:00:00.000Z", sequencer="~")
    parts.bucket.put_status(swept, HANDOFF.file, b"first try", final=False)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"final", final=True)
    assert parts.bucket.get(BUCKET, f"status/{HANDOFF.file}.status") == b"final"


def test_a_late_try_of_a_version_leaves_nothing_beside_the_status_of_a_newer_one(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"final", final=True)
    parts.bucket.put_status(replace(HANDOFF, version_id="v2", sequencer="0B"), HANDOFF.file, b"newer", final=True)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"first try", final=False)
    assert parts.bucket.keys(BUCKET) == ["status/intent-a.json.status"]


def test_a_final_status_stays_whatever_a_late_worker_says(parts: World) -> None:
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"first try", final=False)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"final", final=True)
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"first try", final=False)
    assert parts.bucket.get(BUCKET, "status/intent-a.json.status") == b"final"


def test_every_version_in_the_root_is_unsettled(parts: World) -> None:
    versions = {parts.bucket.drop(BUCKET, key, b"{}").version_id for key in ("intent-a.json", "intent-a.json", "x.txt")}
    parts.bucket.put_status(HANDOFF, HANDOFF.file, b"{}", final=True)
    found, cursor = parts.bucket.unsettled(BUCKET, None, 1)
    assert {one.handoff.version_id for one in found} == versions
    assert not any(one.withdrawn for one in found)
    assert cursor is None


def test_a_decision_writes_the_row_and_the_target_and_a_rejection_the_row_and_the_name(
    world: World, aws: boto3.session.Session
) -> None:
    """And nothing that unrelated intents share: DynamoDB would cancel one of two at a time."""
    items: list[list[str]] = []
    table: Any = world.state
    table._client.meta.events.register(
        "provide-client-params.dynamodb.TransactWriteItems",
        lambda params, **_: items.append([one["Update"]["Key"]["pk"]["S"] for one in params["TransactItems"]]),
    )
    admit.answer(world.app, world.drop(body=intent(correlation_id="c-1")), world.deadline)
    admit.answer(world.app, world.drop("intent-b.json", b"{"), world.deadline)
    row, target = "intent#intent-a.json", "target#oran-sim/cnf-simulator"
    assert items == [
        [row, target, "name#intent-a.json", "correlation#c-1"],
        [row, target],
        ["intent#intent-b.json", "name#intent-b.json"],
    ]
    del aws


def test_a_listing_is_by_key_and_of_each_key_the_newest_first(parts: World) -> None:
    keys = ("intent-b.json", "intent-B.json", "intent-a.json", "intent-ä.json", "intent-a.json5", "intent-b.json")
    put = [parts.bucket.drop(BUCKET, key, b"{}") for key in keys]
    found, _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert [one.handoff.version_id for one in found] == [put[at].version_id for at in (1, 2, 4, 5, 0, 3)]


def test_a_row_that_makes_no_sense_is_told_apart(world: World, aws: boto3.session.Session) -> None:
    world.state.register(HANDOFF, State.QUEUED, NOW)
    key = {"pk": {"S": "intent#intent-a.json"}, "sk": {"S": "v1"}}
    aws.client("dynamodb").update_item(
        TableName="state", Key=key, UpdateExpression="SET attempt = :x", ExpressionAttributeValues={":x": {"S": "?"}}
    )
    with pytest.raises(Unreadable):
        world.state.claim(CLAIM, NOW)
    assert world.state.find([HANDOFF]) == {}


def test_what_its_owner_removed_is_withdrawn(parts: World) -> None:
    handoff = parts.bucket.drop(BUCKET, "intent-a.json", b"{}")
    parts.bucket.withdraw("intent-a.json")
    with pytest.raises(Gone):
        parts.bucket.read(handoff, 100)
    (found,), _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert (found.handoff.version_id, found.withdrawn) == (handoff.version_id, True)
    assert parts.bucket.keys(BUCKET) == []
    parts.bucket.archive(handoff, "processed/intent-a.json")
    parts.bucket.remove(handoff)
    assert parts.bucket.unsettled(BUCKET, None, 1) == ([], None)


def test_a_name_that_is_put_again_after_it_was_withdrawn_is_not(parts: World) -> None:
    old = parts.bucket.drop(BUCKET, "intent-a.json", b"old")
    parts.bucket.withdraw("intent-a.json")
    new = parts.bucket.drop(BUCKET, "intent-a.json", b"new")
    found, _ = parts.bucket.unsettled(BUCKET, None, 1)
    assert [(one.handoff.version_id, one.withdrawn) for one in found] == [
        (new.version_id, False),
        (old.version_id, False),
    ]
    assert parts.bucket.read(old, 100).newer_version == new.version_id


def test_what_s3_gives_to_nobody_is_illegible(aws: boto3.session.Session, world: World) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key="intent-a.json", Body=b"{}", StorageClass="GLACIER")
    with pytest.raises(Illegible):
        world.bucket.read(replace(HANDOFF, version_id=""), 100)
