"""Durations and sizes, as a configuration writes them."""

import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,9})(B|KB|MB|GB)")


def seconds(text: str) -> float:
    """Read a duration, e.g. ``500ms``, ``30s``, ``1.5m``, ``168h``. Raises ValueError, saying what to write."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("write a duration such as 500ms, 30s, 5m, 168h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Read a number of bytes, e.g. ``64KB``, ``10MB``, in powers of 1024. Raises ValueError, saying what to write."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("write a size such as 64KB, 10MB or 1GB")
    return int(match[1]) * _BYTES[match[2]]
