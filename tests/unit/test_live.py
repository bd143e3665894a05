"""The live tree: the Component of each target's last applied intent, whatever comes between."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import yaml

from conductor_loop.errors import Cause
from conductor_loop.porch import Package, PorchRequest, Result
from tests.factories import BUCKET, component
from tests.promises import Site, die

LIVE = "live/oran-sim/cnf-simulator/kustomization.yaml"


@pytest.fixture
def site() -> Site:
    return Site.open(priority_queues=False)


def die_before_live(site: Site) -> Callable[[], None]:
    """Have workers die once they have decided and written the status; gives what makes them live again."""
    bucket, put = site.world.bucket, site.world.bucket.put_live
    bucket.put_live = lambda *_: die()
    return lambda: setattr(bucket, "put_live", put)


def published(site: Site, file: str) -> bytes:
    """Give the Component of an intent's package."""
    prefix = site.status(file)["package"]["prefix"]
    content: bytes = site.world.bucket.get(BUCKET, f"{prefix}kustomization.yaml")
    return content


def in_live(site: Site) -> bytes:
    """Give what is live, without the line that makes each one unique."""
    content: bytes = site.world.bucket.get(BUCKET, LIVE)
    return content.rpartition(b"# generation ")[0]


def with_files(site: Site, files: dict[str, bytes]) -> None:
    """Have porch write these files."""
    porch: Any = site.world.porch

    def run(request: PorchRequest) -> Result:
        return Result(Package("own-v1.0.0", files), porch(request).run)

    site.world.porch = run  # type: ignore[assignment]


def test_it_has_the_component_of_the_last_applied_intent_as_its_package_has_it(site: Site) -> None:
    site.event(site.put("intent-a.json", replicas=2))
    assert in_live(site) == published(site, "intent-a.json")
    site.event(site.put("intent-b.json", replicas=5))
    assert in_live(site) == published(site, "intent-b.json") != published(site, "intent-a.json")


def test_no_two_are_alike_where_a_porch_writes_the_same_again(site: Site) -> None:
    """What is there is known by its ETag, that is by its bytes: a late worker would take a newer one for an older."""
    with_files(site, {"kustomization.yaml": component("always-the-same")})
    written = []
    for number in range(3):
        site.event(site.put(f"intent-{number}.json", replicas=2))
        written.append(site.world.bucket.get(BUCKET, LIVE))
    assert len({*written}) == len(written) == 3
    assert {yaml.safe_load(one)["metadata"]["name"] for one in written} == {"always-the-same"}


def test_what_fails_or_comes_too_late_leaves_it_as_it_is(site: Site) -> None:
    older = site.put("intent-a.json", replicas=2)
    site.event(site.put("intent-b.json", replicas=5), older)
    site.porch(Cause.PORCH_FAILED)
    site.event(site.put("intent-c.json", replicas=7), site.put("intent-d.json", replicas="many"))
    assert [site.status(f"intent-{one}.json")["status"] for one in "acd"] == ["skipped", "failed", "failed"]
    assert in_live(site) == published(site, "intent-b.json")


def test_a_worker_that_dies_between_the_status_and_it_is_made_up_for_by_the_sweeper(site: Site) -> None:
    revive = die_before_live(site)
    site.event(site.put("intent-a.json", replicas=2))
    assert site.status("intent-a.json")["status"] == "success"
    assert LIVE not in site.world.listing()
    revive()
    site.settle()
    assert in_live(site) == published(site, "intent-a.json")


@pytest.mark.parametrize("in_turn", list(permutations(range(3))))
def test_whichever_of_three_is_settled_last_the_last_applied_one_stays(site: Site, in_turn: tuple[int, ...]) -> None:
    revive = die_before_live(site)
    put = [site.put(f"intent-{number}.json", replicas=number) for number in range(3)]
    site.event(*put)
    revive()
    site.event(*(put[number] for number in in_turn))
    assert in_live(site) == published(site, "intent-2.json")


def test_of_two_of_one_second_of_which_one_lost_its_event_it_has_the_one_that_was_applied_last(site: Site) -> None:
    """The order of the second one is not known, and that of the target stays as it was: the generation decides."""
    revive = die_before_live(site)
    exact, swept = site.put("intent-a.json", replicas=2), site.put("intent-b.json", replicas=3)
    swept = replace(swept, order=swept.event_time[:19])  # as the sweeper hands it over
    site.event(exact, swept)
    assert site.replicas() == 3
    assert site.world.state.target("oran-sim/cnf-simulator").last_order == exact.order
    revive()
    site.event(swept, exact)
    assert in_live(site) == published(site, "intent-b.json")


def test_where_older_ones_are_not_superseded_it_has_the_one_that_was_applied_last(site: Site) -> None:
    site.world.configure(supersede_older=False)
    older = site.put("intent-a.json", replicas=2)
    site.event(site.put("intent-b.json", replicas=5), older)
    assert site.replicas() == 2
    assert in_live(site) == published(site, "intent-a.json")


def test_a_target_whose_row_was_lost_goes_on(site: Site) -> None:
    site.event(site.put("intent-a.json", replicas=2))
    state: Any = site.world.state
    state.lose("target")
    site.event(site.put("intent-b.json", replicas=5, at=0.5))
    assert in_live(site) == published(site, "intent-b.json")
    assert site.status("intent-b.json")["package"]["prefix"] != site.status("intent-a.json")["package"]["prefix"]


def test_a_clock_that_is_behind_does_not_hold_it_back(site: Site) -> None:
    first, second = site.put("intent-a.json", replicas=2), site.put("intent-b.json", replicas=5)
    site.event(first)
    site.wait(-3600)
    site.event(second)
    assert in_live(site) == published(site, "intent-b.json")


def test_switched_off_nothing_is_written(site: Site) -> None:
    site.world.configure(live_tree=False)
    site.event(site.put("intent-a.json"))
    assert LIVE not in site.world.listing()


def test_switched_off_before_it_was_written_nothing_is_either(site: Site) -> None:
    revive = die_before_live(site)
    site.event(site.put("intent-a.json"))
    revive()
    site.world.configure(live_tree=False)
    site.settle()
    assert "processed/intent-a.json" in site.world.listing()
    assert LIVE not in site.world.listing()


def test_a_package_that_was_deleted_does_not_keep_its_intent_from_its_end(site: Site) -> None:
    revive = die_before_live(site)
    site.event(site.put("intent-a.json"))
    revive()
    site.world.bucket.objects[f"{site.status('intent-a.json')['package']['prefix']}kustomization.yaml"].clear()
    site.settle()
    assert "processed/intent-a.json" in site.world.listing()
    assert LIVE not in site.world.listing()


@pytest.mark.parametrize("files", [{"Kptfile": b"-"}, {"kustomization.yaml": b"kind: Kustomization\n"}])
def test_a_porch_of_your_own_may_write_no_component(site: Site, files: dict[str, bytes]) -> None:
    with_files(site, files)
    site.event(site.put("intent-a.json"))
    assert site.status("intent-a.json")["status"] == "success"
    assert LIVE not in site.world.listing()


def test_each_target_has_its_own(site: Site) -> None:
    site.event(site.put("intent-a.json"), site.put("intent-b.json", namespace="edge"))
    site.event(site.put("intent-c.json", target="upf"))
    assert [key for key in site.world.listing() if key.startswith("live/")] == [
        "live/edge/cnf-simulator/kustomization.yaml",
        LIVE,
        "live/oran-sim/upf/kustomization.yaml",
    ]
