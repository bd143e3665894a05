"""Delivery scale while others are at work, and after crashes: no wish undoes a newer one."""

import time
from collections.abc import Callable

import pytest

from porch import kubeconfig
from porch.client import Deadline, connect
from porch.deployment import Terms, find, scale
from porch.errors import PorchError
from porch.intent import Intent
from tests.integration.cluster.apiserver import ApiServer
from tests.integration.cluster.test_scale import patches, replicas, scaled
from tests.integration.cluster.world import World
from tests.unit.porch_program.support import intent

WISH = Intent(intent(), "daily-001")


def before_patch(world: World, times: int, act: Callable[[], None]) -> None:
    """Let something happen right before each of the first ``times`` patches arrives."""
    left = [times]

    def meddle(method: str, _path: str) -> None:
        if method == "PATCH" and left[0]:
            left[0] -= 1
            act()

    world.api.faults.before = meddle


# ------------------------------------------------------------------ 409
def test_a_late_worker_does_not_undo_a_newer_wish(world: World) -> None:
    before_patch(world, 1, lambda: world.api.scale(7))
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (4, 7)
    assert "was changed by others meanwhile: try again later" in result.stderr


def test_a_newer_wish_that_was_undone_again_still_counts_as_newer(world: World) -> None:
    def there_and_back() -> None:
        world.api.scale(7)
        world.api.scale(1)

    before_patch(world, 1, there_and_back)
    assert (scaled(world).returncode, replicas(world)) == (4, 1)


@pytest.mark.parametrize("times", [1, 4])
def test_a_status_that_changed_meanwhile_is_read_again_and_the_wish_is_set(world: World, times: int) -> None:
    before_patch(world, times, world.api.touch_status)
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (0, 3), result.stderr
    versions = [patch["metadata"]["resourceVersion"] for patch in patches(world)]
    assert len(set(versions)) == times + 1


def test_a_status_that_keeps_changing_is_given_up(world: World) -> None:
    before_patch(world, 1000, world.api.touch_status)
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (4, 1)
    assert "keeps changing: try again later" in result.stderr


# ------------------------------------------------------------------ the deadline
def test_past_its_deadline_nothing_is_asked(world: World) -> None:
    result = scaled(world, PORCH_DEADLINE=str(time.time() - 1))
    assert (result.returncode, world.api.requests) == (124, [])
    assert "the time of this run is over, nothing was changed" in result.stderr


def test_a_worker_that_was_frozen_before_the_patch_does_not_patch_when_it_thaws(world: World) -> None:
    asked = connect(kubeconfig.load(str(world.kubeconfig())))
    now = [0.0]
    terms = Terms(Deadline(10, lambda: now[0]))
    seen = find(asked, WISH)
    now[0] = 11.0  # it stood still here, and a newer intent found its replicas as wanted
    with pytest.raises(PorchError) as caught:
        scale(asked, WISH, seen, terms)
    assert (caught.value.exit_code, patches(world), replicas(world)) == (124, [], 1)


def test_a_worker_that_is_frozen_between_two_tries_does_not_try_again(world: World) -> None:
    asked = connect(kubeconfig.load(str(world.kubeconfig())))
    now = [0.0]

    def freeze(_seconds: float) -> None:
        now[0] = 11.0

    before_patch(world, 1, world.api.touch_status)
    with pytest.raises(PorchError) as caught:
        scale(asked, WISH, find(asked, WISH), Terms(Deadline(10, lambda: now[0]), pause=freeze))
    assert (caught.value.exit_code, len(patches(world)), replicas(world)) == (124, 1, 1)


@pytest.mark.parametrize("deadline", ["soon", "-1", "1e9", "9" * 30, "\u0663"])
def test_a_deadline_that_is_no_time_is_wrong_usage(world: World, deadline: str) -> None:
    assert scaled(world, PORCH_DEADLINE=deadline).returncode == 64


# ------------------------------------------------------------------ crashes
def test_a_worker_that_is_killed_after_the_patch_leaves_a_success_to_the_next_attempt(world: World) -> None:
    cut = 1 + len(["deployment", "autoscalers"])
    world.api.faults.hang_up_after = cut
    assert (scaled(world).returncode, replicas(world)) == (4, 3)
    world.api.faults.hang_up_after = 0
    result = scaled(world)
    assert (result.returncode, len(patches(world))) == (0, 1)


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (3, "whether 3 replicas are set is unknown"),
        (4, "3 replicas are set, and the cluster's result is unknown"),
    ],
)
def test_a_run_that_gets_no_answer_from_its_patch_on_says_what_there_was_before(
    world: World, cut: int, says: str
) -> None:
    world.api.faults.hang_up_after = cut
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (4, 3)
    assert result.stderr.startswith(f"Error: {says}: the cluster at 127.0.0.1:")
    assert "Replicas wanted: 1 -> 3\nDelivery: scale\n" in result.stdout
    assert "Replicas observed" not in result.stdout


@pytest.mark.parametrize(
    "act", [lambda api: api.objects.clear(), lambda api: api.faults.forbidden.add("deployments/scale")]
)
def test_a_run_that_has_changed_nothing_reports_nothing(world: World, act: Callable[[ApiServer], None]) -> None:
    act(world.api)
    assert scaled(world).stdout == ""


def test_the_replicas_before_are_those_that_the_caller_knows_where_an_earlier_attempt_has_set_them(
    world: World,
) -> None:
    world.api.faults.hang_up_after = 3
    scaled(world)
    world.api.faults.hang_up_after = 0
    assert "Replicas updated: 1 -> 3\n" in scaled(world, PORCH_PREVIOUS_REPLICAS="1").stdout
    assert "Replicas updated: unknown -> 3\n" in scaled(world).stdout


def test_replicas_that_another_client_has_set_are_the_previous_ones(world: World) -> None:
    world.api.scale(3)
    assert "Replicas updated: 3 -> 3\n" in scaled(world, PORCH_PREVIOUS_REPLICAS="1").stdout


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_run_that_is_cut_off_after_any_request_is_continued_by_the_next(world: World, cut: int) -> None:
    world.api.faults.hang_up_after = cut
    assert scaled(world).returncode in {0, 4}
    world.api.faults.hang_up_after = 0
    assert (scaled(world).returncode, replicas(world)) == (0, 3)
    assert len(patches(world)) == 1
