"""What a new version of the configuration changes, for the audit trail: which keys, and no values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from conductor_loop.audit.chain import timestamp
from conductor_loop.config.live import Revision
from conductor_loop.config.schema import InvalidConfig, get, leaves, parse


@dataclass(frozen=True, slots=True)
class Noted:
    """What the trail says of the configuration: up to which version."""

    version: int = 0  # 0: there is none
    at: str = ""  # when it was made
    rev: int = 0  # of its row


@dataclass(frozen=True, slots=True)
class ConfigTrail:
    """Notes versions.

    Args:
        good: Whether a text can be used.
        write: Notes a version behind what was seen; ``None`` if another writer was first.
        clock: Epoch seconds.

    """

    good: Callable[[str], bool]
    write: Callable[[Noted, int, Mapping[str, object]], Noted | None]
    clock: Callable[[], float]

    def note(self, revisions: Sequence[Revision], seen: Noted) -> bool:
        """Note the versions that are not noted yet, oldest first; whether all of them are now.

        SSM keeps a hundred, so those before are unknown. After the parameter is deleted, it counts from 1 again.
        """
        if not revisions:
            return seen.version == 0 or self._note_deleted(seen)
        after = 0 if _is_another(revisions, seen) else seen.version
        before = next((one.text for one in reversed(revisions) if one.version <= after), "{}")
        for one in revisions:
            if one.version <= after:
                continue
            behind = self.write(seen, one.version, self._told(one, before))
            if behind is None:
                return False
            seen, before = behind, one.text
        return True

    def _note_deleted(self, seen: Noted) -> bool:
        fields = {"at": timestamp(self.clock()), "event": "configured", "because": "the parameter was deleted"}
        return self.write(seen, 0, fields) is not None

    def _told(self, one: Revision, before: str) -> Mapping[str, object]:
        entry = {"at": timestamp(one.at), "event": "configured", "by": one.by, "changed": _changed(before, one.text)}
        return {**entry, "accepted": self.good(one.text)}


def _is_another(revisions: Sequence[Revision], seen: Noted) -> bool:
    """Say whether this is not the parameter that was noted, but one that was made since."""
    known = any(one.version == seen.version and timestamp(one.at) == seen.at for one in revisions)
    return not known and revisions[0].version <= seen.version


def _changed(before: str, after: str) -> list[str]:
    old, new = _document(before), _document(after)
    return [leaf.dotted for leaf in leaves() if get(old, leaf.path) != get(new, leaf.path)]


def _document(text: str) -> Mapping[str, object]:
    try:
        document = parse(text)
    except InvalidConfig:
        return {}
    return document if isinstance(document, Mapping) else {}
