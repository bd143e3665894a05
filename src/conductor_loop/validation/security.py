"""Security: the specification's list, on every string of a document, keys included, at any depth.

The list is a courtesy, not the wall: porch is started with an argument list and without a shell, and names that become
paths are held to strict patterns by the schema. The list catches what other programs might do with the text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from conductor_loop.validation.finding import Finding, Path, ThreatLevel, shown
from conductor_loop.validation.hidden import hidden_characters, is_unassigned
from conductor_loop.validation.parsing import measurable
from conductor_loop.validation.rules import Rules, SecurityMode
from conductor_loop.validation.text import bare, composed, folded, is_stackable, named

PROSE = frozenset({"reason", "metadata"})  # fields whose values reach no path and no argument list

_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_BLOCKED = re.compile(r"[;&|`$(){}\[\]]")
# A hyphen joins words here: no shell starts a program at it, and names such as nc-agent or log-format are honest.
# What is before a word is looked at behind it: a search for letters is five times as fast as one for their neighbours.
_KEYWORD = re.compile(
    r"(?:rm(?<![\w-]rm)|del(?<![\w-]del)|format(?<![\w-]format)|curl(?<![\w-]curl)|wget(?<![\w-]wget)"
    r"|nc(?<![\w-]nc)|ncat(?<![\w-]ncat))(?![\w-])"
)
# Three dots after a word are an ellipsis ("memory.../disk"); three on their own, or four, are meant for a lax filter.
_TRAVERSAL = re.compile(r"(?<!\w\.)\.\.(?:[/\\]|%2f|%5c)|%2e%2e|(?:^|[/\\])\.\.$")
_SLASHES = str.maketrans("\u2044\u2215\u29f8\u2216\u29f5\u29f9", "///" + 3 * "\\")  # what passes for one to a reader
_ESCAPES = re.compile(r"(?:%[0-9a-f]{2})++")
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


@dataclass(frozen=True, slots=True)
class Place:
    """A string of a document: where it is, and whether it is a key."""

    path: Path
    text: str
    is_key: bool = False

    @property
    def is_prose(self) -> bool:
        """Whether the string is a value that people write for people."""
        return not self.is_key and self.path[:1] != () and self.path[0] in PROSE

    @property
    def called(self) -> str:
        """The string for a message."""
        return f"the key {shown(self.text)}" if self.is_key else shown(self.text)


def findings(inspected: Iterable[tuple[Path, str, bool]], rules: Rules) -> Iterator[Finding]:
    """Find every security rule that strings of a document break, in document order; the others break none."""
    for path, text, is_key in inspected:
        if measurable(text, rules.max_field_length):
            place = Place(path, composed(text), is_key)
            yield from _content(place)
            if rules.mode is SecurityMode.STRICT or not place.is_prose:
                yield from _listed(place, rules)


def _content(place: Place) -> Iterator[Finding]:
    """Apply ``content_validation``, which holds for every string in every mode."""
    text = place.text
    if "\0" in text:
        problem = f"{place.called} holds a null byte"
        yield Finding(place.path, "block_null_bytes", problem, "remove it", ThreatLevel.HIGH)
    if controls := sorted(set(_CONTROL.findall(text))):
        problem = f"{place.called} holds {_listing(controls)}"
        yield Finding(place.path, "block_control_chars", problem, "write it on one line, with spaces", ThreatLevel.HIGH)
    if hidden := hidden_characters(text, prose=place.is_prose):
        problem = f"{place.called} holds {_listing(hidden)}, which does not show or has no agreed meaning"
        is_new = place.is_prose and all(map(is_unassigned, hidden))
        threat = ThreatLevel.LOW if is_new else ThreatLevel.HIGH
        yield Finding(place.path, "hidden_characters", problem, "type the text anew without it", threat)


def _listed(place: Place, rules: Rules) -> Iterator[Finding]:
    """Apply ``path_traversal`` and ``command_injection`` to everything that a program may make of the text."""
    readings = _readings(place.text)
    for rule, search in _SEARCHES.items():
        if found := search(readings, rules):
            yield Finding(place.path, rule, f"{place.called} holds {found}", _remedy(place), _threat(place, rule))


def _remedy(place: Place) -> str:
    if place.is_prose:
        return f"reword it, or use {_RELAXED}, which allows it in reason and metadata"
    return "choose another name"


def _threat(place: Place, rule: str) -> ThreatLevel:
    if rule == "path_traversal" or not place.is_prose:
        return ThreatLevel.HIGH
    return ThreatLevel.LOW


def _traversal(readings: Readings, _: Rules) -> str:
    for form, how in readings.items():
        has_dots = ".." in form or "%2e" in form
        if has_dots and (match := _TRAVERSAL.search(form.translate(_SLASHES))):
            return shown(form[slice(*match.span())]) + how
    too_often = list(readings.values()).count(_DECODED) > _ROUNDS
    return f"text that is percent-encoded more than {_ROUNDS} times" if too_often else ""


def _depth(readings: Readings, rules: Rules) -> str:
    last = list(readings)[-1]
    deepest = max((_names(word) for word in last.split() if "/" in word or "\\" in word), default=0)
    return f"a path of {deepest} names, more than {rules.max_path_depth}" if deepest > rules.max_path_depth else ""


def _characters(readings: Readings, _: Rules) -> str:
    return _first(_BLOCKED, readings)


def _keywords(readings: Readings, _: Rules) -> str:
    found = _first(_KEYWORD, readings)
    return found and f"the word {found}"


def _first(pattern: re.Pattern[str], readings: Readings) -> str:
    for form, how in readings.items():
        if found := sorted(set(pattern.findall(form))):
            return " and ".join(map(shown, found)) + how
    return ""


_SEARCHES: dict[str, Callable[[Readings, Rules], str]] = {
    "path_traversal": _traversal,
    "max_depth": _depth,
    "blocked_characters": _characters,
    "blocked_keywords": _keywords,
}


def _readings(text: str) -> Readings:
    """Put the text in lower case, and add what folding and each round of percent-decoding make of it.

    One round more than are allowed is made, to see whether there is one.
    """
    readings = {text.lower(): ""}
    readings.setdefault(bare(text).lower(), ", once what does not show is ignored")
    form = _plain(text)
    readings.setdefault(form, ", once its characters are folded (NFKC)")
    for _ in range(_ROUNDS + 1):
        if "%" not in form or (decoded := _plain(_decoded(form))) == form:
            break
        form = decoded
        readings.setdefault(form, _DECODED)
    return readings


def _plain(text: str) -> str:
    """Fold a text that is flat enough for it; what was decoded may be anything."""
    text = bare(text)
    return (folded(text) if is_stackable(text) else text).lower()


def _decoded(text: str) -> str:
    """Undo one round of percent-encoding."""
    text = _WIDE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return _ESCAPES.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(errors="replace"), text)


def _names(word: str) -> int:
    """Count the names of a path; neither the host of a URL nor a scheme or a drive (``c:``) is one."""
    return sum(1 for name in _SEPARATORS.split(_HOST.sub("", word)) if name and not name.endswith(":"))


def _listing(chars: list[str]) -> str:
    few = ", ".join(map(named, chars[:3]))
    return f"{few} and {len(chars) - 3} more" if len(chars) > 3 else few  # noqa: PLR2004 - three are enough to go by
