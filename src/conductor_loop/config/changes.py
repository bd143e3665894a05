"""What a new version of the configuration changes, for the audit trail: which keys, and no values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from conductor_loop.audit.entries import timestamp
from conductor_loop.config.schema import get, leaves
from conductor_loop.config.sources import InvalidConfig, parsed

type Noting[T] = Callable[[T, int, Mapping[str, object]], T | None]
"""Notes a version behind what was seen; ``None`` where somebody else has."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A version of the document, and who made it."""

    version: int
    text: str
    by: str  # ARN
    at: float  # epoch seconds


def note[T](revisions: Sequence[Revision], seen: T, noted: int, good: Callable[[str], bool], write: Noting[T]) -> None:
    """Note the versions behind the ``noted`` one, oldest first; SSM keeps a hundred, so those before are unknown."""
    before = next((one.text for one in reversed(revisions) if one.version <= noted), "{}")
    for one in revisions:
        if one.version <= noted:
            continue
        fields = {"at": timestamp(one.at), "event": "configured", "by": one.by, "changed": _changed(before, one.text)}
        behind = write(seen, one.version, fields | {"accepted": good(one.text)})
        if behind is None:
            return
        seen, before = behind, one.text


def _changed(before: str, after: str) -> list[str]:
    old, new = _document(before), _document(after)
    return [leaf.dotted for leaf in leaves() if get(old, leaf.path) != get(new, leaf.path)]


def _document(text: str) -> Mapping[str, object]:
    try:
        document = parsed(text)
    except InvalidConfig:
        return {}
    return document if isinstance(document, Mapping) else {}
