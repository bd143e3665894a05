"""Security: the specification's list, on every string of a document, keys included, at any depth.

The list is a courtesy, not the wall: porch is started with an argument list and without a shell, and names that become
paths are held to strict patterns by the schema. The list catches what other programs might do with the text.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from conductor_loop.validation.finding import Finding, Path, ThreatLevel, shown
from conductor_loop.validation.parsing import measurable
from conductor_loop.validation.rules import Rules, SecurityMode
from conductor_loop.validation.text import bare, folded, hidden_characters, named

PROSE = frozenset({"reason", "metadata"})  # fields whose values reach no path and no argument list

_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_BLOCKED = re.compile(r"[;&|`$(){}\[\]]")
# A hyphen joins words here: no shell starts a program at it, and names such as nc-agent or log-format are honest.
_KEYWORD = re.compile(r"(?<![\w-])(?:rm|del|format|curl|wget|nc|ncat)(?![\w-])", re.IGNORECASE)
_TRAVERSAL = re.compile(r"\.\.[/\\]|%2e%2e|\.\.%2f|\.\.%5c|(?:^|[/\\])\.\.$")
_ESCAPE = re.compile(r"%(?:u00)?([0-9a-f]{2})")
_OVERLONG = (("%c0%ae", "."), ("%c0%af", "/"), ("%c1%9c", "\\"))  # what lenient UTF-8 decoders make of them
_ROUNDS = 5  # of percent-decoding; an attack needs two, and an honest text none
_SEPARATORS = re.compile(r"[/\\]+")


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


def findings(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - a document may be anything
    """Find every security rule that the document's strings break, in document order."""
    for place in strings(document, ()):
        if measurable(place.text, rules.max_field_length):
            yield from _content(place)
            if rules.mode is SecurityMode.STRICT or not place.is_prose:
                yield from _listed(place, rules)


def strings(value: Any, path: Path) -> Iterator[Place]:  # noqa: ANN401 - any part of a document
    """Walk every string in a value, keys included."""
    if isinstance(value, str):
        yield Place(path, value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield Place((*path, key), key, is_key=True)
            yield from strings(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from strings(part, (*path, index))


def _content(place: Place) -> Iterator[Finding]:
    """Apply ``content_validation``, which holds for every string in every mode."""
    text = place.text
    if "\0" in text:
        problem = f"{place.called} holds a null byte"
        yield Finding(place.path, "block_null_bytes", problem, "remove it", ThreatLevel.HIGH)
    if controls := sorted(set(_CONTROL.findall(text))):
        problem = f"{place.called} holds {_listing(controls)}"
        yield Finding(place.path, "block_control_chars", problem, "write it on one line, with spaces", ThreatLevel.HIGH)
    if hidden := hidden_characters(text, emoji=place.is_prose):
        problem = f"{place.called} holds {_listing(hidden)}, which does not show or has no agreed meaning"
        yield Finding(place.path, "hidden_characters", problem, "type the text anew without it", ThreatLevel.HIGH)


def _listed(place: Place, rules: Rules) -> Iterator[Finding]:
    """Apply ``path_traversal`` and ``command_injection``, to the text and to its compatibility form."""
    forms = {place.text: ""}
    forms.setdefault(bare(place.text), ", once its variation selectors are ignored")
    forms.setdefault(folded(bare(place.text)), ", once its characters are folded (NFKC)")
    for rule, search in _SEARCHES.items():
        for form, how in forms.items():
            if found := search(form, rules):
                problem = f"{place.called} holds {found}{how}"
                yield Finding(place.path, rule, problem, _remedy(place), _threat(place, rule))
                break


def _remedy(place: Place) -> str:
    if place.is_prose:
        return "reword it, or use the security mode standard, which allows it in reason and metadata"
    return "choose another name"


def _threat(place: Place, rule: str) -> ThreatLevel:
    if rule == "path_traversal" or not place.is_prose:
        return ThreatLevel.HIGH
    return ThreatLevel.LOW


def _traversal(text: str, _: Rules) -> str:
    forms = _decoded(text)
    for form in forms:
        if match := _TRAVERSAL.search(form):
            return shown(match[0]) + ("" if match[0] in text.lower() else ", percent-encoded")
    return f"text that is percent-encoded {_ROUNDS} times or more" if len(forms) > _ROUNDS else ""


def _depth(text: str, rules: Rules) -> str:
    last = _decoded(text)[-1]
    deepest = max((_names(word) for word in last.split() if "/" in word or "\\" in word), default=0)
    return f"a path of {deepest} names, more than {rules.max_path_depth}" if deepest > rules.max_path_depth else ""


def _characters(text: str, _: Rules) -> str:
    return " and ".join(shown(char) for char in sorted(set(_BLOCKED.findall(text))))


def _keywords(text: str, _: Rules) -> str:
    found = sorted({word.lower() for word in _KEYWORD.findall(text)})
    return f"the word {' and '.join(shown(word) for word in found)}" if found else ""


_SEARCHES: dict[str, Callable[[str, Rules], str]] = {
    "path_traversal": _traversal,
    "max_depth": _depth,
    "blocked_characters": _characters,
    "blocked_keywords": _keywords,
}


@lru_cache(maxsize=2)  # two rules ask for the same text in turn
def _decoded(text: str) -> tuple[str, ...]:
    """Put the text in lower case, and add what each further round of percent-decoding makes of it."""
    forms = [text.lower()]
    while "%" in forms[-1] and len(forms) <= _ROUNDS:
        plain = forms[-1]
        for overlong, char in _OVERLONG:
            plain = plain.replace(overlong, char)
        plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)).lower(), plain)
        if plain == forms[-1]:
            break
        forms.append(plain)
    return tuple(forms)


def _names(word: str) -> int:
    """Count the names of a path; neither a scheme (``https:``) nor a drive (``c:``) is one."""
    return sum(1 for name in _SEPARATORS.split(word) if name and not name.endswith(":"))


def _listing(chars: list[str]) -> str:
    few = ", ".join(map(named, chars[:3]))
    return f"{few} and {len(chars) - 3} more" if len(chars) > 3 else few  # noqa: PLR2004 - three are enough to go by
