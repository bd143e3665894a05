"""What the cold start is measured with runs: it is text, which nothing else checks."""

import sysconfig
from pathlib import Path

from bench.cold_start import OURS, Start

SOURCE = Path(__file__).parents[3] / "src"
SWEEPERS = {"conductor_loop.housekeeping", "conductor_loop.storage.measures", "conductor_loop.api"}


def test_the_conductor_starts_without_what_only_others_need() -> None:
    code = f"{OURS}\nimport sys\nassert {SWEEPERS!r}.isdisjoint(sys.modules)"
    assert Start(code, (SOURCE, Path(sysconfig.get_paths()["purelib"]))).milliseconds() > 0
