"""Security: the specification's list, on every string of a document, keys included, at any depth.

The list is a courtesy, not the wall: porch is started with an argument list and without a shell, and names that become
paths are held to strict patterns by the schema. The list catches what other programs might do with the text.

Characters that do not show: names, ids and keys need none of these. Prose does: a joiner between the letters of a
script that joins (Persian, Hindi), a directional mark beside letters that are written from right to left, and what
emoji and ideographs are made of. The library ``regex`` carries Unicode's own data.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from conductor_loop.validation.rules import Finding, Path, Rules, SecurityMode, ThreatLevel, shown

if TYPE_CHECKING:
    import regex

PROSE = frozenset({"reason", "metadata"})  # fields whose values reach no path and no argument list

_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_BLOCKED = re.compile(r"[;&|`$(){}\[\]]")
# A hyphen joins words here: no shell starts a program at it, and names such as nc-agent or log-format are honest.
_KEYWORD = re.compile(r"(?<![\w-])(?:rm|del|format|curl|wget|nc|ncat)(?![\w-])")
# Three dots after a word are an ellipsis ("memory.../disk"); three on their own, or four, are meant for a lax filter.
_TRAVERSAL = re.compile(r"(?<!\w\.)\.\.(?:[/\\]|%2f|%5c)|%2e%2e|(?:^|[/\\])\.\.$")
_SLASHES = str.maketrans("\u2044\u2215\u29f8\u2216\u29f5\u29f9", "///" + 3 * "\\")  # what passes for one to a reader
_WIDE_ESCAPE = re.compile(r"%u([0-9a-f]{4})")
_ROUNDS = 2  # of percent-decoding; an attack needs two, and an honest text none
_HOST = re.compile(r"https?://[^/\\]+")
_SEPARATORS = re.compile(r"[/\\]+")
_REWORD = (
    "reword it, or use the security mode standard (template parameter SecurityMode, or "
    "security.validation.strict_mode: false in the configuration), which allows it in reason and metadata"
)
_DECODED = ", percent-encoded"
type Readings = dict[str, str]  # what a text may be read as, and how; the last one has everything decoded

MAX_MARKS = 30
"""Combining marks in a row (UAX #15, section 13): no language needs more, and sorting them takes quadratic time."""

# Three Tibetan vowel signs count as starters, but decompose into combining marks.
_DISGUISED_MARKS = "\u0f73\u0f75\u0f81"
_CONTROL_NAMES = {"\0": "NULL", "\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\x1b": "ESCAPE"}
_LONG_RUN = b"\x01" * (MAX_MARKS + 1)
# Default_Ignorable_Code_Point (Unicode 18): what a program may ignore, and a reader never sees.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


# A text without any other, without two dots and without a part of such a word, holds nothing that any rule refuses.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.,:='\"!?+*@#<>~^-"


class Place(NamedTuple):
    """A string of a document: where it is, and whether it is a key."""

    path: Path
    text: str
    is_key: bool


def findings(inspected: Iterable[Place], rules: Rules) -> Iterator[Finding]:
    """Find every security rule that strings of a document break, in document order; the others break none."""
    for path, text, is_key in inspected:
        holds = f"the key {shown(text)} holds" if is_key else f"{shown(text)} holds"
        is_prose = not is_key and path[:1] != () and path[0] in PROSE  # a value that people write for people
        for rule, found, remedy, threat in _content(text, is_prose=is_prose):
            yield Finding(path, rule, f"{holds} {found}", remedy, threat)
        if rules.mode is SecurityMode.STANDARD and is_prose:
            continue
        for rule, found in listed(text, rules):
            threat = ThreatLevel.LOW if is_prose and rule != "path_traversal" else ThreatLevel.HIGH
            yield Finding(path, rule, f"{holds} {found}", _REWORD if is_prose else "choose another name", threat)


def _content(text: str, *, is_prose: bool) -> Iterator[tuple[str, str, str, ThreatLevel]]:
    """Apply ``content_validation``, which holds for every string in every mode."""
    if "\0" in text:
        yield "block_null_bytes", "a null byte", "remove it", ThreatLevel.HIGH
    if controls := sorted(set(_CONTROL.findall(text))):
        yield "block_control_chars", _listing(controls), "write it on one line, with spaces", ThreatLevel.HIGH
    if hidden := hidden_characters(text, prose=is_prose):
        found = f"{_listing(hidden)}, which does not show or has no agreed meaning"
        is_new = is_prose and _compiled(_UNASSIGNED).fullmatch("".join(hidden))
        threat = ThreatLevel.LOW if is_new else ThreatLevel.HIGH
        yield "hidden_characters", found, "type the text anew without it", threat


def listed(text: str, rules: Rules) -> Iterator[tuple[str, str]]:
    """Apply ``path_traversal`` and ``command_injection`` to everything that a program may make of the text."""
    readings = _readings(text)
    if found := _traversal(readings):
        yield "path_traversal", found
    # Neither the host of a URL nor a scheme or a drive (``c:``) is a name of a path.
    paths = (_HOST.sub("", word) for word in list(readings)[-1].split() if "/" in word or "\\" in word)
    names = ([name for name in _SEPARATORS.split(path) if name and not name.endswith(":")] for path in paths)
    deepest = max(map(len, names), default=0)
    if deepest > rules.max_path_depth:
        yield "max_depth", f"a path of {deepest} names, more than {rules.max_path_depth}"
    if found := _first(_BLOCKED, readings):
        yield "blocked_characters", found
    if found := _first(_KEYWORD, readings):
        yield "blocked_keywords", f"the word {found}"


def _traversal(readings: Readings) -> str:
    for form, how in readings.items():
        if match := _TRAVERSAL.search(form.translate(_SLASHES)):
            return shown(match[0]) + how
    too_often = list(readings.values()).count(_DECODED) > _ROUNDS
    return f"text that is percent-encoded more than {_ROUNDS} times" if too_often else ""


def _first(pattern: re.Pattern[str], readings: Readings) -> str:
    for form, how in readings.items():
        if found := sorted(set(pattern.findall(form))):
            return " and ".join(map(shown, found)) + how
    return ""


def _readings(text: str) -> Readings:
    """Return the text in lower case, and what folding and each round of decoding make of it, one more than allowed."""
    readings = {text.lower(): ""}
    readings.setdefault(bare(text).lower(), ", once what does not show is ignored")
    form = _plain(text)
    readings.setdefault(form, ", once its characters are folded (NFKC)")
    for _ in range(_ROUNDS + 1):
        wide = _WIDE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), form)
        if (decoded := _plain(unquote(wide, errors="replace"))) == form:
            break
        form = decoded
        readings.setdefault(form, _DECODED)
    return readings


def _plain(text: str) -> str:
    """Fold a text that is flat enough for it; what was decoded may be anything."""
    text = bare(text)
    return (unicodedata.normalize("NFKC", text) if is_stackable(text) else text).lower()


def _listing(chars: list[str]) -> str:
    few = ", ".join(map(named, chars[:3]))
    return f"{few} and {len(chars) - 3} more" if len(chars) > 3 else few  # noqa: PLR2004 - three are enough to go by


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


def bare(text: str) -> str:
    """Take out what does not show: what a reader sees, and what a program that ignores the rest would read."""
    return _IGNORABLE.sub("", text)


def named(char: str) -> str:
    """Word a character: its code point and its name, such as ``U+200B ZERO WIDTH SPACE``."""
    name = unicodedata.name(char, _CONTROL_NAMES.get(char, ""))
    return f"U+{ord(char):04X} {name}".rstrip()


# Format, private-use and unassigned characters, separators of lines and paragraphs, and what programs may ignore. The
# marks over numbers that Arabic and Syriac write (U+0600) are of category Cf, too, but show.
_HIDDEN = (
    r"[[\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]--[\p{Prepended_Concatenation_Mark}]]"
)
# Unassigned by now: newer text may have a character there. Emoji of tomorrow are set aside already, and emoji today.
_UNASSIGNED = r"[\p{Cn}--[\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]]+"
# A letter or sign of a script whose letters take another form beside each other: Arabic, Mongolian, the Indic scripts.
_JOINING = r"[\p{jt=D}\p{jt=L}\p{jt=R}[[\p{L}\p{M}]--[\p{InSC=Other}]]]"
_RIGHT_TO_LEFT = r"[[\p{bc=R}\p{bc=AL}]&&\p{L}]"
_PICTOGRAPH = r"\p{Extended_Pictographic}"
_HONEST = rf"""
    # a joiner, and no second one, beside a letter that joins; no word of another script is parted by it
    (?: (?<= {_JOINING} \p{{Mn}}{{0,4}}) | (?<= [\p{{L}}\p{{N}}\p{{Pe}}\p{{Pf}}]) (?= [\u200c\u200d] {_JOINING}) )
    [\u200c\u200d] (?! [\u200c\u200d])
    # a directional mark, and no second one, whose nearest letter is written from right to left
  | (?<! [\u200e\u200f\u061c]) [\u200e\u200f\u061c] (?! [\u200e\u200f\u061c])
    (?: (?<= {_RIGHT_TO_LEFT} \P{{L}}{{1,16}}) | (?= \P{{L}}{{0,16}} {_RIGHT_TO_LEFT}) )
    # the text or the emoji form of a sign, and the keys of a telephone
  | (?<= [[\p{{Emoji}}\p{{So}}]--[0-9\#*]]) [\ufe0e\ufe0f]
  | (?<= [0-9\#*]) \ufe0f (?= \u20e3)
    # several emoji as one, such as an astronaut or a rainbow flag
  | (?<= {_PICTOGRAPH} [\ufe0f\p{{Emoji_Modifier}}]{{0,2}}) \u200d (?= {_PICTOGRAPH})
    # the flags of England, Scotland and Wales
  | (?<= \U0001f3f4) \U000e0067\U000e0062 (?: \U000e0065\U000e006e\U000e0067 | \U000e0073\U000e0063\U000e0074
      | \U000e0077\U000e006c\U000e0073 ) \U000e007f
    # one form of an ideograph, or of a Mongolian letter
  | (?<= \p{{Unified_Ideograph}}) [\ufe00-\ufe02\U000e0100-\U000e01ef]
  | (?<= \p{{Script=Mongolian}}) [\u180b-\u180f] (?! [\u180b-\u180f])
    # the emoji of tomorrow
  | [{_PICTOGRAPH}&&\p{{Cn}}]
"""


@cache
def _compiled(pattern: str) -> "regex.Pattern[str]":
    import regex  # noqa: PLC0415 - 3 % of a start, and most text has no such character

    return regex.compile(pattern, regex.V1 | regex.VERBOSE)


def hidden_characters(text: str, *, prose: bool) -> list[str]:
    """List the characters that do not show, reorder what is shown, or have no agreed meaning; each once.

    In ``prose`` those count that are where no honest text has them. Surrogates are the parser's.
    """
    # Nearly always, a glance is enough; Python's own data is older, and a braille blank counts as printable there.
    if text.isascii() or (text.isprintable() and "\u2800" not in text and not _IGNORABLE.search(text)):
        return []
    if prose:
        text = _compiled(_HONEST).sub("", text)
    return sorted(set(_compiled(_HIDDEN).findall(text)))
