"""What the cold start is measured with runs: it is text, which nothing else checks."""

import sysconfig
from pathlib import Path

import pytest

from bench.cold_start import OURS, Start

SOURCE = Path(__file__).parents[3] / "src"
SWEEPERS = {"conductor_loop.surveying", "conductor_loop.aws.census", "conductor_loop.api.parts"}


def test_a_start_of_ours_runs_to_its_end() -> None:
    assert Start(OURS, (SOURCE, Path(sysconfig.get_paths()["purelib"]))).milliseconds() > 0


@pytest.mark.parametrize("module", sorted(SWEEPERS))
def test_the_conductor_starts_without_what_only_others_need(module: str) -> None:
    code = f"{OURS}\nimport sys\nassert {module!r} not in sys.modules"
    assert Start(code, (SOURCE, Path(sysconfig.get_paths()["purelib"]))).milliseconds() > 0
