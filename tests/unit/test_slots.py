import threading
from concurrent.futures import ThreadPoolExecutor

from conductor_loop.porch import Slots


def test_attempts_run_side_by_side() -> None:
    slots, all_in = Slots(), threading.Barrier(3, timeout=10)

    def attempt() -> None:
        with slots.slot(exclusive=False):
            all_in.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: attempt(), range(3)))


def test_an_exclusive_attempt_waits_for_the_others_and_the_others_for_it() -> None:
    slots, first_in, may_end = Slots(), threading.Event(), threading.Event()
    happened: list[str] = []

    def side_by_side() -> None:
        with slots.slot(exclusive=False):
            first_in.set()
            may_end.wait(10)
            happened.append("first ends")

    def alone() -> None:
        with slots.slot(exclusive=True):
            happened.append("alone")

    with ThreadPoolExecutor(2) as pool:
        pool.submit(side_by_side)
        first_in.wait(10)
        waiting = pool.submit(alone)
        assert happened == []
        may_end.set()
        waiting.result(10)
    assert happened == ["first ends", "alone"]
    with slots.slot(exclusive=False):
        happened.append("free again")
    assert happened[-1] == "free again"
