"""Which tests share a process when several run at a time."""

import gc

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_ALONE = ("test_first_hour.py", "test_install.py")  # end to end, but not on the stack that the others share


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keep the tests of one stack together; every other test goes wherever there is time."""

    def _split_scope(self, nodeid: str) -> str:
        """Name what a test belongs to; the largest group begins."""
        if nodeid.startswith("tests/e2e/test_pages.py"):
            return "pages"  # they have a stack of their own
        shares = nodeid.startswith("tests/e2e/") and not any(name in nodeid for name in _ALONE)
        if shares:
            return "e2e"
        return "containment" if "test_containment" in nodeid else nodeid  # what all of a user's runs share is counted


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Hand out the tests (pytest-xdist asks)."""
    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from modules and tests, which stay: looking at them took a sixth of a test on moto."""
    gc.collect()
    gc.freeze()
