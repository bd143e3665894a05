"""``python -m tests.explorer [--scene NAME] [--points N] [--path STEPS]``: play every interleaving of the scenes."""

import argparse
import logging
import sys

from tests.explorer.play import Step
from tests.explorer.scenes import SCENES
from tests.explorer.search import Violation, check_ending, explore, replay


def main() -> int:
    """Play the scenes; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer")
    parser.add_argument("--scene", action="append", choices=SCENES, help="only this one")
    parser.add_argument("--points", type=int, help="of each scene, at the most")
    parser.add_argument("--path", help="replay this history of the scene, as a violation prints it")
    asked = parser.parse_args()
    logging.disable()  # what goes wrong is meant to
    broken = 0
    for name in asked.scene or SCENES:
        try:
            if asked.path:
                path = [_step(text) for text in asked.path.split(",")]
                check_ending(replay(SCENES[name], path), path)
                continue
            done = explore(SCENES[name], asked.points)
        except Violation as violation:
            broken += 1
            print(f"{name}: {violation}", flush=True)
        else:
            bound = "" if done.complete else ", not all"
            print(
                f"{name}: {done.points} points, {done.endings} endings, {done.interleavings():.3g} interleavings"
                f"{bound}, {done.seconds:.1f} s",
                flush=True,
            )
    return 1 if broken else 0


def _step(text: str) -> Step:
    return Step(text) if text == "pause" else Step(text[:-1], int(text[-1]))


sys.exit(main())
