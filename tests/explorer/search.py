"""Every interleaving of a scene: a depth-first search over its histories that goes nowhere twice.

A history is replayed from its beginning. Code is deterministic: the state of the parts and the answers that each worker
has seen determine all that can follow, so that two histories that come to the same point (calls that commute, most
often) go on as one. How many there were is counted over the graph of points.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.explorer.play import Budget, Play, Step
from tests.explorer.promises import check

type Scene = Callable[[], Play]


class Violation(AssertionError):  # noqa: N818 - no error of the explorer's
    """A promise that a history broke, with that history."""

    def __init__(self, path: Sequence[Step], play: Play, error: BaseException) -> None:
        lines = "\n  ".join(play.steps)
        super().__init__(f"{type(error).__name__}: {error}\n  {lines}\nreplay: --path {','.join(map(str, path))}")
        self.path = tuple(path)


@dataclass
class Explored:
    """What a search has seen."""

    points: int = 0
    endings: int = 0
    complete: bool = True
    seconds: float = 0.0
    histories: int = 0  # ways through the graph
    faults: Counter[str] = field(default_factory=Counter)  # by kind: the calls that were killed at, failed …
    graph: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        bound = "" if self.complete else " (not all)"
        faults = ", ".join(f"{kind} {number:,}" for kind, number in self.faults.items())
        return f"{self.points:,} points, {self.histories:,} interleavings{bound}; {faults}; {self.seconds:.0f} s"

    def count(self) -> None:
        """Count the histories: the ways through the graph of points."""
        ways: dict[int, int] = {}
        for point in reversed(self._in_order()):
            ways[point] = sum(ways[after] for after in self.graph[point]) or 1
        self.histories = ways[self._first()]

    def _first(self) -> int:
        return next(iter(self.graph))

    def _in_order(self) -> list[int]:
        """Give each point before those that follow it."""
        done: dict[int, None] = {}
        stack = [(self._first(), False)]
        seen = set()
        while stack:
            point, leaving = stack.pop()
            if leaving:
                done[point] = None
            elif point not in seen:
                seen.add(point)
                stack.append((point, True))
                stack += [(after, False) for after in self.graph[point]]
        return list(reversed(done))


def explore(scene: Scene, budget: Budget, most_points: int | None = None, seed: int | None = None) -> Explored:
    """Play every interleaving of a scene, or as many as lead to ``most_points`` different points.

    With a ``seed`` it goes on from any point that is left, not from the latest: where not all are played, those that
    are differ early as well as late.

    Raises:
        Violation: with the history that broke a promise.

    """
    began, done = time.monotonic(), Explored()
    todo: list[tuple[tuple[Step, ...], int | None]] = [((), None)]
    chosen = None if seed is None else random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    while todo:
        path, before = todo.pop(-1 if chosen is None else chosen.randrange(len(todo)))
        if most_points is not None and done.points >= most_points:
            done.complete = False
            break
        play = replay(scene, budget, path)
        end = _walk(play, list(path), before, done, todo)
        if end is not None:
            check_ending(play, end, redelivers=True)
            if play.left_events:
                check_ending(replay(scene, budget, end), end, redelivers=False)
        play.close()
    done.seconds = time.monotonic() - began
    for followers in done.graph.values():
        followers[:] = [point for point in followers if point in done.graph]
    done.count()
    return done


def replay(scene: Scene, budget: Budget, path: Sequence[Step]) -> Play:
    """Play a scene along a path."""
    play = scene()
    play.budget = budget
    for number, step in enumerate(path):
        _guarded(play, path[: number + 1], partial(play.take, step))
    return play


def check_ending(play: Play, path: Sequence[Step], *, redelivers: bool) -> None:
    """Let a play come to its end, and hold what it left against the promises."""
    play.left_events = bool(play.events)
    _guarded(play, path, partial(play.finish, redelivers=redelivers))
    _guarded(play, path, partial(check, play))


def _walk(
    play: Play,
    path: list[Step],
    before: int | None,
    done: Explored,
    todo: list[tuple[tuple[Step, ...], int | None]],
) -> list[Step] | None:
    """Go on until a point that was seen before, or the end, whose path is returned; what else could happen is left."""
    while True:
        point = play.fingerprint()
        if before is not None:
            done.graph[before].append(point)
        if point in done.graph:
            return None
        done.graph[point] = []
        done.points += 1
        options = play.options()
        done.faults.update(step.kind for step in options if step.kind != "go")
        if not any(step.kind == "go" for step in options):
            done.endings += 1
            return path
        todo += [((*path, step), point) for step in reversed(options[1:])]
        path.append(options[0])
        _guarded(play, path, partial(play.take, path[-1]))
        before = point


def _guarded(play: Play, path: Sequence[Step], act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:
        play.close()
        raise Violation(path, play, error) from error
