"""Corrupt rows of the state table (E009): set aside, reset, and in the way of nothing."""

import json
import time
from dataclasses import asdict
from datetime import datetime
from typing import Any

import boto3
import pytest

from conductor_loop.app import Message
from conductor_loop.counting import DECIDED, STATE_CORRUPTED
from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred, Phase, State
from conductor_loop.intents.outcome import Answer
from conductor_loop.intents.reconcile import sweep, take_turn
from conductor_loop.storage.listing import Listing, Wanted
from tests.factories import BUCKET, World, intent
from tests.integration.conftest import TABLE
from tests.integration.streaming import Stream
from tests.long import first

TARGET = "target#oran-sim/cnf-simulator"
GARBAGE = {"S": "garbage"}
SOUND: dict[str, Any] = {"state": {"S": "waiting"}} | {
    name: {"N": "1"} for name in ("rev", "entries", "attempt", "due_at", "reconcile_at")
}
FAILURE = {"attempt": 1, "cause": "NETWORK_ERROR", "text": "x"}


def written(name: str, document: Any) -> dict[str, Any]:
    return SOUND | {name: {"S": document if isinstance(document, str) else json.dumps(document)}}


def decided(outcome: Any) -> dict[str, Any]:
    return written("outcome", outcome) | {"state": {"S": "done"}}


NONSENSE: dict[str, dict[str, Any]] = {  # of the right type each, and as impossible as any other
    "a priority": SOUND | {"priority": {"S": "urgent"}},
    "a revision below 1": SOUND | {"rev": {"N": "0"}},
    "a revision of 40 digits": SOUND | {"rev": {"N": "1" + "0" * 39}},
    "attempts below 0": SOUND | {"attempt": {"N": "-5"}},
    "a timeout below 0": SOUND | {"timeout_multiplier": {"N": "-1"}},
    "a time without end": SOUND | {"due_at": {"N": "1" + "0" * 30}},
    "an order without a time": SOUND | {"order": {"S": "zzz"}},
    "a failure too deep to read": written("failure", "[" * 100_000),
    "a failure of no attempt": written("failure", FAILURE | {"attempt": "x"}) | {"attempt": {"N": "9"}},
    "a failure of no cause": written("failure", FAILURE | {"cause": "x"}),
    "a failure of no text": written("failure", FAILURE | {"text": "\ud800"}),
    "a failure that printed no text": written("failure", FAILURE | {"error": {"porch_stdout": 7}}),
    "a failure of no exit code": written("failure", FAILURE | {"error": {"porch_exit_code": "x"}}),
    "a failure with replicas below 0": written("failure", FAILURE | {"delivered": {"previous_replicas": -1}}),
    "a failure of half a revision": written("failure", FAILURE | {"delivered": {"package_revision": {"name": "x"}}}),
    "an outcome too deep to read": decided('{"status":' + "[" * 100_000),
    "an outcome that goes elsewhere": decided({"status": {"status": "failed"}, "archive": "packages/x"}),
    "an outcome of no package": decided(
        {"status": {"status": "success"}, "archive": "processed", "live_generation": 5}
    ),
    "an outcome of no text": decided('{"status": {"status": "failed", "message": "\\ud800"}, "archive": "failed"}'),
}


@pytest.fixture
def table(aws: boto3.session.Session) -> Any:
    return aws.client("dynamodb")


def spoil(table: Any, pk: str, sk: str = "-", **fields: dict[str, Any]) -> None:
    """Change fields of a row."""
    table.update_item(
        TableName=TABLE,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
        ExpressionAttributeNames={f"#{name}": name for name in fields},
        ExpressionAttributeValues={f":{name}": value for name, value in fields.items()},
    )


def spoil_handoff(table: Any, handoff: Handoff, **fields: dict[str, Any]) -> None:
    spoil(table, f"intent#{handoff.key}", handoff.version_id, **(fields or {"state": GARBAGE}))


def deliver(world: World, handoff: Handoff) -> Answer:
    """Deliver the event until there is an answer."""
    for _ in range(4):
        try:
            return admit.answer(world.app, handoff, world.deadline)
        except Exception:  # noqa: BLE001 - Lambda delivers it again, whatever it was
            world.clock.wait(60)
    raise AssertionError("no answer")


def aside(world: World, name: str) -> Any:
    return json.loads(world.bucket.get(BUCKET, f"failed/state/{name}.json"))


@pytest.mark.parametrize(
    "fields",
    first(
        {"state": GARBAGE},
        {"state": {"S": "waiting"}},  # and nothing else
        SOUND | {"state": {"S": "done"}},  # without an outcome
        SOUND | {"state": {"S": "done"}, "outcome": {"S": '{"status": {"status": "?"}, "archive": "failed"}'}},
        SOUND | {"attempt": {"M": {"no": {"BOOL": True}}}},
        SOUND | {"packages": {"L": [{"S": "first"}]}},
        SOUND | {"failure": {"S": "{}"}},
        {"unknown": {"NULL": True}},
    ),
)
def test_a_handoffs_row_is_set_aside_and_the_intent_is_answered(
    world: World, table: Any, fields: dict[str, Any]
) -> None:
    handoff = world.drop()
    spoil_handoff(table, handoff, **fields)
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.status()["status"] == "success"
    kept = aside(world, f"intent/intent-a.json/{handoff.version_id}")
    assert kept == {"pk": {"S": "intent#intent-a.json"}, "sk": {"S": handoff.version_id}} | fields


@pytest.mark.parametrize("fields", NONSENSE.values(), ids=NONSENSE)
def test_what_can_be_read_and_cannot_be_is_reset_and_neither_stops_the_sweeper_nor_the_next_intent(
    world: World, table: Any, fields: dict[str, Any]
) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    spoil_handoff(table, handoff, **fields)
    world.clock.now = time.time() + 1000
    assert sweep(world.app, None, world.deadline).failed == 0
    assert world.work() == [Answer.SETTLED]
    assert world.status()["status"] == "success"
    admit.answer(world.app, world.drop("intent-next.json"), world.deadline)
    assert world.work() == [Answer.SETTLED]
    assert world.status("intent-next.json")["status"] == "success"


def test_a_row_with_corrupt_attempts_keeps_no_other_from_the_list(world: World, table: Any) -> None:
    first_one, second = world.drop("intent-a.json"), world.drop("intent-b.json")
    for handoff in (first_one, second):
        admit.answer(world.app, handoff, world.deadline)
    spoil_handoff(table, first_one, attempt={"N": "0.5"})
    day = datetime.fromisoformat(second.event_time)
    page = Listing(table, TABLE, 86_400).page(Wanted(10, {}, None), day.timestamp())
    assert [(one.name, one.attempts) for one in page.intents] == [("intent-b.json", 1), ("intent-a.json", 0)]


def test_a_withdrawn_intent_whose_name_makes_no_sense_is_ended(world: World, table: Any) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    spoil(table, "name#intent-a.json", last_order={"N": "7"}, last_version={"S": "v0"})
    world.bucket.withdraw("intent-a.json")
    assert world.work() == [Answer.SETTLED]
    assert world.row(handoff).phase is Phase.SKIPPED


@pytest.mark.parametrize(
    ("body", "newer"), [(None, False), (b"{", False), (None, True)], ids=["applied", "rejected", "beside a newer one"]
)
def test_what_is_answered_keeps_its_outcome_when_its_row_is_corrupt(
    world: World, table: Any, stream: Stream, body: bytes | None, newer: bool
) -> None:
    handoff = world.drop(body=body)
    if newer:
        admit.answer(world.app, world.drop(), world.deadline)
    admit.answer(world.app, handoff, world.deadline)
    before = world.row(handoff)
    spoil_handoff(table, handoff)
    assert admit.work(world.app, Message(handoff), world.deadline) is Answer.DUPLICATE
    row = world.row(handoff)
    assert row.outcome is not None
    assert before.outcome is not None
    assert (row.state, row.rev) == (State.DONE, before.rev + 1)
    assert (row.outcome.status, row.outcome.archive) == (before.outcome.status, before.outcome.archive)
    counters = stream.follow().counters
    assert (counters[DECIDED], counters[STATE_CORRUPTED]) == (2 if newer else 1, 1)


def test_what_is_decided_and_not_applied_yet_keeps_its_outcome_when_its_row_is_corrupt(
    world: World, table: Any
) -> None:
    world.bucket.archive = lambda *_: _crash()
    handoff = world.drop()
    with pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    del world.bucket.archive
    before = world.row(handoff)
    spoil_handoff(table, handoff)
    world.porch.script = [Cause.DEPLOYMENT_NOT_FOUND]
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert (world.row(handoff).outcome, len(world.porch.requests)) == (before.outcome, 1)
    assert "processed/intent-a.json" in world.listing()


def test_an_applied_version_keeps_its_outcome_after_a_newer_one_has_the_status_object(world: World, table: Any) -> None:
    older = world.drop()
    admit.answer(world.app, older, world.deadline)
    before = world.row(older)
    admit.answer(world.app, world.drop(), world.deadline)
    spoil_handoff(table, older)
    assert admit.work(world.app, Message(older), world.deadline) is Answer.DUPLICATE
    assert world.row(older).outcome == before.outcome


def test_an_answered_intent_stays_in_the_lists_when_its_row_is_corrupt(world: World, table: Any) -> None:
    for newest in (world.drop(), world.drop()):
        admit.answer(world.app, newest, world.deadline)
    spoil_handoff(table, newest)
    admit.work(world.app, Message(newest), world.deadline)
    listing = Listing(table, TABLE, 86_400)
    found = listing.newest(newest.key)
    assert found is not None
    assert found.listed.version_id == newest.version_id
    assert len(listing.page(Wanted(limit=10), world.clock()).intents) == 2


def test_the_name_of_a_withdrawn_intent_stays_free_when_its_row_is_corrupt(world: World, table: Any) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.bucket.withdraw(handoff.key)
    world.work()
    spoil_handoff(table, handoff)
    admit.work(world.app, Message(handoff), world.deadline)
    found = Listing(table, TABLE, 86_400).newest(handoff.key)
    assert found is not None
    assert not found.takes_name


def test_an_outcome_with_a_field_that_a_later_release_has_added_is_read(world: World, table: Any) -> None:
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    before = world.row(handoff)
    written = json.dumps(asdict(before.outcome) | {"later": 1})  # type: ignore[arg-type] # it has one
    spoil_handoff(table, handoff, outcome={"S": written})
    assert world.row(handoff) == before


def test_a_failure_with_fields_that_a_later_release_has_added_is_read(world: World, table: Any) -> None:
    more = {"error": {"error_message": "x", "later": 1}, "delivered": {"later": 1}, "later": 1}
    world.porch.script = [Cause.NETWORK_ERROR]
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    spoil_handoff(table, handoff, failure={"S": json.dumps(FAILURE | more)}, attempt={"N": "9"})
    world.clock.wait(1000)
    deliver(world, handoff)
    status = world.status()
    assert (status["status"], status["attempt"], len(world.porch.requests)) == ("failed", 9, 1)
    assert status["error_details"] == {"error_code": "NETWORK_ERROR", "code": "E014", "error_message": "x"}


def test_a_corrupt_row_loses_no_package_and_no_order(world: World, table: Any) -> None:
    publish = world.bucket.publish

    def die_after(*given: Any) -> None:
        publish(*given)
        _crash()

    world.bucket.publish = die_after
    handoff = world.drop()
    with pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    del world.bucket.publish
    spoil_handoff(table, handoff)
    world.clock.wait(100)
    sweep(world.app, None, world.deadline)
    assert world.row(handoff).order == handoff.order
    world.work()
    spoil_handoff(table, handoff)
    for _ in range(3):
        world.clock.wait(2000)
        take_turn(world.app, world.deadline)
    packages = {key.split("/")[3] for key in world.listing() if key.startswith("packages/")}
    assert packages == {"cnf-simulator-v1.0.1"}


def test_an_event_meets_the_corrupt_row_of_what_was_removed(world: World, table: Any) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.bucket.remove(handoff)
    spoil_handoff(table, handoff)
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert world.row(handoff).phase is Phase.SKIPPED


def test_the_trail_says_why_a_decided_row_was_written_again(world: World, table: Any, stream: Stream) -> None:
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    spoil_handoff(table, handoff)
    admit.work(world.app, Message(handoff), world.deadline)
    assert stream.changes()[-1].fields["because"] == "E009: its row made no sense"


def _crash() -> None:
    raise SystemExit


def test_a_handoff_that_is_reset_is_counted_once_and_has_an_entry(world: World, table: Any, stream: Stream) -> None:
    handoff = world.drop()
    spoil_handoff(table, handoff)
    error = world.state.read([handoff])[handoff]
    assert isinstance(error, Unreadable)
    last = {"because": "E009", "set_aside": "failed/state/somewhere.json", "tally": {STATE_CORRUPTED: 1}}
    assert world.state.reset(error, world.clock(), last) is True
    assert world.state.reset(error, world.clock(), last) is False, "it was done already"
    audit = stream.follow()
    (reset,) = (json.loads(line) for line in audit.lines)
    assert (reset["chain"], reset["event"]) == (f"intent/{handoff.key}/{handoff.version_id}", "admitted")
    assert (reset["after"], reset["set_aside"]) == (0, "failed/state/somewhere.json")
    assert audit.counters == {STATE_CORRUPTED: 1}


def test_a_revision_that_can_be_read_is_gone_on_with(world: World, table: Any, stream: Stream) -> None:
    handoff = world.drop()
    with pytest.raises(SystemExit):
        _claimed_and_killed(world, handoff)
    spoil_handoff(table, handoff)
    deliver(world, handoff)  # its target is leased still
    world.drain()
    entries = [json.loads(line) for line in stream.follow().lines]
    assert [one["event"] for one in entries] == ["processing", "admitted", "queued", "processing", "succeeded"]
    assert [one["seq"] for one in entries] == [1, 2, 3, 4, 5]


def _claimed_and_killed(world: World, handoff: Handoff) -> None:
    world.porch.on_run = _killed
    try:
        admit.answer(world.app, handoff, world.deadline)
    finally:
        world.porch.on_run = lambda: None


def test_a_targets_row_that_is_reset_has_an_entry_and_is_counted(world: World, table: Any, stream: Stream) -> None:
    spoil(table, TARGET, number=GARBAGE)
    deliver(world, world.drop())
    audit = stream.follow()
    (reset,) = (one for line in audit.lines if (one := json.loads(line))["event"] == "reset")
    assert reset["chain"].startswith("E009/target/oran-sim/cnf-simulator/")
    assert reset["set_aside"] == "failed/state/target/oran-sim/cnf-simulator.json"
    assert audit.counters[STATE_CORRUPTED] == 1


def test_of_two_deliveries_that_meet_the_row_the_slower_one_leaves_what_the_other_made_of_it(
    world: World, table: Any
) -> None:
    handoff = world.drop()
    spoil_handoff(table, handoff)
    reset = world.state.reset

    def late(*given: Any) -> bool:
        world.state.reset = reset  # type: ignore[method-assign]
        remove, world.bucket.remove = world.bucket.remove, _killed
        with pytest.raises(SystemExit):
            admit.answer(world.app, handoff, world.deadline)
        world.bucket.remove = remove
        return reset(*given)

    world.state.reset = late  # type: ignore[method-assign, assignment]
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert len(world.porch.requests) == 1
    assert world.row(handoff).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("field", "value"),
    first(
        ("rev", GARBAGE),
        ("lease_expires_at", GARBAGE),
        ("last_order", {"N": "7"}),
        ("last_file", {"BOOL": True}),
        ("version", {"N": "7"}),
        ("number", GARBAGE),
        ("replicas", {"N": "0.5"}),
        ("rev", {"N": "0"}),
        ("last_order", {"S": "zzz"}),
        ("lease_expires_at", {"N": "1" + "0" * 30}),
        ("version", {"S": "garbage"}),
    ),
)
def test_a_target_begins_anew_behind_its_newest_package(
    world: World, table: Any, field: str, value: dict[str, Any]
) -> None:
    deliver(world, world.drop("intent-first.json"))
    spoil(table, TARGET, "-", **{field: value})
    deliver(world, world.drop())
    assert world.status()["status"] == "success"
    assert aside(world, "target/oran-sim/cnf-simulator")[field] == value
    packages = {key.split("/")[3] for key in world.listing() if key.startswith("packages/")}
    assert packages == {"cnf-simulator-v1.0.0", "cnf-simulator-v1.0.1"}, "no package was replaced"
    assert world.status()["package"]["name"] == "cnf-simulator-v1.0.1"


def test_the_slower_of_two_that_reset_a_target_leaves_a_fresh_lease_alone(world: World, table: Any) -> None:
    spoil(table, TARGET, number=GARBAGE)
    with pytest.raises(Unreadable) as met:
        world.state.target("oran-sim/cnf-simulator")
    spoil(table, TARGET, number={"N": "9"}, rev={"N": "7"})
    assert world.state.reset(met.value, world.clock(), {}) is False
    assert world.state.target("oran-sim/cnf-simulator").number == 9


@pytest.mark.parametrize(
    ("pk", "fields"),
    first(
        ("name#intent-a.json", {"last_order": {"N": "7"}, "last_version": {"S": "v0"}}),
        ("name#intent-a.json", {"last_order": {"S": "~"}}),
        ("name#intent-a.json", {"last_order": {"S": "zzz"}, "last_version": {"S": "v0"}}),
        ("correlation#c-1", {"file": {"N": "7"}}),
        ("correlation#c-1", {}),
    ),
)
def test_other_rows_are_deleted(world: World, table: Any, pk: str, fields: dict[str, Any]) -> None:
    spoil(table, pk, **(fields or {"unknown": GARBAGE}))
    deliver(world, world.drop(body=intent(correlation_id="c-1")))
    assert world.status()["status"] == "success"
    assert aside(world, pk.replace("#", "/"))["pk"] == {"S": pk}


def test_a_rate_limit_that_makes_no_sense_begins_anew(world: World, table: Any) -> None:
    world.configure(high_per_minute=1)
    spoil(table, "ratelimit#priority-high", free_at=GARBAGE)
    deliver(world, world.drop(body=intent(priority="high")))
    assert "treated as normal" not in world.status()["message"]


@pytest.mark.parametrize("field", ["state", "last"])
def test_a_message_whose_row_makes_no_sense_is_worked_on(world: World, table: Any, field: str) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    spoil_handoff(table, handoff, **{field: GARBAGE})
    assert not any(isinstance(answer, Deferred) for answer in world.work())
    assert world.status()["status"] == "success"


def test_the_sweeper_resets_rows_and_sends_one_message_for_each(world: World, table: Any) -> None:
    world.configure(priority_queues=True)
    stray = world.drop("a-stray.txt", b"x")
    unreadable, lost = world.drop("intent-bad.json"), world.drop("intent-lost.json")
    for handoff in (stray, unreadable):
        spoil_handoff(table, handoff)
    world.clock.now = time.time() + 1000
    for _ in range(30):
        world.clock.wait(61)
        assert sweep(world.app, None, world.deadline).failed == 0
    assert [message.handoff.key for _, message in world.queues.waiting] == [stray.key, unreadable.key, lost.key]
    world.work()
    assert world.status("a-stray.txt")["error_details"]["code"] == "E001"


def _killed(*_: object) -> None:
    raise SystemExit
