"""The document that tokens are kept in: the same in Secrets Manager, in Vault and in a file."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from conductor_loop.tokens.token import Token, read

logger = logging.getLogger("conductor-loop")

MOST_BYTES = 65_536  # of a secret in Secrets Manager: some 200 tokens


class UnreadableTokens(Exception):  # noqa: N818 - reads as what it is
    """What is stored is no document of tokens. The message says nothing of its content."""


@dataclass(frozen=True, slots=True)
class Document:
    """Tokens, and other keys beside them, which survive a change.

    Entries that make no sense are passed over, with a line in the log, and survive as well: one mistake made by hand
    must not shut everybody out.
    """

    content: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what is stored.

        Raises:
            UnreadableTokens: it is not a JSON object with a list ``tokens``.

        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise UnreadableTokens("the document of tokens is not JSON") from None
        return cls.of(content)

    @classmethod
    def of(cls, content: object) -> Self:
        """Take a parsed document; ``tokens`` may be JSON in a string, as Kubernetes and Vault's pages write it.

        Raises:
            UnreadableTokens: as above.

        """
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
        """Write it as it is stored.

        Raises:
            ValueError: there are too many tokens for Secrets Manager.

        """
        text = json.dumps(self.content, indent=1)
        if len(text.encode()) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes of tokens: revoke some first")
        return text

    def tokens(self) -> tuple[Token, ...]:
        """Give the tokens, in the order they were made in, expired ones as well."""
        found = []
        for number, entry in enumerate(self.content["tokens"]):
            try:
                found.append(read(entry))
            except ValueError as error:
                logger.error("entry %d of the tokens makes no sense and is passed over: %s", number, error)  # noqa: TRY400 - the traceback says no more
        return tuple(found)

    def added(self, token: Token, now: float) -> Self:
        """Add a token, once however often this is done; those that have expired by now are dropped."""
        expired = {one.id for one in self.tokens() if one.expires <= now}
        return self._with([*self._without(expired | {token.id}), token.entry()])

    def revoked(self, identifier: str) -> Self:
        """Remove a token.

        Raises:
            KeyError: there is none with that id.

        """
        left = self._without({identifier})
        if len(left) == len(self.content["tokens"]):
            raise KeyError(identifier)
        return self._with(left)

    def _without(self, identifiers: set[str]) -> list[Any]:
        return [entry for entry in self.content["tokens"] if _identifier(entry) not in identifiers]

    def _with(self, entries: list[Any]) -> Self:
        return replace(self, content={**self.content, "tokens": entries})


def _identifier(entry: object) -> str | None:
    """Give the id of an entry; a corrupt one has none, and is passed over."""
    found = entry.get("id") if isinstance(entry, dict) else None
    return found if isinstance(found, str) else None
