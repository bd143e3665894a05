"""What docs/architecture.md promises, as histories: what is put, delivered and withdrawn, and what comes out."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from conductor_loop.errors import Cause
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Conflict, Deferred, Write
from conductor_loop.porch import Delivered, PorchFailed, Run
from conductor_loop.retry import Policy
from tests.factories import intent
from tests.memory import UNREADABLE
from tests.promises import Site, Waiting, die
from tests.writes import instead, is_noted

NETWORK = Cause.NETWORK_ERROR


def busy(site: Site) -> None:
    """Keep the target busy: a worker holds it, and never returns."""
    site.porch(die)
    site.event(site.put("intent-holder.json", replicas=1))
    site.receive()


def waiting(site: Site) -> Handoff:
    """Leave a first version waiting for its target."""
    busy(site)
    site.wait(1)
    older = site.put("intent-a.json", replicas=50)
    site.event(older)
    site.receive("intent-a.json")
    return older


def retrying(site: Site) -> Handoff:
    """Leave a first version after an attempt that failed."""
    older = site.put("intent-a.json", replicas=50)
    site.event(older)
    site.porch(NETWORK)
    site.receive()
    assert site.status("intent-a.json")["next_retry"]
    return older


def taken_id(site: Site) -> bytes:
    site.event(site.put("intent-other.json", target="another", correlation_id="c-1"))
    site.receive("intent-other.json")
    site.wait(1)
    return intent(correlation_id="c-1", replicas=5)


NEWER: dict[str, Callable[[Site], bytes]] = {
    "a typo": lambda _: intent(replicas="5"),
    "not JSON": lambda _: b"{",
    "unreadable": lambda _: UNREADABLE,
    "a used correlation id": taken_id,
}


# -- the newest version of a name decides


@pytest.mark.parametrize("newer", NEWER)
@pytest.mark.parametrize("first", [waiting, retrying])
def test_an_older_version_never_runs_after_a_newer_one_was_refused(
    first: Callable[[Site], Handoff], newer: str
) -> None:
    site = Site.open()
    older = first(site)
    site.wait(1)
    refused = site.put("intent-a.json", NEWER[newer](site))
    runs = len([run for run in site.runs if run[0] == "intent-a.json"])
    site.event(refused)
    site.wait(100)
    site.receive(version=refused)
    assert (site.outcome(refused) or "")[0] == "failed"
    site.settle()
    assert (site.outcome(older) or "")[0] == "skipped"
    assert site.status("intent-a.json")["version_id"] == refused.version_id
    assert len([run for run in site.runs if run[0] == "intent-a.json"]) == runs


@pytest.mark.parametrize("first", [waiting, retrying])
def test_an_older_version_never_runs_after_a_newer_one_was_withdrawn(first: Callable[[Site], Handoff]) -> None:
    site = Site.open()
    older = first(site)
    site.wait(1)
    newer = site.put("intent-a.json", replicas=5)
    site.event(newer)
    site.delete(newer)  # the older one is the newest in the bucket again
    runs = len([run for run in site.runs if run[0] == "intent-a.json"])
    site.wait(100)
    site.settle()
    assert (site.outcome(older) or "")[0] == "skipped"
    assert site.outcome(newer) == ("skipped", "Withdrawn: the file was removed from the bucket before it was processed")
    assert len([run for run in site.runs if run[0] == "intent-a.json"]) == runs


def test_a_newer_version_that_was_admitted_and_removed_at_once_stands_in_the_way_without_its_message() -> None:
    site = Site.open()
    older = retrying(site)
    site.wait(1)
    newer = site.put("intent-a.json", replicas=5)
    site.event(newer)
    site.delete(newer)
    site.wait(100)
    site.receive(version=older)
    assert (site.outcome(older) or "")[0] == "skipped"


def test_without_queues_a_refused_version_stands_in_the_way_of_an_older_event() -> None:
    site = Site.open(priority_queues=False)
    older = site.put("intent-a.json", replicas=50)
    site.wait(1)
    site.event(site.put("intent-a.json", replicas="5"))
    site.event(older)
    assert (site.runs, (site.outcome(older) or "")[0]) == ([], "skipped")


def test_an_older_version_is_skipped_while_an_unreadable_newer_one_lies_there() -> None:
    site = Site.open()
    older = site.put("intent-a.json", replicas=50)
    site.wait(1)
    newer = site.put("intent-a.json", UNREADABLE)
    site.event(older)
    site.settle()
    site.event(newer)
    assert (site.outcome(older) or "")[0] == "skipped"
    assert (site.outcome(newer) or "")[0] == "failed"
    assert site.status("intent-a.json")["version_id"] == newer.version_id


def test_an_invalid_older_version_is_skipped_too() -> None:
    site = Site.open()
    older = site.put("intent-a.json", b"{")
    site.put("intent-a.json", replicas=5)
    site.event(older)
    assert (site.outcome(older) or "")[0] == "skipped"


def test_of_two_versions_in_one_second_whose_events_are_lost_the_newer_one_runs() -> None:
    site = Site.open()
    older = site.put("intent-a.json", at=0.1, replicas=5)
    newer = site.put("intent-a.json", at=0.9, replicas=2)
    site.settle()
    assert [site.outcome(older)[0], site.outcome(newer)[0]] == ["skipped", "success"]  # type: ignore[index]
    assert (site.replicas(), site.status("intent-a.json")["version_id"]) == (2, newer.version_id)


@pytest.mark.parametrize("swept", [0, 1])
def test_of_two_versions_in_one_second_the_newer_one_decides_whichever_event_is_lost(swept: int) -> None:
    site = Site.open()
    versions = [site.put("intent-a.json", at=0.1, replicas=5), site.put("intent-a.json", at=0.9, replicas=2)]
    site.event(versions[1 - swept])
    site.settle()
    assert [site.outcome(one)[0] for one in versions] == ["skipped", "success"]  # type: ignore[index]
    assert (site.replicas(), site.status("intent-a.json")["version_id"]) == (2, versions[1].version_id)


@pytest.mark.parametrize("body", [b"{", UNREADABLE, intent(replicas=5)])
@pytest.mark.parametrize("first", [waiting, retrying])
def test_a_newer_version_of_the_same_second_decides_although_its_event_is_lost(
    first: Callable[[Site], Handoff], body: bytes
) -> None:
    site = Site.open()
    older = first(site)
    newer = site.put("intent-a.json", body, at=0.9)
    assert newer.event_time[:19] == older.event_time[:19]
    messages, site.world.queues.waiting = site.world.queues.waiting, []
    site.sweep()
    site.receive(version=newer)
    site.world.queues.waiting += messages
    site.settle()
    assert (site.outcome(older) or "")[0] == "skipped"
    assert (site.outcome(newer) or "")[0] == ("success" if body == intent(replicas=5) else "failed")
    assert ("intent-a.json", 50) not in site.runs[2 if first is waiting else 1 :]
    assert site.status("intent-a.json")["version_id"] == newer.version_id


# -- an order once known is never lost


@pytest.mark.parametrize("queues", [True, False])
def test_a_handoff_that_the_sweeper_hands_over_keeps_its_order(queues: bool) -> None:
    site = Site.open(priority_queues=queues)
    first = site.put("intent-a.json", at=0.1, replicas=5)
    second = site.put("intent-b.json", at=0.9, replicas=2)
    site.porch(die)
    site.event(first)
    site.receive("intent-a.json")
    site.lose_messages()
    site.wait(100)
    site.event(second)
    site.receive()
    assert site.replicas() == 2
    site.settle()
    assert (site.replicas(), (site.outcome(first) or "")[0]) == (2, "skipped")


def test_a_late_event_gives_the_order_of_what_the_sweeper_found() -> None:
    site = Site.open()
    first = site.put("intent-a.json", at=0.1, replicas=5)
    second = site.put("intent-b.json", at=0.9, replicas=2)
    site.event(second)
    site.receive()
    site.sweep()  # hands the first one over
    site.event(first)
    site.receive()
    assert (site.replicas(), (site.outcome(first) or "")[0]) == (2, "skipped")


def test_a_late_event_gives_the_order_although_there_is_no_time_for_an_attempt() -> None:
    site = Site.open(priority_queues=False, retry=Policy(attempts=3, delay_seconds=900))
    first = site.put("intent-a.json", at=0.1, replicas=5)
    site.porch(NETWORK)
    site.sweep()  # hands the first one over
    site.receive()  # and it is retried in 900 s
    assert site.status("intent-a.json")["next_retry"]
    site.event(first)
    assert site.world.row(first).order == first.order


def test_a_late_event_gives_the_order_of_an_attempt_under_way_which_keeps_its_lease() -> None:
    site = Site.open()
    first = site.put("intent-a.json", at=0.1, replicas=5)

    def meanwhile() -> None:
        site.event(first)
        site.world.porch.script = [NETWORK]

    site.porch(meanwhile)
    site.sweep()  # hands it over
    site.receive()
    assert site.status("intent-a.json")["next_retry"]
    assert site.world.row(first).order == first.order


def test_an_intent_whose_second_alone_is_known_does_not_let_an_older_one_undo_a_newer_one() -> None:
    site = Site.open()
    middle = site.put("intent-c.json", at=0.5, replicas=7)
    newest = site.put("intent-b.json", at=0.9, replicas=2)
    site.put("intent-a.json", at=0.95, replicas=5)  # its event is lost
    site.event(newest)
    site.receive()
    site.sweep()
    site.receive("intent-a.json")
    site.event(middle)
    site.settle()
    assert (site.outcome(middle) or "")[0] == "skipped"


# -- waiting takes none of porch's time


def test_a_neighbour_that_waited_for_its_slot_gets_its_whole_timeout() -> None:
    for seconds in (5, 20, 60, 90, 100, 104):
        site = Site.open()
        site.event(site.put("intent-a.json", timeout="6s"))
        with Waiting(site, seconds):
            site.receive()
        given = [request.timeout_seconds for request in site.world.porch.requests]
        assert given in ([6.0], []), f"after {seconds} s"
        site.settle()
        assert (site.status("intent-a.json")["status"], site.status("intent-a.json")["attempt"]) == ("success", 1)


def test_after_a_timeout_the_next_attempt_gets_twice_the_time_or_is_left_to_another_invocation() -> None:
    site = Site.open()
    site.event(site.put("intent-a.json", timeout="40s"))
    site.porch(Cause.PROCESSING_TIMEOUT)
    site.receive()
    site.wait(60)
    with Waiting(site, 60):  # 60 of 120 s are left: enough for 40 s, not for 80
        site.receive()
    site.settle()
    assert [request.timeout_seconds for request in site.world.porch.requests] == [40, 80]
    assert site.status("intent-a.json")["attempt"] == 2


# -- an answer reports what happened


def test_where_some_attempts_said_something_the_answer_is_the_last_of_it() -> None:
    site = Site.open()
    site.porch(NETWORK, NETWORK, NETWORK, die)
    site.event(site.put("intent-a.json"))
    site.settle()
    status = site.status("intent-a.json")
    assert (status["status"], status["attempt"], status["retry_count"]) == ("failed", 4, 3)
    assert (status["error_details"]["error_code"], status["error_details"]["code"]) == ("NETWORK_ERROR", "E014")
    assert "memory" not in status["message"]
    assert "reported no result" in status["message"]
    assert status["error_details"]["porch_exit_code"] == 1


@pytest.mark.parametrize(
    ("cause", "ends"), [(NETWORK, ("failed", "E014")), (Cause.PROCESSING_TIMEOUT, ("timeout", "E007"))]
)
def test_after_fewer_attempts_are_allowed_the_answer_is_the_last_cause(cause: Cause, ends: tuple[str, str]) -> None:
    site = Site.open()
    site.porch(cause, cause)
    site.event(site.put("intent-a.json"))
    for _ in range(2):
        site.receive()
        site.wait(200)
    site.world.configure(retry=Policy(attempts=0))
    site.settle()
    status = site.status("intent-a.json")
    assert ((status["status"], status["error_details"]["code"]), status["attempt"]) == (ends, 2)
    assert len(site.runs) == 2


def test_where_no_attempt_said_anything_the_answer_says_so() -> None:
    site = Site.open(retry=Policy(attempts=2))
    site.porch(die, die, die)
    site.event(site.put("intent-a.json"))
    site.settle()
    status = site.status("intent-a.json")
    assert (status["error_details"]["error_code"], status["attempt"]) == ("WORKERS_DIED", 3)
    assert "none of 3 attempts" in status["message"]


def no_room() -> None:
    """Set the replicas in the cluster, which has no room for the pods."""
    said = Run(exit_code=5, stdout="", stderr="", duration_seconds=1.0)
    raise PorchFailed(Cause.QUOTA_EXCEEDED, said, "no room", Delivered("scale", 1, 2))


@pytest.mark.parametrize(("attempts", "characters"), [(0, 9000), (1, 4000)])
def test_what_porch_printed_is_whole_in_a_decision_and_cut_in_one_that_comes_later(
    attempts: int, characters: int
) -> None:
    def talk() -> None:
        raise PorchFailed(NETWORK, Run(4, "o" * 9000, "e" * 9000, 1.0), "n" * 9000)

    site = Site.open(retry=Policy(attempts=attempts))
    site.porch(talk, die)
    site.event(site.put("intent-a.json"))
    site.settle()
    error = site.status("intent-a.json")["error_details"]
    assert (error["porch_stdout"], error["porch_stderr"]) == ("o" * characters, "e" * characters)
    assert (error["error_message"], error["porch_exit_code"]) == ("n" * characters, 4)


def test_an_answer_for_attempts_that_are_used_up_says_what_the_last_one_has_set() -> None:
    site = Site.open(retry=Policy(attempts=1))
    site.porch(no_room, die)
    site.event(site.put("intent-a.json"))
    site.settle()
    status = site.status("intent-a.json")
    assert (status["error_details"]["error_code"], status["attempt"]) == ("QUOTA_EXCEEDED", 2)
    assert (status["delivery"], status["previous_replicas"], status["observed_replicas"]) == ("scale", 1, 2)


def test_what_an_attempt_has_set_is_said_although_a_later_one_got_less_far() -> None:
    site = Site.open(retry=Policy(attempts=2))
    site.porch(no_room, NETWORK, NETWORK)
    site.event(site.put("intent-a.json"))
    site.settle()
    status = site.status("intent-a.json")
    assert (status["error_details"]["error_code"], status["attempt"]) == ("NETWORK_ERROR", 3)
    assert (status["delivery"], status["previous_replicas"]) == ("scale", 1)
    assert "observed_replicas" not in status


def test_an_intent_that_is_withdrawn_after_it_was_set_in_the_cluster_says_so() -> None:
    site = Site.open()
    site.porch(no_room)
    site.event(site.put("intent-a.json"))
    site.receive()
    site.withdraw("intent-a.json")
    site.settle()
    status = site.status("intent-a.json")
    assert status["message"].endswith("; replicas that an attempt has set in the cluster stay set")
    assert (status["status"], status["delivery"], status["previous_replicas"]) == ("skipped", "scale", 1)


def test_an_older_version_that_was_set_in_the_cluster_says_so_after_a_newer_one_was_refused() -> None:
    site = Site.open()
    site.porch(no_room)
    older = site.put("intent-a.json")
    site.event(older)
    site.receive()
    site.wait(1)
    site.event(site.put("intent-a.json", replicas="5"))
    site.settle()
    outcome = site.world.row(older).outcome
    assert outcome is not None
    assert (outcome.status["status"], outcome.status["delivery"]) == ("skipped", "scale")


@pytest.mark.parametrize(("delivery", "before"), [("package", 3), ("scale", None)])
def test_what_a_dead_worker_may_have_changed_in_a_cluster_is_not_guessed(delivery: str, before: int | None) -> None:
    site = Site.open(delivery=delivery)
    site.event(site.put("intent-a.json", replicas=3))
    site.receive()
    site.porch(die)
    site.wait(1)
    site.event(site.put("intent-b.json", replicas=5))
    site.settle()
    status = site.status("intent-b.json")
    assert (status["status"], status["attempt"], status.get("previous_replicas")) == ("success", 2, before)
    assert site.world.porch.requests[-1].previous_replicas == before


def test_an_intent_that_is_superseded_after_attempts_says_how_many_there_were() -> None:
    site = Site.open()
    older = retrying(site)
    site.wait(1)
    site.event(site.put("intent-a.json", replicas=5))
    site.settle()
    row = site.world.row(older)
    assert row.outcome is not None
    assert (row.outcome.status["status"], row.outcome.status["attempt"]) == ("skipped", 1)


# -- a withdrawn intent ends


def queued(site: Site) -> Handoff:
    handoff = site.put("intent-a.json")
    site.event(handoff)
    return handoff


def dead_lettered(site: Site) -> Handoff:
    handoff = queued(site)
    site.lose_messages()
    return handoff


def dead_lettered_after_an_attempt(site: Site) -> Handoff:
    handoff = retrying(site)
    site.lose_messages()
    return handoff


def died(site: Site) -> Handoff:
    handoff = queued(site)
    site.porch(die)
    site.receive()
    return handoff


def handed_over(site: Site) -> Handoff:
    handoff = site.put("intent-a.json")
    site.sweep()
    return handoff


@pytest.mark.parametrize(
    "before", [queued, waiting, retrying, died, handed_over, dead_lettered, dead_lettered_after_an_attempt]
)
def test_a_withdrawn_intent_ends_as_skipped(before: Callable[[Site], Handoff]) -> None:
    site = Site.open()
    handoff = before(site)
    site.withdraw("intent-a.json")
    runs = len(site.runs)
    site.settle()
    status = site.status("intent-a.json")
    assert status["status"] == "skipped"
    assert status["message"].startswith("Withdrawn: ")
    assert (site.outcome(handoff) or "")[0] == "skipped"
    assert "processed/intent-a.json" in site.world.listing()
    assert not [version for version in site.world.bucket.objects["intent-a.json"] if not version.marker]
    assert len([run for run in site.runs[runs:] if run[0] == "intent-a.json"]) == 0


def test_a_withdrawn_intent_ends_without_its_message_too() -> None:
    site = Site.open()
    handoff = queued(site)
    site.lose_messages()
    site.withdraw("intent-a.json")
    site.sweep(after=61)
    site.receive()
    assert site.outcome(handoff) == (
        "skipped",
        "Withdrawn: the file was removed from the bucket before it was processed",
    )
    assert site.world.queues.waiting == []


def test_a_withdrawn_intent_gets_one_message_more_in_six_hours() -> None:
    site = Site.open()
    queued(site)
    site.withdraw("intent-a.json")
    for _ in range(6 * 60):
        site.sweep(after=60)
    assert len(site.world.queues.waiting) == 2


def test_a_withdrawn_intent_whose_message_came_before_it_was_noted_ends() -> None:
    site = Site.open()
    handoff = site.put("intent-a.json")

    def late(write: Write) -> Conflict | None:
        site.withdraw("intent-a.json")
        site.receive()  # the message is faster than the note
        return site.world.state.write(write)

    with instead(site.world, is_noted, late):
        site.event(handoff)
    site.settle()
    assert (site.outcome(handoff) or "")[0] == "skipped"


def test_a_decided_intent_that_is_removed_before_it_was_reported_has_its_status() -> None:
    site = Site.open()
    handoff = queued(site)
    put_status = site.world.bucket.put_status
    site.world.bucket.put_status = lambda *_, **__: die()
    site.receive()
    site.world.bucket.put_status = put_status
    site.withdraw("intent-a.json")
    site.lose_messages()
    site.settle()
    assert site.status("intent-a.json")["status"] == "success"
    assert (site.outcome(handoff) or "")[0] == "success"


def test_an_attempt_under_way_may_succeed_although_its_file_was_removed() -> None:
    site = Site.open()
    handoff = queued(site)

    def meanwhile() -> None:
        site.withdraw("intent-a.json")
        site.sweep(after=1)

    site.porch(meanwhile)
    site.receive()
    assert (site.outcome(handoff) or "")[0] == "success"


def test_an_intent_that_was_removed_before_anybody_saw_it_leaves_nothing() -> None:
    site = Site.open()
    handoff = site.put("intent-a.json")
    site.withdraw("intent-a.json")
    site.event(handoff)
    site.settle()
    assert site.world.listing() == []


def test_a_name_is_free_after_it_was_withdrawn() -> None:
    site = Site.open()
    queued(site)
    site.withdraw("intent-a.json")
    site.wait(1)
    again = site.put("intent-a.json", replicas=9)
    site.event(again)
    site.settle()
    assert (site.status("intent-a.json")["status"], site.replicas()) == ("success", 9)


# -- late orders, slow calls, and what a status advises


def test_an_intent_that_is_deleted_under_an_attempt_that_dies_is_answered_without_queues_too() -> None:
    """Its event does not come again, and the sweeper has nothing to find."""
    site = Site.open(priority_queues=False)
    handoff = site.put("intent-a.json", timeout="90s")

    def deleted_and_dead() -> None:
        site.delete(handoff)
        die()

    site.porch(deleted_and_dead)
    site.event(handoff)
    site.wait(60)
    site.event(handoff)  # Lambda's retry, while the lease runs
    site.settle()
    assert (site.outcome(handoff) or "")[0] == "skipped"


def test_an_order_that_comes_while_its_intent_runs_counts() -> None:
    site = Site.open()
    older = site.put("intent-a.json", at=0.1, replicas=1)
    newer = site.put("intent-b.json", at=0.9, replicas=9)
    site.sweep()
    site.porch(lambda: site.event(newer, older))
    site.receive("intent-b.json")
    site.settle()
    assert ((site.outcome(older) or "")[0], site.replicas()) == ("skipped", 9)


@pytest.mark.parametrize("waited", [10.0, 30.0, 59.0])
def test_what_an_invocation_waits_for_its_configuration_takes_no_time_of_porch(waited: float) -> None:
    site = Site.open()
    site.event(site.put("intent-a.json", timeout="90s"))
    world, ((_, message),) = site.world, site.world.queues.waiting
    started, deadline = world.clock(), world.deadline
    site.wait(waited)
    answer = admit.work(world.app, message, deadline, started=started)
    runs = [one.timeout_seconds for one in world.porch.requests]
    assert runs == ([90.0] if waited <= 10 else [])
    assert isinstance(answer, Deferred) is not bool(runs)


@pytest.mark.parametrize("timeout", ["5s", "90s"])
def test_a_claim_of_some_seconds_is_no_reason_to_give_it_back_and_takes_no_time_of_porch(timeout: str) -> None:
    site = Site.open()
    handoff = site.put("intent-a.json", timeout=timeout)
    site.event(handoff)
    write = site.world.state.write

    def slowly(given: Write) -> Conflict | None:
        site.wait(4)
        return write(given)

    site.world.state.write = slowly  # type: ignore[assignment, method-assign]
    began = list[float]()
    site.porch(lambda: began.append(site.world.clock()))
    site.receive()
    assert (site.outcome(handoff) or "")[0] == "success"
    (request,) = site.world.porch.requests
    assert request.not_after >= began[0] + request.timeout_seconds


def test_an_order_that_comes_late_does_not_set_that_of_a_target_back() -> None:
    """Put in this order: a, c, b; b is applied first, a with an order that comes only then, and c comes last."""
    site = Site.open()
    lost, late, first = (
        site.put(f"intent-{name}.json", at=at, replicas=n)
        for name, at, n in (("a", 0.1, 1), ("c", 0.3, 3), ("b", 0.5, 5))
    )
    site.event(first)
    site.receive()
    site.sweep()
    site.porch(lambda: site.event(lost))
    site.receive("intent-a.json")
    site.event(late)
    site.settle()
    assert (site.outcome(late) or "")[0] == "skipped"


def test_an_event_without_a_version_withdraws_nothing_that_was_applied_meanwhile() -> None:
    site = Site.open(priority_queues=False)
    handoff = site.put("intent-a.json", replicas=7, timeout="90s")

    def comes_again() -> None:
        site.world.configure(rules=replace(site.world.config.rules, max_replicas=5))
        site.event(replace(handoff, version_id=""))

    site.porch(comes_again)
    site.event(handoff)
    site.settle()
    assert site.status("intent-a.json")["status"] == "success"


def test_a_final_failure_after_a_retry_does_not_advise_to_send_the_same_again() -> None:
    site = Site.open()
    handoff = site.put("intent-a.json")
    site.event(handoff)
    site.porch(Cause.NETWORK_ERROR, Cause.INVALID_INTENT)
    site.settle()
    assert site.outcome(handoff) == ("failed", "Failed to process intent: porch says INVALID_INTENT")


def test_what_later_attempts_did_not_report_is_said_before_what_to_do() -> None:
    site = Site.open()
    handoff = site.put("intent-a.json")
    site.event(handoff)
    site.porch(Cause.NETWORK_ERROR, die, die, die)
    site.settle()
    said = "porch says NETWORK_ERROR (the 3 after that reported no result); no attempt is left, of 4: conductor-loop"
    assert (site.outcome(handoff) or "")[1].startswith(f"Failed to process intent: {said}")
