"""Which tests share a process when several run at a time, and which random histories this run plays."""

import gc
import os
import random

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")

_STACKS = {  # end-to-end tests by the stack they run on, or by what they do without one; the others share one stack
    "test_first_hour.py": "a reader's clone",
    "test_install.py": "installation",
    "test_observability.py": "what is counted",
    "test_pages.py": "pages",
    "test_readme.py": "readme",
}


def pytest_configure() -> None:
    """Choose the seed of the random histories, before processes are started, which all get it."""
    os.environ.setdefault("SCHEDULES", "100")  # `make explore` plays 5,000
    os.environ.setdefault("SEED", str(random.randrange(1_000_000)))  # noqa: S311 - to be repeated, not to be secret


def pytest_report_header() -> str:
    """Say which histories are played before any of them can stop the run."""
    return f"random histories: SEED={os.environ['SEED']} SCHEDULES={os.environ['SCHEDULES']}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to play the same random histories again."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    if any("test_schedules" in one.nodeid or "test_explorer" in one.nodeid for one in reports):
        terminalreporter.write_line(f"random histories: SEED={os.environ['SEED']} SCHEDULES={os.environ['SCHEDULES']}")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keep the tests of one stack together, and those of one file, which share fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        """Name what a test belongs to."""
        folder, _, file = nodeid.partition("::")[0].rpartition("/")
        if folder == "tests/e2e":
            return _STACKS.get(file, "e2e")
        return f"{folder}/{file}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Hand out the tests (pytest-xdist asks)."""
    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from modules and tests, which stay: looking at them took a sixth of a test on moto."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Have it look at them once more, in the end: what they left open is an error."""
    gc.unfreeze()
