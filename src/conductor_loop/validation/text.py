"""Unicode: the one form in which text is checked."""

import re
import unicodedata

MAX_MARKS = 30
"""Combining marks in a row: the bound of Unicode's Stream-Safe Text Format (UAX #15, section 13).

No language needs more, and sorting a long run of them costs quadratic time.
"""

# Three Tibetan vowel signs count as starters, but decompose into combining marks.
_DISGUISED_MARKS = "\u0f73\u0f75\u0f81"
_LONG_RUN = b"\x01" * (MAX_MARKS + 1)
# Default_Ignorable_Code_Point (Unicode 18): what a program may ignore, and a reader never sees.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


# A text without any other, without two dots and without a part of such a word, holds nothing that any rule refuses.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.,:='\"!?+*@#<>~^-"


def is_plain(text: str) -> bool:
    """Whether a glance is enough: ASCII, with nothing to decode or to fold, no path, and no word of the list."""
    if not text.isascii() or text.encode().translate(None, _PLAIN) or ".." in text:
        return False
    lower = text.lower()
    has_short = "rm" in lower or "nc" in lower or "del" in lower  # "format" holds "rm", and "ncat" holds "nc"
    return not (has_short or "curl" in lower or "wget" in lower)


def is_stackable(text: str) -> bool:
    """Whether no more than ``MAX_MARKS`` combining marks follow each other, so that normalising takes linear time."""
    if text.isascii():
        return True
    for disguised in _DISGUISED_MARKS:
        text = text.replace(disguised, "\u0f71")
    return _LONG_RUN not in bytes(map(bool, map(unicodedata.combining, text)))


def composed(text: str) -> str:
    """Normalise to NFC, the form that every rule sees (specification, ``normalize_unicode``)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Normalise to NFKC: what a program that folds full-width and other compatibility characters would read."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def bare(text: str) -> str:
    """Take out what does not show: what a reader sees, and what a program that ignores the rest would read."""
    return text if text.isascii() else _IGNORABLE.sub("", text)


def named(char: str) -> str:
    """Word a character: its code point and its name, such as ``U+200B ZERO WIDTH SPACE``."""
    name = unicodedata.name(char, _CONTROL_NAMES.get(char, ""))
    return f"U+{ord(char):04X} {name}".rstrip()


_CONTROL_NAMES = {
    "\0": "NULL",
    "\a": "BELL",
    "\b": "BACKSPACE",
    "\t": "TAB",
    "\n": "LINE FEED",
    "\r": "CARRIAGE RETURN",
    "\x1b": "ESCAPE",
    "\x7f": "DELETE",
}
