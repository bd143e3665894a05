"""Tokens of the API: made, kept as digests, verified.

A token is a bearer token and an API key alike: ``Authorization: Bearer clt_…`` and ``X-API-Key: clt_…`` take the same
one. It is shown once, when it is made; only its SHA-256 is kept.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from conductor_loop.errors import NotAnswering

logger = logging.getLogger("conductor-loop")

MAX_BYTES = 65_536  # of a secret in Secrets Manager: some 200 tokens
_RANDOM_BYTES = 40  # 8 for the id, and 256 bits for the secret
_FORM = re.compile(r"clt_([0-9a-f]{16})_[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,63}")
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # seconds of the years 1 to 9999, which can be written
_NO_DIGEST = "0" * 64  # compared with where the id is unknown, so that it takes the same path

_FRESH_SECONDS = 60  # after which a new token is known, and a revoked one forgotten
_KEEP_SECONDS = 900  # for which a copy that cannot be read again is relied on
_RETRY_SECONDS = 5  # after a failure, before the next attempt to read


class Scope(StrEnum):
    """What the holder of a token may do."""

    HEALTH = "health"  # read /healthz and /readyz where they ask for a token
    METRICS = "metrics"  # read /metrics
    INTENTS_READ = "intents:read"  # see intents and their statuses
    INTENTS_WRITE = "intents:write"  # send intents, and send them again
    PRIORITY_CRITICAL = "priority:critical"  # send intents of priority critical


class UnreadableTokens(Exception):  # noqa: N818 - reads as what it is
    """What is stored is no document of tokens. The message says nothing of its content."""


class TokensUnavailable(NotAnswering):
    """Callers cannot be identified for the moment: no copy of the tokens is young enough."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: enough to recognize it, and not enough to use it. Times are seconds since 1970."""

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
            "created": _format_time(self.created),
            "expires": _format_time(self.expires),
        }


def mint(name: str, scopes: Iterable[Scope], created: float, expires: float, *, random: bytes) -> tuple[Token, str]:
    """Make a token of 40 bytes from ``secrets.token_bytes``; what to keep, and the clear text to show once.

    Raises ValueError where an argument is wrong; the message says what to write.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits, spaces and . _ @ / -, and begins with a letter or digit")
    if not (granted := frozenset(scopes)):
        raise ValueError(f"name a scope: {', '.join(Scope)}")
    if expires <= created:
        raise ValueError("a token expires after it was made")
    if expires > _LAST:
        raise ValueError("a token expires before the year 10000")
    if len(random) != _RANDOM_BYTES:
        raise ValueError(f"{_RANDOM_BYTES} random bytes are wanted")
    clear = f"clt_{random[:8].hex()}_{random[8:].hex()}"
    return Token(random[:8].hex(), name, _digest(clear), granted, created, expires), clear


def _digest(clear: str) -> str:
    """Return what is kept of a token.

    No salt and no stretching: 256 random bits are not guessed (NIST SP 800-63B, 5.1.2.2, asks for neither from 112 on).
    """
    return hashlib.sha256(clear.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Document:
    """What tokens are kept in, the same in Secrets Manager, in Vault and in a file; with other keys beside them.

    Entries that make no sense are ignored, with a line in the log, and survive a change as the other keys do: one
    mistake made by hand must not lock out every caller.
    """

    content: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what is stored. Raises UnreadableTokens: it is not a JSON object with a list ``tokens``."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise UnreadableTokens("the document of tokens is not JSON") from None
        return cls.of(content)

    @classmethod
    def of(cls, content: object) -> Self:
        """Take a parsed document; ``tokens`` may be JSON in a string, as Kubernetes and Vault's pages write it."""
        entries = content.get("tokens") if isinstance(content, dict) else None
        if isinstance(entries, str):
            try:
                entries = json.loads(entries)
            except (ValueError, RecursionError):
                entries = None
        if not isinstance(content, dict) or not isinstance(entries, list):
            raise UnreadableTokens('the document of tokens is not an object with a list "tokens"')
        return cls(content | {"tokens": entries})

    def text(self) -> str:
        """Write it as it is stored. Raises ValueError if Secrets Manager has no room for so many tokens."""
        text = json.dumps(self.content, indent=1)
        if len(text.encode()) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes of tokens: revoke some first")
        return text

    def tokens(self) -> tuple[Token, ...]:
        """Return the tokens, in the order they were made in, expired ones as well."""
        found = []
        for number, entry in enumerate(self.content["tokens"]):
            try:
                found.append(_parse_entry(entry))
            except (KeyError, TypeError, ValueError, AttributeError):  # whose message could repeat a secret
                wanted = "id, name, sha256, scopes, created and expires are wanted (docs/secrets.md)"
                logger.error("entry %d of the tokens makes no sense and is passed over: %s", number, wanted)  # noqa: TRY400
        return tuple(found)

    def added(self, token: Token, now: float) -> Self:
        """Add a token, idempotently; those that have expired by now are dropped."""
        expired = {one.id for one in self.tokens() if one.expires <= now}
        return self._with([*self._without(expired | {token.id}), token.entry()])

    def revoked(self, identifier: str) -> Self:
        """Remove a token. Raises KeyError if there is none with that id."""
        left = self._without({identifier})
        if len(left) == len(self.content["tokens"]):
            raise KeyError(identifier)
        return self._with(left)

    def _without(self, identifiers: set[str]) -> list[Any]:
        def is_one(entry: object) -> bool:  # a corrupt one has no id
            return isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] in identifiers

        return [entry for entry in self.content["tokens"] if not is_one(entry)]

    def _with(self, entries: list[Any]) -> Self:
        return replace(self, content={**self.content, "tokens": entries})


def _parse_entry(entry: Mapping[str, Any]) -> Token:
    if not (_ID.fullmatch(entry["id"]) and _DIGEST.fullmatch(entry["sha256"])):
        raise ValueError
    return Token(
        id=entry["id"],
        name="".join(one if one.isprintable() else "?" for one in str(entry["name"])),  # a terminal obeys others
        digest=entry["sha256"],
        scopes=frozenset(map(Scope, entry["scopes"])),
        created=_parse_time(entry["created"]),
        expires=_parse_time(entry["expires"]),
    )


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _parse_time(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return min(max(moment.timestamp(), _FIRST), _LAST)  # by its zone, a moment may lie in the year 0 or 10000


@dataclass(frozen=True, slots=True)
class Client:
    """A known caller."""

    id: str  # of the token, or of the certificate: for logs, and to count requests by
    name: str
    scopes: frozenset[Scope]


class Tokens:
    """Verifies tokens, with a copy of the document.

    A copy ages: relied on ─ fresh ─▶ read again, with pauses while that fails ─ keep ─▶ unavailable.
    Wrong and unknown tokens cost no call: a copy's age alone, by a monotonic clock, decides when it is read again.
    """

    def __init__(self, read: Callable[[], Document], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._known: Mapping[str, Token] = {}
        self._read_at = self._tried_at = float("-inf")

    def verify(self, presented: str, now: float) -> Client | None:
        """Return the client that a token belongs to; ``None`` if it is unknown, or expired (``now``: since 1970).

        Raises TokensUnavailable: it looks like a token, and there is nothing to compare it with.
        """
        form = _FORM.fullmatch(presented)
        if form is None:
            return None
        token = self._current().get(form[1])
        same = hmac.compare_digest(_digest(presented), token.digest if token else _NO_DIGEST)
        if token is None or not same or token.expires <= now:
            return None
        return Client(token.id, token.name, token.scopes)

    def _current(self) -> Mapping[str, Token]:
        now = self._clock()
        if now - self._read_at >= _FRESH_SECONDS and now - self._tried_at >= _RETRY_SECONDS:
            self._tried_at = now
            try:
                self._known = {token.id: token for token in self._read().tokens()}
                self._read_at = now
            except Exception:
                logger.exception("the tokens cannot be read: the last copy stays in force for a while")
        if now - self._read_at >= _KEEP_SECONDS:
            raise TokensUnavailable("the tokens cannot be read")
        return self._known
