from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from conductor_loop.app import Message
from conductor_loop.errors import Cause, Illegible, LeaseLost
from conductor_loop.intents import admit
from conductor_loop.intents.model import Conflict, Deferred, Phase, Write
from conductor_loop.intents.outcome import Answer
from conductor_loop.porch import PorchRequest, Result
from conductor_loop.retry import Policy
from tests.factories import BUCKET, World, intent
from tests.memory import MemoryBucket
from tests.writes import instead, is_decision

PACKAGE = "packages/oran-sim/cnf-simulator/cnf-simulator-v1.0.0/"


@pytest.fixture
def world() -> World:
    return World()


def test_an_intent_becomes_a_package_a_status_and_a_moved_input(world: World) -> None:
    assert admit.answer(world.app, world.drop(), world.deadline) is Answer.SETTLED
    assert world.listing() == [
        "live/oran-sim/cnf-simulator/kustomization.yaml",
        f"{PACKAGE}Kptfile",
        f"{PACKAGE}kustomization.yaml",
        "processed/intent-a.json",
        "status/intent-a.json.status",
    ]
    assert world.status()["status"] == "success"
    assert world.status()["package"]["prefix"] == PACKAGE


def test_the_same_event_delivered_twice_has_no_second_effect(world: World) -> None:
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    puts = world.bucket.puts
    assert admit.answer(world.app, handoff, world.deadline) is Answer.DUPLICATE
    assert world.bucket.puts == puts
    assert len(world.porch.requests) == 1
    assert len(world.measured) == 1


def test_an_event_of_what_is_settled_writes_a_status_that_was_lost(world: World) -> None:
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    reported = world.status()
    world.bucket.objects["status/intent-a.json.status"].clear()
    assert admit.answer(world.app, handoff, world.deadline) is Answer.DUPLICATE
    assert world.status() == reported


def test_a_decision_whose_answer_was_lost_keeps_its_package(world: World) -> None:
    def again(write: Write) -> Conflict | None:
        world.state.write(write)
        return world.state.write(write)

    with instead(world, is_decision, again):
        assert admit.answer(world.app, world.drop(), world.deadline) is Answer.SETTLED
    assert f"{PACKAGE}Kptfile" in world.listing()


def test_the_same_body_under_a_new_name_is_a_new_intent(world: World) -> None:
    for file in ("intent-a.json", "intent-b.json"):
        admit.answer(world.app, world.drop(file), world.deadline)
    assert len(world.porch.requests) == 2
    assert world.status("intent-b.json")["package"]["name"] == "cnf-simulator-v1.0.1"


def test_porch_receives_the_last_version_and_replicas_of_the_target(world: World) -> None:
    admit.answer(world.app, world.drop("intent-a.json", intent(replicas=2)), world.deadline)
    admit.answer(world.app, world.drop("intent-b.json", intent(replicas=5)), world.deadline)
    assert [(seen.previous_version, seen.previous_replicas) for seen in world.porch.requests] == [
        (None, None),
        ("v1.0.0", 2),
    ]


@pytest.mark.parametrize(
    ("file", "body", "code"),
    [
        ("intent-a.json", b"not JSON", "E001"),
        ("intent-a.json", b"\xff", "E001"),
        ("intent-a.json", b"", "E001"),
        ("intent-a.json", intent(replicas=101), "E003"),
        ("intent-a.json", b" " * 11_000_000, "E002"),
        ("intent-a b.json", intent(), "E001"),
    ],
)
def test_a_wrong_input_fails_with_its_code_and_is_kept(world: World, file: str, body: bytes, code: str) -> None:
    assert admit.answer(world.app, world.drop(file, body), world.deadline) is Answer.SETTLED
    assert world.status(file)["error_details"]["code"] == code
    assert world.listing() == [f"failed/{file}", f"status/{file}.status"]
    assert world.bucket.get(BUCKET, f"failed/{file}") == body
    assert world.porch.requests == []


def test_every_violation_is_listed_with_its_path(world: World) -> None:
    body = b'{"intent_type": "scaling", "target": "A", "replicas": "3"}'
    admit.answer(world.app, world.drop(body=body), world.deadline)
    violations = world.status()["error_details"]["validation_errors"]
    assert {violation["path"] for violation in violations} >= {"$.namespace", "$.target", "$.replicas"}


@pytest.mark.parametrize("cause", [Cause.DEPLOYMENT_NOT_FOUND, Cause.PORCH_KILLED, Cause.PACKAGE_UNSAFE])
def test_a_failing_porch_fails_the_intent_and_nothing_is_published(world: World, cause: Cause) -> None:
    world.configure(retry=Policy(attempts=0))
    world.porch.script = [cause]
    admit.answer(world.app, world.drop(), world.deadline)
    assert world.status()["status"] == "failed"
    assert world.status()["error_details"]["error_code"] == cause
    assert world.listing() == ["failed/intent-a.json", "status/intent-a.json.status"]


def test_a_porch_that_takes_too_long_is_a_timeout(world: World) -> None:
    world.configure(retry=Policy(attempts=0))
    world.porch.script = [Cause.PROCESSING_TIMEOUT]
    admit.answer(world.app, world.drop(), world.deadline)
    assert world.status()["status"] == "timeout"
    assert world.status()["error_details"]["code"] == "E007"


def test_an_intent_for_the_target_can_follow_a_failed_one(world: World) -> None:
    world.porch.script = [Cause.PORCH_FAILED, None]
    admit.answer(world.app, world.drop("intent-a.json"), world.deadline)
    admit.answer(world.app, world.drop("intent-b.json"), world.deadline)
    assert world.status("intent-b.json")["package"]["name"] == "cnf-simulator-v1.0.0"


def test_an_object_that_vanished_before_it_was_read_leaves_nothing(world: World) -> None:
    handoff = world.drop()
    world.bucket.remove(handoff)
    assert admit.answer(world.app, handoff, world.deadline) is Answer.GONE
    assert world.listing() == []


def test_an_object_that_vanishes_while_it_is_retried_gets_an_answer_without_another_retry(world: World) -> None:
    world.configure(priority_queues=True)
    world.porch.script = [Cause.NETWORK_ERROR]
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.work()
    assert "next_retry" in world.status()
    world.bucket.remove(handoff)
    world.clock.wait(60)
    assert world.work() == [Answer.SETTLED]
    status = world.status()
    assert (status["status"], status["attempt"], status.get("next_retry")) == ("skipped", 1, None)
    assert status["message"].startswith("Withdrawn: ")
    assert len(world.porch.requests) == 1


def test_what_two_deliveries_decide_alike_at_once_is_logged_and_counted_once(world: World) -> None:
    world.configure(priority_queues=True)
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    world.bucket.withdraw(handoff.key)
    ((_, message),) = world.queues.waiting
    write = world.state.write

    def after_another(mine: Write) -> Conflict | None:
        world.state.write = write  # type: ignore[method-assign]
        admit.work(world.app, message, world.deadline)
        return write(mine)

    world.state.write = after_another  # type: ignore[assignment, method-assign]
    assert admit.work(world.app, message, world.deadline) is Answer.SETTLED
    assert [one.outcome.status["status"] for one in world.measured] == ["skipped"]


def test_an_attempt_under_way_is_not_withdrawn(world: World) -> None:
    handoff = world.drop()
    redelivered: list[object] = []

    def remove() -> None:
        world.bucket.remove(handoff)
        redelivered.append(admit.work(world.app, Message(handoff), world.deadline))

    world.porch.on_run = remove
    admit.answer(world.app, handoff, world.deadline)
    assert isinstance(redelivered[0], Deferred), "its worker may publish yet"
    assert world.status()["status"] == "success"


def test_an_older_intent_never_undoes_a_newer_one(world: World) -> None:
    old, new = world.drop("intent-old.json", intent(replicas=1)), world.drop("intent-new.json", intent(replicas=9))
    admit.answer(world.app, new, world.deadline)
    admit.answer(world.app, old, world.deadline)
    assert world.status("intent-old.json")["status"] == "skipped"
    assert "intent-new.json" in world.status("intent-old.json")["message"]
    assert world.state.target("oran-sim/cnf-simulator").replicas == 9


def test_a_newer_version_of_the_name_survives_the_settling_of_the_older(world: World) -> None:
    old = world.drop(body=intent(replicas=1))
    new = world.drop(body=intent(replicas=2))
    admit.answer(world.app, old, world.deadline)
    assert world.listing()[0] == "intent-a.json"
    admit.answer(world.app, new, world.deadline)
    assert world.status()["version_id"] == new.version_id
    assert "intent-a.json" not in world.listing()


def test_a_held_target_is_waited_for(world: World) -> None:
    first, second = world.drop("intent-a.json"), world.drop("intent-b.json")
    world.porch.on_run = _dies_once(world)
    with pytest.raises(SystemExit):
        admit.answer(world.app, first, world.deadline)
    assert admit.answer(world.app, second, world.deadline) is Answer.QUEUED
    world.drain()
    assert world.status("intent-b.json")["status"] == "success"


def test_an_event_whose_intent_another_worker_has_leaves_a_message(world: World) -> None:
    handoff = world.drop()
    world.porch.on_run = _dies_once(world)
    with pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    assert admit.answer(world.app, handoff, world.deadline) is Answer.QUEUED
    ((due, message),) = world.queues.waiting
    assert (message.handoff.key, due > world.clock()) == (handoff.key, True)


def test_a_worker_that_wakes_up_after_its_lease_publishes_nothing(world: World) -> None:
    handoff = world.drop()
    world.porch.on_run = lambda: world.clock.wait(1000)
    with pytest.raises(LeaseLost):
        admit.answer(world.app, handoff, world.deadline)
    assert world.listing() == ["intent-a.json"]


def test_a_worker_that_was_overtaken_changes_nothing(world: World) -> None:
    handoff = world.drop()

    def overtaken() -> None:
        world.porch.on_run = lambda: None
        world.clock.wait(60)
        admit.answer(world.app, handoff, world.deadline)
        world.clock.now -= 60  # its own clock is behind: only the fence can stop it

    world.porch.on_run = overtaken
    assert admit.answer(world.app, handoff, world.deadline) is Answer.SETTLED
    assert kptfile(world) == b"replicas: 3 # run 2\n"
    assert world.status()["attempt"] == 2


def test_a_worker_whose_target_was_taken_leaves_the_package_of_the_other_intent_alone(world: World) -> None:
    first, second = world.drop("intent-a.json"), world.drop("intent-b.json", intent(replicas=9))

    def overtaken() -> None:
        world.porch.on_run = lambda: None
        world.clock.wait(60)
        admit.answer(world.app, second, world.deadline)
        world.clock.now -= 60  # its own clock is behind: only the fence can stop it

    world.porch.on_run = overtaken
    with pytest.raises(LeaseLost):
        admit.answer(world.app, first, world.deadline)
    assert kptfile(world, "intent-b.json") == b"replicas: 9 # run 2\n"


def test_a_porch_that_gives_each_package_the_same_name_replaces_none(world: World) -> None:
    def named(request: PorchRequest) -> Result:
        made = world.porch(request)
        return replace(made, package=replace(made.package, name="newest"))

    for number in range(3):
        handoff = world.drop(f"intent-{number}.json", intent(replicas=number))
        admit.answer(replace(world.app, run_porch=named), handoff, world.deadline)
    packages = [world.status(f"intent-{number}.json")["package"] for number in range(3)]
    assert {package["name"] for package in packages} == {"newest"}
    assert len({package["prefix"] for package in packages}) == 3
    for number in range(3):
        assert kptfile(world, f"intent-{number}.json").startswith(f"replicas: {number} ".encode())


def test_name_and_directory_agree_again_after_an_attempt_whose_number_came_to_nothing(world: World) -> None:
    """An attempt receives the same version as the one that died: a porch finds what that has begun elsewhere."""
    world.porch.on_run = _dies_once(world)
    handoff = world.drop()
    with pytest.raises(SystemExit):
        admit.answer(world.app, handoff, world.deadline)
    world.clock.wait(120)
    admit.answer(world.app, handoff, world.deadline)
    admit.answer(world.app, world.drop("intent-b.json"), world.deadline)
    assert [request.previous_version for request in world.porch.requests] == [None, None, "v1.0.1"]
    packages = [world.status(file)["package"] for file in ("intent-a.json", "intent-b.json")]
    assert [(package["name"], package["prefix"].split("/")[-2]) for package in packages] == [
        ("cnf-simulator-v1.0.0", "cnf-simulator-v1.0.1"),
        ("cnf-simulator-v1.0.2", "cnf-simulator-v1.0.2"),
    ]


@pytest.mark.parametrize("cause", [Cause.NETWORK_ERROR, Cause.DEPLOYMENT_NOT_FOUND])
def test_an_attempt_that_fails_leaves_its_number_to_the_next_one(world: World, cause: Cause) -> None:
    world.porch.script = [cause, None]
    for file in ("intent-a.json", "intent-b.json"):
        admit.answer(world.app, world.drop(file), world.deadline)
        world.drain()
    assert [key.split("/")[3] for key in world.listing() if key.endswith("Kptfile")] == [
        f"cnf-simulator-v1.0.{number}" for number in range(1 + (cause is Cause.NETWORK_ERROR))
    ]


def test_where_a_target_is_lost_no_file_lands_in_a_package_of_before(world: World) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    before = {key for key in world.listing() if key.startswith("packages/")}
    state: Any = world.state
    state.lose("target")

    def with_a_note(request: PorchRequest) -> Result:
        made = world.porch(request)
        return replace(made, package=replace(made.package, files={**made.package.files, "note.yaml": b"mine"}))

    app = replace(world.app, run_porch=with_a_note)
    admit.answer(app, world.drop("intent-b.json"), world.deadline)
    assert {key for key in world.listing() if key.startswith(PACKAGE)} == before
    assert world.status("intent-b.json")["package"]["name"] == "cnf-simulator-v1.0.1"


def test_where_the_table_is_older_than_the_bucket_no_package_is_replaced(world: World) -> None:
    admit.answer(world.app, world.drop(), world.deadline)
    state: Any = world.state
    backup = {key: row for key, row in state.items.items() if key.kind == "target"}
    admit.answer(world.app, world.drop("intent-b.json", intent(replicas=5)), world.deadline)
    for number, targets in enumerate(({}, backup)):
        state.lose("target")
        state.items |= targets
        name = f"intent-new-{number}.json"
        admit.answer(world.app, world.drop(name, intent(replicas=9)), world.deadline)
        world.drain()
        assert world.status(name)["package"]["prefix"].endswith(f"-v1.0.{number + 2}/")
    assert kptfile(world) == b"replicas: 3 # run 1\n"
    assert kptfile(world, "intent-b.json") == b"replicas: 5 # run 2\n"


def kptfile(world: World, file: str = "intent-a.json") -> bytes:
    """Give a file of the package that an intent's status names."""
    content: bytes = world.bucket.get(BUCKET, f"{world.status(file)['package']['prefix']}Kptfile")
    return content


def test_a_timeout_longer_than_the_invocation_is_cut_and_the_status_says_so(world: World) -> None:
    admit.answer(world.app, world.drop(body=intent(timeout="1h")), world.deadline)
    assert world.porch.requests[0].timeout_seconds == 105
    assert "timeout cut from 3600s to 105s" in world.status()["message"]


def test_a_wrong_name_is_answered_with_everything_that_the_content_breaks_as_well(world: World) -> None:
    admit.answer(world.app, world.drop("intent-a b.json", body=intent(replicas=-1)), world.deadline)
    details = world.status("intent-a b.json")["error_details"]
    assert details["error_code"] == "INVALID_NAME"
    assert [violation["path"] for violation in details["validation_errors"]] == ["$", "$.replicas"]


def test_a_name_too_long_for_our_keys_is_answered_all_the_same(world: World) -> None:
    file = f"intent-{'a' * 1000}.json"
    admit.answer(world.app, world.drop(file), world.deadline)
    assert all(len(key) <= 1024 for key in world.listing())
    assert file not in world.listing()


def test_an_input_that_cannot_be_read_is_answered_and_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Illegible("it is archived")

    handoff = world.drop()
    monkeypatch.setattr(MemoryBucket, "read", refuse)
    monkeypatch.setattr(MemoryBucket, "archive", refuse)
    admit.answer(world.app, handoff, world.deadline)
    assert world.status()["error_details"]["validation_errors"][0]["rule"] == "readable"
    assert "intent-a.json" in world.listing()


def test_a_decided_row_is_terminal(world: World) -> None:
    handoff = world.drop()
    admit.answer(world.app, handoff, world.deadline)
    assert world.row(handoff).phase is Phase.SUCCEEDED


def _dies_once(world: World) -> Callable[[], None]:
    def die() -> None:
        world.porch.on_run = lambda: None
        raise SystemExit

    return die
