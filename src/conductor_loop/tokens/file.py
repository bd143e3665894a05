"""The document of tokens in a file, to be copied to Vault, or into a Kubernetes Secret."""

import os
from collections.abc import Callable
from pathlib import Path

from conductor_loop.tokens import Document, UnreadableTokens


class TokensFile:
    """Reads and changes a file; readable for its owner only, and never half written. One person at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Document:
        """Read the document; without a file there are no tokens. Raises UnreadableTokens and OSError."""
        try:
            return Document.parse(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return Document.parse('{"tokens": []}')
        except UnicodeDecodeError:
            raise UnreadableTokens("the document of tokens is not UTF-8") from None

    def change(self, edit: Callable[[Document], Document]) -> None:
        """Write what ``edit`` makes of the document; if that raises, nothing is changed."""
        text, beside = edit(self.read()).text(), self._path.with_name(f".{self._path.name}.new")
        beside.unlink(missing_ok=True)  # left by a crash, or by another user, with rights of its own
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{text}\n")
        beside.replace(self._path)
