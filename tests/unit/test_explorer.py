"""No interleaving of two workers breaks a promise, with one thing going wrong; ``make explore`` plays two."""

import logging
import os
from collections.abc import Iterator

import pytest

from tests.explorer.play import Budget
from tests.explorer.scenes import SCENES
from tests.explorer.search import explore

_POINTS = 200  # of a scene of two workers: most have fewer
_ALONE, _BESIDE = Budget(total=1), Budget(total=1, losses=0, failures=0)
_LIKE_OTHERS = {
    "one event twice inline",
    "two intents for one target",
}  # what can go wrong in others can go wrong there


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the failures that scenes consist of out of the log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", [name for name in SCENES if name not in _LIKE_OTHERS])
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    budget = _ALONE if name.startswith("alone") else _BESIDE
    done = explore(SCENES[name], budget, _POINTS, seed=int(os.environ["SEED"]))
    assert done.endings > 0
