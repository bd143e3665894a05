"""Unicode: the one form in which text is checked, and the characters that nobody sees."""

import unicodedata

MAX_MARKS = 30
"""Combining marks in a row: the bound of Unicode's Stream-Safe Text Format (UAX #15, section 13).

No language needs more, and sorting a long run of them costs quadratic time.
"""

# Three Tibetan vowel signs count as starters, but decompose into combining marks.
_DISGUISED_MARKS = "\u0f73\u0f75\u0f81"
_LONG_RUN = b"\x01" * (MAX_MARKS + 1)
_HIDDEN = frozenset({"Cf", "Co", "Cn", "Zl", "Zp"})  # the categories; see hidden_characters


def _range(first: int, last: int) -> frozenset[str]:
    return frozenset(map(chr, range(first, last + 1)))


# Default_Ignorable_Code_Point (Unicode 15.1) outside Cf and Cn, and the Braille blank.
_IGNORABLE = (
    frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
    | _range(0xFE00, 0xFE0F)
    | _range(0xE0100, 0xE01EF)
)


_SELECTORS = frozenset("\ufe0e\ufe0f")  # VARIATION SELECTOR-15 and -16: the text and the emoji form of a sign


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


def hidden_characters(text: str, *, emoji: bool) -> list[str]:
    """List the characters that do not show, reorder what is shown, or have no agreed meaning; each once.

    Those are the categories Cf (zero-width, bidirectional, tags), Co (private use), Cn (unassigned), Zl and Zp (line
    and paragraph separators), and the default-ignorable characters of other categories. Surrogates are the parser's.

    With ``emoji``, one variation selector may follow a sign of category So, as in the heart that any phone types.
    """
    if text.isascii():
        return []
    chars = set(_without_presentation(text) if emoji else text)
    return sorted(char for char in chars if char in _IGNORABLE or unicodedata.category(char) in _HIDDEN)


def bare(text: str) -> str:
    """Take the variation selectors out: what a reader sees, and what a program that ignores them would read."""
    return text if text.isascii() else "".join(char for char in text if char not in _SELECTORS)


def _without_presentation(text: str) -> str:
    """Take out each variation selector that directly follows a sign which has a text and an emoji form."""
    pairs = zip(" " + text, text, strict=False)
    return "".join(char for before, char in pairs if not (char in _SELECTORS and unicodedata.category(before) == "So"))


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
