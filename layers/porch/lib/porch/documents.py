"""Reads JSON and YAML of unchecked shape."""

from collections.abc import Mapping, Sequence
from typing import Any

type Fields = Mapping[str, Any]


def mapping(value: object) -> Fields:
    """Return ``value`` if it is a mapping, else an empty one: absent and malformed are alike to a reader."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return ``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str:
    """Return ``value`` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def whole(value: object, otherwise: int) -> int:
    """Return ``value`` if it is an integer, else ``otherwise``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def at(document: object, *path: str) -> object:
    """Return what lies at the end of ``path``, or None where it breaks off."""
    for name in path:
        document = mapping(document).get(name)
    return document
