"""Whether a token is good: looked up in a copy of the document that is kept for a while."""

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conductor_loop.tokens.document import Document
from conductor_loop.tokens.token import Scope, Token, digest, identify

logger = logging.getLogger("conductor-loop")

_NOBODY = "0" * 64  # compared with where the id is unknown, so that it takes the same path


@dataclass(frozen=True, slots=True)
class Client:
    """Who a good token belongs to."""

    id: str  # of the token: for logs, and to count requests by
    name: str
    scopes: frozenset[Scope]


class TokensUnavailable(Exception):  # noqa: N818 - reads as what it is
    """Callers cannot be identified for the moment: no copy of the tokens is young enough. To be answered with 503."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How long things are relied on, in seconds."""

    fresh_seconds: float = 60  # a new token is known, and a revoked one forgotten, after this time
    keep_seconds: float = 900  # a copy that cannot be read again is relied on for this long
    again_seconds: float = 5  # after a failure, before the next attempt to read


class Tokens:
    """Verifies tokens.

    A copy ages: relied on ─ fresh ─▶ read again, every ``again_seconds`` while that fails ─ keep ─▶ unavailable.
    Wrong and unknown tokens cost no call: a copy's age alone decides when it is read again.

    Args:
        read: Reads the document, one call; from Secrets Manager or Vault.
        clock: Seconds that never go back.
        ages: See there.

    """

    def __init__(self, read: Callable[[], Document], clock: Callable[[], float], ages: Ages | None = None) -> None:
        self._read, self._clock, self._ages = read, clock, ages or Ages()
        self._known: Mapping[str, Token] = {}
        self._read_at = self._tried_at = float("-inf")

    def verify(self, presented: str, now: float) -> Client | None:
        """Say whose token this is; ``None`` if it is unknown, or expired.

        Args:
            presented: What a caller sent, whatever it is; what cannot be a token costs nothing.
            now: Seconds since 1970, compared with expiry.

        Raises:
            TokensUnavailable: it looks like a token, and there is nothing to compare it with.

        """
        identifier = identify(presented)
        if identifier is None:
            return None
        token = self._current().get(identifier)
        same = hmac.compare_digest(digest(presented), token.digest if token else _NOBODY)
        if token is None or not same or token.expires <= now:
            return None
        return Client(token.id, token.name, token.scopes)

    def _current(self) -> Mapping[str, Token]:
        now = self._clock()
        if now - self._read_at >= self._ages.fresh_seconds and now - self._tried_at >= self._ages.again_seconds:
            self._refresh(now)
        if now - self._read_at >= self._ages.keep_seconds:
            raise TokensUnavailable("the tokens cannot be read")
        return self._known

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            found = self._read().tokens()
        except Exception:
            logger.exception("the tokens cannot be read: the last copy stays in force for a while")
            return
        self._known, self._read_at = {token.id: token for token in found}, now
