"""Security: the specification's list, on every string of a document, keys included, at any depth.

The list is a courtesy, not the wall: porch is started with an argument list and without a shell, and names that become
paths are held to strict patterns by the schema. The list catches what other programs might do with the text.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from conductor_loop.validation.parsing import Place
from conductor_loop.validation.report import Finding, ThreatLevel, shown
from conductor_loop.validation.rules import Rules, SecurityMode
from conductor_loop.validation.text import bare, hidden_characters, is_stackable, is_unassigned, named

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
_RELAXED = (
    "the security mode standard (template parameter SecurityMode, or security.validation.strict_mode: false in the "
    "configuration)"
)
_DECODED = ", percent-encoded"

type Readings = dict[str, str]
"""What a text may be read as, each with how; the last one is what is left when everything is decoded."""


def findings(inspected: Iterable[Place], rules: Rules) -> Iterator[Finding]:
    """Find every security rule that strings of a document break, in document order; the others break none."""
    for place in inspected:
        yield from _content(place)
        if rules.mode is SecurityMode.STRICT or not _is_prose(place):
            yield from _listed(place, rules)


def _is_prose(place: Place) -> bool:
    """Whether a string is a value that people write for people."""
    return not place.is_key and place.path[:1] != () and place.path[0] in PROSE


def _called(place: Place) -> str:
    return f"the key {shown(place.text)}" if place.is_key else shown(place.text)


def _content(place: Place) -> Iterator[Finding]:
    """Apply ``content_validation``, which holds for every string in every mode."""
    text = place.text
    if "\0" in text:
        problem = f"{_called(place)} holds a null byte"
        yield Finding(place.path, "block_null_bytes", problem, "remove it", ThreatLevel.HIGH)
    if controls := sorted(set(_CONTROL.findall(text))):
        problem = f"{_called(place)} holds {_listing(controls)}"
        yield Finding(place.path, "block_control_chars", problem, "write it on one line, with spaces", ThreatLevel.HIGH)
    if hidden := hidden_characters(text, prose=_is_prose(place)):
        problem = f"{_called(place)} holds {_listing(hidden)}, which does not show or has no agreed meaning"
        is_new = _is_prose(place) and all(map(is_unassigned, hidden))
        threat = ThreatLevel.LOW if is_new else ThreatLevel.HIGH
        yield Finding(place.path, "hidden_characters", problem, "type the text anew without it", threat)


def _listed(place: Place, rules: Rules) -> Iterator[Finding]:
    """Apply ``path_traversal`` and ``command_injection`` to everything that a program may make of the text."""
    remedy = "choose another name"
    if _is_prose(place):
        remedy = f"reword it, or use {_RELAXED}, which allows it in reason and metadata"
    for rule, found in listed(place.text, rules):
        is_high = rule == "path_traversal" or not _is_prose(place)
        threat = ThreatLevel.HIGH if is_high else ThreatLevel.LOW
        yield Finding(place.path, rule, f"{_called(place)} holds {found}", remedy, threat)


def listed(text: str, rules: Rules) -> Iterator[tuple[str, str]]:
    """Search a text for the list: each rule that it breaks, and by what."""
    readings = _readings(text)
    if found := _traversal(readings):
        yield "path_traversal", found
    words = list(readings)[-1].split()
    deepest = max((_names(word) for word in words if "/" in word or "\\" in word), default=0)
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
    """Put the text in lower case, and add what folding and each round of percent-decoding make of it.

    One round more than are allowed is made, to see whether there is one.
    """
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


def _names(word: str) -> int:
    """Count the names of a path; neither the host of a URL nor a scheme or a drive (``c:``) is one."""
    return sum(1 for name in _SEPARATORS.split(_HOST.sub("", word)) if name and not name.endswith(":"))


def _listing(chars: list[str]) -> str:
    few = ", ".join(map(named, chars[:3]))
    return f"{few} and {len(chars) - 3} more" if len(chars) > 3 else few  # noqa: PLR2004 - three are enough to go by
