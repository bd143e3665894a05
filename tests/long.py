"""Parameters that only make test-long plays."""

from typing import Any

import pytest


def first(*cases: Any) -> list[Any]:
    """Give the first case at each commit, and the others, which go the same way, to ``make test-long``."""
    one, *others = cases
    return [
        one,
        *(pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.long) for each in others),
    ]
