"""One token: what it looks like, and what is kept of it."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_FORM = re.compile(r"clt_([0-9a-f]{16})_[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,63}")
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # seconds of the years 1 to 9999, which can be written


class Scope(StrEnum):
    """What the holder of a token may do."""

    HEALTH = "health"  # read /healthz and /readyz where they ask for a token
    METRICS = "metrics"  # read /metrics
    INTENTS_READ = "intents:read"  # see intents and their statuses
    INTENTS_WRITE = "intents:write"  # send intents, and send them again
    PRIORITY_CRITICAL = "priority:critical"  # send intents of priority critical


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: enough to know it again, and not enough to use it. Times are seconds since 1970."""

    id: str  # 16 hexadecimal digits; no secret
    name: str  # who or what uses it
    digest: str  # SHA-256 of the whole token, in hexadecimal
    scopes: frozenset[Scope]
    created: float
    expires: float

    def entry(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {
            "id": self.id,
            "name": self.name,
            "sha256": self.digest,
            "scopes": sorted(self.scopes),
            "created": _written(self.created),
            "expires": _written(self.expires),
        }


def mint(name: str, scopes: Iterable[Scope], created: float, expires: float, *, random: bytes) -> tuple[Token, str]:
    """Make a token.

    Args:
        name: Who or what uses it; up to 64 letters, digits, spaces and ``. _ @ / -``.
        scopes: At least one.
        created: Now.
        expires: From when on it is worth nothing.
        random: 40 bytes from ``secrets.token_bytes``: 8 for the id, and 256 bits for the secret.

    Returns:
        What to keep, and the clear text to show once.

    Raises:
        ValueError: an argument is wrong; the message says what to write.

    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits, spaces and . _ @ / -, and begins with a letter or digit")
    if not (granted := frozenset(scopes)):
        raise ValueError(f"name a scope: {', '.join(Scope)}")
    if expires <= created:
        raise ValueError("a token expires after it was made")
    if expires > _LAST:
        raise ValueError("a token expires before the year 10000")
    if len(random) != 40:  # noqa: PLR2004 - documented above
        raise ValueError("40 random bytes are wanted")
    clear = f"clt_{random[:8].hex()}_{random[8:].hex()}"
    return Token(random[:8].hex(), name, digest(clear), granted, created, expires), clear


def identify(presented: str) -> str | None:
    """Read the id in what a caller presents as a token; ``None`` where it cannot be one."""
    match = _FORM.fullmatch(presented)
    return match[1] if match else None


def digest(clear: str) -> str:
    """Give what is kept of a token.

    No salt and no stretching: 256 random bits are not guessed (NIST SP 800-63B, 5.1.2.2, asks for neither from 112 on).
    """
    return hashlib.sha256(clear.encode()).hexdigest()


def read(entry: Mapping[str, Any]) -> Token:
    """Read a stored entry.

    Raises:
        ValueError: it is none; the message repeats nothing of it.

    """
    try:
        token = Token(
            id=_matching(_ID, entry["id"]),
            name="".join(one if one.isprintable() else "?" for one in str(entry["name"])),  # a terminal obeys others
            digest=_matching(_DIGEST, entry["sha256"]),
            scopes=frozenset(map(Scope, entry["scopes"])),
            created=_time(entry["created"]),
            expires=_time(entry["expires"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("id, name, sha256, scopes, created and expires are wanted (docs/secrets.md)") from None
    return token


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(pattern.pattern)
    return text


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _time(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    return min(max(moment.timestamp(), _FIRST), _LAST)  # by its zone, a moment may lie in the year 0 or 10000
