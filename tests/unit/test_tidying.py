"""What late workers leave behind, over in-memory parts: it is taken back, and nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest

from conductor_loop import pipeline
from conductor_loop.aws import sdk
from conductor_loop.claiming import LATEST_WRITE_SECONDS
from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Claim, State
from conductor_loop.sweep import Swept, take_turn
from tests.factories import World, intent
from tests.unit.test_template import TEMPLATE

PACKAGE = "packages/oran-sim/odu/odu-v1.0.0/"


@pytest.fixture
def world() -> World:
    return World()


def arrive(world: World, handoff: Handoff) -> None:
    pipeline.answer(world.app, handoff, world.deadline)


def late_worker(world: World, handoff: Handoff) -> Callable[..., None]:
    """Leave an attempt that was never heard of again; gives what lands when its upload does, at the given keys."""
    claims: list[Claim] = []

    def publish(claim: Claim, *_: object) -> None:
        claims.append(claim)
        raise SystemExit

    world.bucket.publish = publish
    with pytest.raises(SystemExit):
        arrive(world, handoff)
    del world.bucket.publish
    world.clock.wait(150)  # its lease runs out

    def land(*keys: str) -> None:
        for key in keys:  # as every attempt notes before it uploads
            world.state.note_package(handoff, f"{key.rpartition('/')[0]}/", world.clock())
        world.bucket.publish(claims[0], dict.fromkeys(keys, b"late"), {})

    return land


def swept(world: World, after: float = LATEST_WRITE_SECONDS) -> Swept:
    world.clock.wait(after)
    done = take_turn(world.app, world.deadline)
    assert done is not None
    return done


def packages(world: World) -> list[str]:
    return [key for key in world.listing() if key.startswith("packages/")]


def test_what_lands_beside_a_decided_package_is_taken_back_when_nothing_more_can_land(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, handoff)
    decided = packages(world)
    assert swept(world, LATEST_WRITE_SECONDS - 1).tidied == 0
    lands(f"{PACKAGE}late.yaml", "packages/oran-sim/odu/another/Kptfile")
    assert swept(world, 1).tidied == 1
    assert packages(world) == decided == [f"{PACKAGE}Kptfile", f"{PACKAGE}kustomization.yaml"]
    assert swept(world).tidied == 0


def test_what_lands_in_the_package_of_another_intent_is_taken_back(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, world.drop("intent-newer.json", intent(target="odu")))
    arrive(world, handoff)
    assert world.status()["status"] == "skipped"
    decided = packages(world)
    lands(f"{PACKAGE}late.yaml")
    assert swept(world).tidied == 1
    assert packages(world) == decided != []


def test_what_a_worker_of_a_withdrawn_intent_has_written_is_taken_back(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    world.bucket.remove(handoff)
    arrive(world, handoff)
    lands(f"{PACKAGE}late.yaml")
    swept(world)
    assert packages(world) == []


def test_that_a_worker_was_late_is_known_after_an_attempt_that_failed(world: World) -> None:
    world.configure(priority_queues=True)
    world.porch.script = [None, Cause.NETWORK_ERROR, None]
    handoff = world.drop(body=intent(target="odu"))
    arrive(world, handoff)
    message = world.queues.waiting.pop()[1]
    publish = world.bucket.publish
    world.bucket.publish = _killed
    with pytest.raises(SystemExit):
        pipeline.work(world.app, message, world.deadline)
    world.bucket.publish = publish
    world.clock.wait(150)
    assert not isinstance(pipeline.work(world.app, message, world.deadline), State)
    assert world.row(handoff).state is State.RETRYING
    world.clock.wait(150)
    pipeline.work(world.app, message, world.deadline)
    assert world.status()["attempt"] == 3
    assert swept(world).tidied == 1


@pytest.mark.parametrize("script", [[None], [Cause.NETWORK_ERROR, None], [Cause.PORCH_FAILED]])
def test_after_attempts_that_ended_there_is_nothing_to_tidy_up(world: World, script: list[Cause | None]) -> None:
    world.porch.script = script
    handoff = world.drop()
    arrive(world, handoff)
    assert world.row(handoff).state.decided
    assert swept(world).tidied == 0


def test_after_an_upload_that_failed_there_is(world: World) -> None:
    """The SDK has given up on it, and S3 may not have."""
    handoff = world.drop()
    publish = world.bucket.publish
    world.bucket.publish = _denied
    with pytest.raises(PermissionError):
        arrive(world, handoff)
    world.bucket.publish = publish
    arrive(world, handoff)
    assert swept(world).tidied == 1


def test_what_cannot_be_tidied_up_keeps_nothing_waiting_and_is_tried_again(world: World) -> None:
    for name in ("a", "b"):
        handoff = world.drop(f"intent-{name}.json", intent(target=name))
        late_worker(world, handoff)
        arrive(world, handoff)
    retract = world.bucket.retract

    def fails(handoff: Handoff, prefix: str, **given: Any) -> None:
        if handoff.key == "intent-a.json":
            raise PermissionError("denied")
        retract(handoff, prefix, **given)

    world.bucket.retract = fails
    done = swept(world)
    assert (done.tidied, done.failed) == (1, 1)
    done = swept(world, 60)
    assert (done.tidied, done.failed) == (0, 0)
    world.bucket.retract = retract
    assert swept(world, 600).tidied == 1


def test_a_sweep_goes_on_where_nobody_knows_what_is_to_be_tidied_up(world: World) -> None:
    world.configure(priority_queues=True)
    world.drop()
    world.state.untidy = _denied  # type: ignore[method-assign, assignment]
    done = swept(world)
    assert (done.redelivered, done.failed) == (1, 1)


def test_what_another_sweep_is_at_is_left_to_it(world: World) -> None:
    handoff = world.drop(body=intent(target="odu"))
    lands = late_worker(world, handoff)
    arrive(world, handoff)
    lands(f"{PACKAGE}late.yaml")
    world.clock.wait(LATEST_WRITE_SECONDS)
    due = world.state.untidy("", world.clock(), 9)
    assert swept(world, 0).tidied == 1
    world.state.untidy = lambda *_: due  # type: ignore[method-assign]
    assert swept(world, 0).tidied == 0


def test_no_write_comes_later_than_the_longest_invocation_and_a_call() -> None:
    call = sdk._CONFIG.connect_timeout + sdk._CONFIG.read_timeout  # type: ignore[attr-defined]
    assert max(TEMPLATE["Parameters"]["FunctionTimeout"]["AllowedValues"]) + call < LATEST_WRITE_SECONDS


def _killed(*_: object) -> None:
    raise SystemExit


def _denied(*_: object) -> None:
    raise PermissionError("denied")
