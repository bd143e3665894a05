"""What attempts leave that came to nothing, over in-memory parts: it is deleted, and nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.attempt import LATEST_WRITE_SECONDS
from conductor_loop.intents.model import Phase, Row, State, Write
from conductor_loop.intents.reconcile import Swept, take_turn
from conductor_loop.storage import sdk
from conductor_loop.storage.rows import Key, intent_key
from tests.factories import World, intent
from tests.unit.test_template import TEMPLATE
from tests.writes import OUTCOME, made

PACKAGES = "packages/oran-sim/odu/odu-v1.0."


@pytest.fixture
def world() -> World:
    return World()


def arrive(world: World, handoff: Handoff) -> None:
    admit.answer(world.app, handoff, world.deadline)


def late_worker(world: World, handoff: Handoff) -> Callable[[], None]:
    """Leave an attempt of which nothing is known after its lease; gives what lands when its upload does."""
    uploads: list[tuple[Handoff, int, dict[str, bytes]]] = []

    def publish(handoff: Handoff, claim: int, files: dict[str, bytes]) -> None:
        uploads.append((handoff, claim, files))
        raise SystemExit

    world.bucket.publish = publish
    with pytest.raises(SystemExit):
        arrive(world, handoff)
    del world.bucket.publish
    world.clock.wait(150)  # its lease runs out
    return lambda: world.bucket.publish(*uploads[0])


def swept(world: World, after: float = LATEST_WRITE_SECONDS) -> Swept:
    world.clock.wait(after)
    done = take_turn(world.app, world.deadline)
    assert done is not None
    return done


def packages(world: World) -> set[str]:
    return {"/".join(key.split("/")[:4]) for key in world.listing() if key.startswith("packages/")}


def test_what_lands_after_the_decision_is_deleted_when_nothing_more_can_land(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, handoff)
    assert world.status()["package"]["prefix"] == f"{PACKAGES}1/"
    assert swept(world, LATEST_WRITE_SECONDS - 1).cleaned == 0
    lands()
    assert packages(world) == {f"{PACKAGES}0", f"{PACKAGES}1"}
    assert swept(world, 1).cleaned == 1
    assert packages(world) == {f"{PACKAGES}1"}
    assert swept(world).cleaned == 0


def test_a_late_worker_writes_into_no_package_of_another_intent(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, world.drop("intent-b.json", intent(target="odu")))
    before = {key: world.bucket.get("", key) for key in world.listing() if key.startswith(f"{PACKAGES}1/")}
    lands()
    arrive(world, handoff)
    assert world.row(handoff).phase is Phase.SKIPPED
    assert swept(world).cleaned == 1
    assert {key: world.bucket.get("", key) for key in world.listing() if key.startswith("packages/")} == before


def test_what_a_worker_of_a_withdrawn_intent_has_written_is_deleted(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    world.bucket.remove(handoff)
    arrive(world, handoff)
    lands()
    assert swept(world).cleaned == 1
    assert packages(world) == set()


@pytest.mark.parametrize("script", [[None, Cause.NETWORK_ERROR, None], [None, Cause.DEPLOYMENT_NOT_FOUND]])
def test_an_attempt_that_fails_cleanly_does_not_forget_one_before_it(world: World, script: list[Cause | None]) -> None:
    world.porch.script = script
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, handoff)
    world.drain()
    lands()
    assert swept(world).cleaned == 1
    assert packages(world) == ({f"{PACKAGES}1"} if script[-1] is None else set())


@pytest.mark.parametrize("script", [[None], [Cause.NETWORK_ERROR, None], [Cause.PORCH_FAILED]])
def test_after_attempts_that_ended_there_is_nothing_to_clean_up(world: World, script: list[Cause | None]) -> None:
    world.porch.script = script
    handoff = world.drop()
    arrive(world, handoff)
    world.drain()
    assert world.row(handoff).phase.done
    assert swept(world).cleaned == 0


def test_after_an_upload_that_failed_there_is(world: World) -> None:
    """The SDK has given up on it, and S3 may not have."""
    handoff = world.drop()
    publish = world.bucket.publish
    world.bucket.publish = _denied
    with pytest.raises(PermissionError):
        arrive(world, handoff)
    world.bucket.publish = publish
    arrive(world, handoff)
    assert swept(world).cleaned == 1


def test_what_cannot_be_deleted_keeps_nothing_waiting_and_is_tried_again(world: World) -> None:
    for name in ("a", "b"):
        handoff = world.drop(f"intent-{name}.json", intent(target=name))
        late_worker(world, handoff)
        arrive(world, handoff)
    remove = world.bucket.remove_package

    def fails(handoff: Handoff, prefix: str) -> None:
        if handoff.key == "intent-a.json":
            raise PermissionError("denied")
        remove(handoff, prefix)

    world.bucket.remove_package = fails
    done = swept(world)
    assert (done.cleaned, done.failed) == (1, 1)
    world.bucket.remove_package = remove
    assert swept(world, 60).cleaned == 1


def test_what_takes_too_long_is_left_to_the_next_sweep(world: World) -> None:
    for name in ("a", "b", "c"):
        handoff = world.drop(f"intent-{name}.json", intent(target=name))
        late_worker(world, handoff)
        arrive(world, handoff)
    remove = world.bucket.remove_package

    def slow(handoff: Handoff, prefix: str) -> None:
        world.clock.wait(6)
        remove(handoff, prefix)

    world.bucket.remove_package = slow
    assert swept(world).cleaned == 2
    assert swept(world, 60).cleaned == 1


def test_a_sweep_goes_on_where_what_is_to_be_cleaned_up_is_unknown(world: World) -> None:
    world.configure(priority_queues=True)
    world.drop()
    world.state.uncleaned = _denied  # type: ignore[method-assign, assignment]
    done = swept(world)
    assert (done.redelivered, done.failed) == (1, 1)


def test_no_write_comes_later_than_the_longest_invocation_and_a_call() -> None:
    call = sdk.WORKER.connect_seconds + sdk.WORKER.read_seconds
    assert max(TEMPLATE["Parameters"]["FunctionTimeout"]["AllowedValues"]) + call < LATEST_WRITE_SECONDS


def _denied(*_: object) -> None:
    raise PermissionError("denied")


def test_what_an_index_names_and_its_table_does_not_is_left_alone(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    lands()
    world.state.uncleaned = lambda *_: [handoff]  # type: ignore[method-assign]
    assert swept(world, 0).cleaned == 0
    assert packages(world) == {f"{PACKAGES}0"}


def test_cleaning_up_leaves_the_time_at_which_an_intent_arrived(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    late_worker(world, handoff)
    arrive(world, handoff)
    before = arrived(world, handoff)
    assert before.startswith(handoff.event_time)
    assert swept(world).cleaned == 1
    assert arrived(world, handoff) == before


def test_cleaning_up_after_one_handoff_leaves_the_sweep_its_time(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    given: dict[str, Any] = {"outcome": OUTCOME, "packages": tuple(range(12)), "due_at": world.clock() - 1}
    after = Row().next(state=State.DONE, target="oran-sim/odu", order=handoff.order, **given)
    made(world, Write(handoff, Row(), after, world.clock(), {"tally": {}}))
    remove = world.bucket.remove_package

    def slow(handoff: Handoff, prefix: str) -> None:
        world.clock.wait(5)
        remove(handoff, prefix)

    world.bucket.remove_package = slow
    world.drop("intent-lost.json")
    world.clock.wait(1000)
    ends = world.clock() + 55
    assert take_turn(world.app, ends).seen == 2
    assert world.clock() < ends
    assert len(world.row(handoff).packages) == 9


def arrived(world: World, handoff: Handoff) -> str:
    items: dict[Key, Any] = world.state.items  # type: ignore[attr-defined]
    return str(items[intent_key(handoff)]["arrived"]["S"])
