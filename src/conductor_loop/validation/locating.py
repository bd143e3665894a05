"""Where in a document a byte lies: the JSON path of a string that is too long for the document to be parsed."""

import re

from conductor_loop.validation.finding import Path

_TOKEN = re.compile(rb'"[^"]*+"|[\[\]{},:]')
_MOST_TOKENS = 100_000  # a tenth of a second; what comes behind more of them is not located
_SHOWN = 64  # bytes of a key that are worth a message


def path_of(position: int, body: bytes, bare: bytes, most_levels: int) -> Path:
    """Name the string that starts at a position of a document; the document itself if that is unknown.

    ``bare`` is as long as ``body`` and has no escaped quotes. What is named is as reliable as the grammar before it.
    """
    steps: list[str | int | None] = []  # of each open object the present key (None: awaited), of each array the index
    key = ""
    for number, token in enumerate(_TOKEN.finditer(bare, 0, position)):
        if number >= _MOST_TOKENS or len(steps) > most_levels:
            return ()
        match token[0]:
            case b"{" | b"[" as opened:
                steps.append(None if opened == b"{" else 0)
            case b"}" | b"]":
                steps[-1:] = []
            case b":" if steps[-1:] == [None]:
                steps[-1] = key
            case b"," if steps:
                steps[-1] = steps[-1] + 1 if isinstance(steps[-1], int) else None
            case text if text.startswith(b'"'):
                key = _key(body, token.start())
    return tuple(_key(body, position) if step is None else step for step in steps)


def _key(body: bytes, start: int) -> str:
    """Read the key that starts at a quote, as far as it is worth showing; its escapes stay as they are written."""
    return body[start + 1 : start + 1 + _SHOWN].partition(b'"')[0].decode(errors="ignore")
