"""``python -m tests.explorer [--scene NAME] [--faults N] [--points N] [--path STEPS]``: play every interleaving."""

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.explorer.play import Budget, Step
from tests.explorer.scenes import SCENES
from tests.explorer.search import Explored, Violation, check_ending, explore, replay


def main() -> int:
    """Play the scenes, two at a time; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer")
    parser.add_argument("--scene", action="append", choices=SCENES, help="only this one")
    parser.add_argument("--faults", type=int, default=2, help="kills, pauses and lost answers in one history")
    parser.add_argument("--points", type=int, help="of each scene, at the most")
    parser.add_argument("--path", help="replay this history of the scene, as a violation prints it")
    asked = parser.parse_args()
    budget, names = Budget(total=asked.faults), asked.scene or list(SCENES)
    if asked.path:
        return _replay(names[0], budget, [_step(text) for text in asked.path.split(",")])
    total = broken = 0
    with ProcessPoolExecutor(2) as pool:
        for name, done in zip(names, pool.map(partial(_explore, budget, asked.points), names), strict=True):
            print(f"{name}: {done}", flush=True)
            broken += isinstance(done, str)
            total += 0 if isinstance(done, str) else done.histories
    print(f"{len(names)} scenes, {total:,} interleavings, {broken} with a violation")
    return 1 if broken else 0


def _explore(budget: Budget, points: int | None, name: str) -> Explored | str:
    logging.disable()  # what goes wrong is meant to
    try:
        done = explore(SCENES[name], budget, points)
    except Violation as violation:
        return str(violation)
    done.graph.clear()
    return done


def _replay(name: str, budget: Budget, path: list[Step]) -> int:
    for redelivers in (True, False):
        check_ending(replay(SCENES[name], budget, path), path, redelivers=redelivers)
    return 0


def _step(text: str) -> Step:
    return Step(text) if text == "pause" else Step(text[:-1], int(text[-1]))


if __name__ == "__main__":
    sys.exit(main())
