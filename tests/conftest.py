"""Which tests share a process when several run at a time."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the end-to-end tests that share the stack together, and begin with them: they take longest."""
    items.sort(key=lambda item: not _end_to_end(item))
    for item in items:
        if _end_to_end(item):
            alone = "deployed" not in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group(item.path.name if alone else "e2e"))


def _end_to_end(item: pytest.Item) -> bool:
    return item.path.is_relative_to(_HERE / "e2e")
