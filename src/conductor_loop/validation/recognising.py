"""What a file is that is no JSON: known by its first bytes, or by what stands where the grammar breaks."""

import json
import re

from conductor_loop.validation.finding import Finding
from conductor_loop.validation.text import bare, named

_AS_UTF8 = "save the file as UTF-8 without a byte order mark"
_PACKED = "unpack it, and send the JSON text itself; the upload must not compress it"
_SIGNS: tuple[tuple[bytes, str, str], ...] = (  # the first that fits counts
    (rb"\x1f\x8b", "the file is gzip data", _PACKED),
    (rb"PK\x03\x04", "the file is a zip archive", _PACKED),
    (rb"\x28\xb5\x2f\xfd", "the file is Zstandard data", _PACKED),
    (rb"\xef\xbb\xbf", "the file starts with a byte order mark (U+FEFF)", _AS_UTF8),
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "the file is UTF-32, with a byte order mark", _AS_UTF8),
    (rb"\xff\xfe|\xfe\xff", "the file is UTF-16, with a byte order mark", _AS_UTF8),
    (rb"[^\0]\0\0\0|\0\0\0[^\0]", "the file is UTF-32, without a byte order mark", _AS_UTF8),
    (rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]", "the file is UTF-16, without a byte order mark", _AS_UTF8),
)
_KNOWN = tuple((re.compile(sign, re.DOTALL), problem, remedy) for sign, problem, remedy in _SIGNS)
_JSON_IN_A_STRING = re.compile(rb'[ \t\r\n]*+"(?:[ \t]|\\[nrt])*+\{(?:[ \t]|\\[nrt])*+\\"')


def what_else(body: bytes) -> Finding | None:
    """Say what a file is, if its first bytes are those of something else than a JSON object in UTF-8."""
    for sign, problem, remedy in _KNOWN:
        if sign.match(body):
            return Finding((), "require_utf8", problem, remedy)
    if _JSON_IN_A_STRING.match(body):
        problem = "the document is a string that holds the text of a JSON object: it was written as JSON twice"
        return Finding((), "json", problem, "send the object itself, without quotes around it and without backslashes")
    return None


def not_json(text: str, error: json.JSONDecodeError) -> Finding:
    """Word an error of the grammar: where it is, and which character stands there if a reader would not see it."""
    if not text.strip():
        return Finding((), "json", "the file is empty", "write one JSON object (RFC 8259)")
    where = f"line {error.lineno}, column {error.colno}"
    char = text[error.pos : error.pos + 1]
    if _is_invisible(char) or error.msg.startswith("Invalid control character"):
        problem = f"{where} holds {named(char)}, which does not show and has no place there ({error.msg})"
        return Finding((), "json", problem, "delete it: many editors can show invisible characters")
    said = f"{error.msg}, not {named(char)}" if char and not char.isascii() else error.msg
    return Finding((), "json", f"{where}: {said}", "write one JSON object (RFC 8259), and check it with a JSON linter")


def _is_invisible(char: str) -> bool:
    return bool(char) and char not in " \t\r\n" and (not char.isprintable() or not bare(char))
