"""Kubeconfigs for runs: asked for once, made anew, never waited for too long."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import pytest

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch import Credentials, Kubeconfig, with_token
from conductor_loop.porch.kubeconfig import KEPT_SECONDS
from tests.factories import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Source:
    """Counts how often it is asked, and fails as its script says."""

    def __init__(self, *failures: NoCredentials | None) -> None:
        self.asked = 0
        self.failures = failures
        self.tokens: Iterator[int] = count()
        self.on_read: Callable[[], object] = lambda: None

    def read(self) -> str:
        self.asked += 1
        self.on_read()
        failure = self.failures[self.asked - 1] if self.asked <= len(self.failures) else None
        if failure:
            raise failure
        return f"https://edge-{self.asked}"

    def made(self, server: str) -> Kubeconfig:
        return with_token(server, "Q0E=", f"token-{next(self.tokens)}")


def credentials(source: Source, clock: Clock | None = None) -> Credentials[str]:
    return Credentials(source.read, source.made, clock or Clock())


def test_each_run_gets_a_token_of_its_own_and_the_cluster_is_asked_for_once() -> None:
    source = Source()
    given = credentials(source)
    assert [given.kubeconfig(5).secrets for _ in range(3)] == [{"token-0"}, {"token-1"}, {"token-2"}]
    assert source.asked == 1


def test_what_was_asked_for_is_asked_for_again_when_it_is_old() -> None:
    source, clock = Source(), Clock()
    given = credentials(source, clock)
    given.kubeconfig(5)
    clock.wait(KEPT_SECONDS - 1)
    given.kubeconfig(5)
    assert source.asked == 1
    clock.wait(1)
    assert b"edge-2" in given.kubeconfig(5).content


def test_what_a_cluster_refused_is_asked_for_again_but_not_by_every_run() -> None:
    source, clock = Source(), Clock()
    given = credentials(source, clock)
    for _ in range(3):
        given.kubeconfig(5)
        given.forget()
    assert source.asked == 1, "it is seconds old"
    clock.wait(11)
    given.forget()
    given.kubeconfig(5)
    assert source.asked == 2


def test_a_failure_is_not_kept() -> None:
    source = Source(NoCredentials(Cause.NETWORK_ERROR, "not now"))
    given = credentials(source)
    with pytest.raises(NoCredentials, match="not now"):
        given.kubeconfig(5)
    assert given.kubeconfig(5).secrets == {"token-0"}


def test_runs_side_by_side_ask_once_and_share_the_answer() -> None:
    source, everybody = Source(), threading.Barrier(8)
    given = credentials(source)

    def run(_: int) -> frozenset[str]:
        everybody.wait(10)
        return given.kubeconfig(5).secrets

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    assert (len(set(found)), source.asked) == (8, 1)


def test_who_waits_goes_away_in_time_and_the_answer_is_there_for_the_next() -> None:
    source, let_go = Source(), threading.Event()
    source.on_read = lambda: let_go.wait(10)
    given = credentials(source)
    with pytest.raises(NoCredentials, match="within 0 s") as caught:
        given.kubeconfig(0.05)
    assert caught.value.cause is Cause.NETWORK_ERROR
    let_go.set()
    assert given.kubeconfig(5).secrets == {"token-0"}
    assert source.asked == 1
