"""Parsing: bytes → a JSON document, or the reason why they are none (specification, E001 and ``size_limits``)."""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

from conductor_loop.validation.rules import Finding, Path, Rules, ThreatLevel, shown
from conductor_loop.validation.security import MAX_MARKS, Place, bare, is_plain, is_stackable, named

_AS_UTF8 = "save the file as UTF-8 without a byte order mark"
_PACKED = "unpack it, and send the JSON text itself; the upload must not compress it"
_SIGNS: tuple[tuple[bytes, str, str], ...] = (  # of what is no JSON in UTF-8; the first that fits counts
    (rb"\x1f\x8b", "the file is gzip data", _PACKED),
    (rb"PK\x03\x04", "the file is a zip archive", _PACKED),
    (rb"\x28\xb5\x2f\xfd", "the file is Zstandard data", _PACKED),
    (rb"\xef\xbb\xbf", "the file starts with a byte order mark (U+FEFF)", _AS_UTF8),
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "the file is UTF-32, with a byte order mark", _AS_UTF8),
    (rb"\xff\xfe|\xfe\xff", "the file is UTF-16, with a byte order mark", _AS_UTF8),
    (rb"[^\0]\0\0\0|\0\0\0[^\0]", "the file is UTF-32, without a byte order mark", _AS_UTF8),
    (rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]", "the file is UTF-16, without a byte order mark", _AS_UTF8),
)
_JSON_IN_A_STRING = re.compile(rb'[ \t\r\n]*+"(?:[ \t]|\\[nrt])*+\{(?:[ \t]|\\[nrt])*+\\"')
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRUCTURE = b"[{]},"
_STEPS = bytes.maketrans(_STRUCTURE, b"\x01\x01\xff\xff\x00")  # what each adds to the depth, as signed bytes
_NO_STRUCTURE = bytes(set(range(256)) - set(_STRUCTURE))
_LEAST_COST = 32  # characters that a look at a short string costs as much as
_MAX_NUMBER_LENGTH = 128  # characters; a double needs at most 24
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**64 - 1  # what Go, and so Kubernetes, can hold


class Unparsable(Exception):  # noqa: N818 - reads as what happened: the bytes could not be parsed
    """The bytes are no JSON document that may be parsed; there is nothing further to check."""

    def __init__(
        self, rule: str, problem: str, remedy: str, threat: ThreatLevel = ThreatLevel.NONE, path: Path = ()
    ) -> None:
        super().__init__(problem)
        self.finding = Finding(path, rule, problem, remedy, threat)


@dataclass(frozen=True, slots=True)
class BadNumber:
    """Stands in a document where a number cannot be taken as it is, so that its JSON path can be reported."""

    literal: str
    rule: str = "number_range"


def parse(body: bytes, rules: Rules) -> "Parsed":
    """Parse RFC 8259 JSON in strict UTF-8, and measure it. Every string of the document is in NFC.

    Raises Unparsable for what is none, or is nested too deeply, too rich in values or too costly to be looked at.
    """
    _recognize(body)
    _scan(body, rules)
    parsed = Parsed(rules)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is 0x{body[error.start]:02x}: {error.reason}"
        raise Unparsable("require_utf8", problem, _AS_UTF8) from None
    parsed.document = parsed.build(_read(text), ())
    return parsed


def oversize(size_bytes: int, rules: Rules) -> Iterator[Finding]:
    """Find that a file is too large, if it is (specification, ``max_file_size``, E002)."""
    if size_bytes > rules.max_file_bytes:
        problem = f"the file has more than {rules.max_file_bytes:,} bytes"
        remedy = "make it smaller: an intent needs no more than a few hundred bytes"
        yield Finding((), "max_file_size", problem, remedy, ThreatLevel.MEDIUM)


def _recognize(body: bytes) -> None:
    """Name what a file is, if its first bytes are not those of a JSON object in UTF-8. Raises Unparsable."""
    for sign, problem, remedy in _SIGNS:
        if re.compile(sign, re.DOTALL).match(body):
            raise Unparsable("require_utf8", problem, remedy)
    if _JSON_IN_A_STRING.match(body):
        problem = "the document is a string that holds the text of a JSON object: it was written as JSON twice"
        raise Unparsable("json", problem, "send the object itself, without quotes around it and without backslashes")


def _scan(body: bytes, rules: Rules) -> None:
    """Bound depth and values in time linear in the size, before a parser recurses or allocates.

    Without escaped quotes, every quote opens or closes a string up to the first grammatical error, where parsers stop.
    """
    quoted = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    is_rich = quoted.count(b'"') > 4 * rules.max_values  # a value is at most two strings: its key and itself
    steps = b"" if is_rich else re.sub(rb'"[^"]*+"', b"", quoted).translate(_STEPS, _NO_STRUCTURE)
    if max(accumulate(memoryview(steps[: 3 * rules.max_values]).cast("b")), default=0) > rules.max_nesting_depth:
        problem = f"objects and arrays are nested more than {rules.max_nesting_depth} levels deep"
        raise Unparsable("max_nesting_depth", problem, "an intent needs two or three", ThreatLevel.MEDIUM)
    if is_rich or len(steps) - steps.count(b"\xff") >= rules.max_values:
        problem = f"the document has more than {rules.max_values:,} values"
        raise Unparsable("max_values", problem, "an intent needs about ten", ThreatLevel.MEDIUM)


def _read(text: str) -> Any:  # noqa: ANN401 - a JSON document may be anything
    """Read JSON with Python's parser, and take its liberties away: NaN, repeated keys and unbounded numbers."""
    constant = partial(BadNumber, rule="json")
    try:
        return json.loads(
            text, object_pairs_hook=tuple, parse_int=_number, parse_float=_number, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None


def _number(literal: str) -> float | BadNumber:
    """Read a number that Go can hold: a whole one in 64 bits, any other in a double."""
    is_whole = literal.lstrip("-").isdecimal()
    number = math.inf if len(literal) > _MAX_NUMBER_LENGTH else int(literal) if is_whole else float(literal)
    in_range = _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER if is_whole else math.isfinite(number)
    return number if in_range else BadNumber(literal)


def _not_json(text: str, error: json.JSONDecodeError) -> Unparsable:
    """Word an error of the grammar: where it is, and which character stands there if a reader would not see it."""
    if not text.strip():
        return Unparsable("json", "the file is empty", "write one JSON object (RFC 8259)")
    where = f"line {error.lineno}, column {error.colno}"
    char = text[error.pos : error.pos + 1]
    is_invisible = char.strip(" \t\r\n") and not (char.isprintable() and bare(char))
    if is_invisible or error.msg.startswith("Invalid control character"):
        problem = f"{where} holds {named(char)}, which does not show and has no place there ({error.msg})"
        return Unparsable("json", problem, "delete it: many editors can show invisible characters")
    what = f"{error.msg}, not {named(char)}" if char and not char.isascii() else error.msg
    return Unparsable("json", f"{where}: {what}", "write one JSON object (RFC 8259), and check it with a JSON linter")


@dataclass(slots=True)
class Parsed:
    """A document, every format rule that it breaks, in its order, and the strings that security looks at.

    A glance is enough for all other strings; those that are too long to be looked at are refused for that.
    """

    rules: Rules
    document: Any = None
    findings: list[Finding] = field(default_factory=list)
    inspected: list[Place] = field(default_factory=list)
    cost: int = 0  # of the strings in ``inspected``, in characters

    def build(self, value: Any, path: Path) -> Any:  # noqa: ANN401 - a value may be anything
        """Build a value of the document from what was read; the depth of recursion is bounded by ``_scan``."""
        match value:
            case str():
                return self._string(value, path)
            case tuple():
                return self._object(value, path)
            case list():
                if len(value) > (most := self.rules.max_array_length):
                    problem = f"the array has {len(value):,} elements, more than {most:,}"
                    self._find(path, "max_array_length", problem, "shorten it, or split the intent", ThreatLevel.LOW)
                return [self.build(inner, (*path, index)) for index, inner in enumerate(value)]
            case BadNumber(literal, "json"):
                problem, remedy = f"{shown(literal)} is no JSON number", "write a finite number or leave it out"
                self._find(path, "json", problem, remedy, ThreatLevel.NONE)
            case BadNumber(literal, rule):
                limit = "a whole number must fit into 64 bits, any other into a double of at most 128 characters"
                problem = f"{shown(literal)} is out of range: {limit}"
                self._find(path, rule, problem, "write a number in that range")
        return value

    def _object(self, pairs: tuple[tuple[str, Any], ...], path: Path) -> dict[str, Any]:
        """Build an object with its keys in NFC: two keys that look the same are the same."""
        fields: dict[str, Any] = {}
        times: Counter[str] = Counter()
        for key, value in pairs:
            name = self._string(key, (*path, key), is_key=True)
            times[name] += 1
            if times[name] == 2:  # noqa: PLR2004 - the first repetition stands for all
                problem = f"the key {shown(name)} occurs more than once in its object, and readers differ in which"
                self._find((*path, name), "unique_keys", f"{problem} value they take", "keep one of them")
            fields[name] = self.build(value, (*path, name))
        return fields

    def _string(self, text: str, path: Path, *, is_key: bool = False) -> str:
        """Put a string into NFC, or refuse it for what makes that costly."""
        if surrogate := None if text.isascii() else _SURROGATE.search(text):
            problem = f"{shown(surrogate[0])} is half of a surrogate pair, which no UTF-8 can hold"
            self._find(path, "require_utf8", problem, "write the character itself, or both halves")
        if len(text) > self.rules.max_field_length:
            self._find_too_long(path)
        elif not is_stackable(text):
            problem = f"{shown(text)} has more than {MAX_MARKS} combining marks in a row"
            self._find(path, "combining_marks", problem, "write the text without them")
        elif not is_plain(text):
            return self._inspect(text, path, is_key=is_key)
        return text

    def _inspect(self, text: str, path: Path, *, is_key: bool) -> str:
        """Put a string into NFC, for security to look at. Raises Unparsable, at the first character too many."""
        self.cost += max(len(text), _LEAST_COST)
        if self.cost > self.rules.max_inspected_characters:
            problem = (
                f"up to here, strings with more than letters, digits and plain punctuation have more than "
                f"{self.rules.max_inspected_characters:,} characters together, which is more than is looked at"
            )
            remedy = "shorten or leave out what is not needed: an intent has some hundreds"
            raise Unparsable("max_inspected_characters", problem, remedy, ThreatLevel.MEDIUM, path)
        text = unicodedata.normalize("NFC", text)
        if len(text) > self.rules.max_field_length:
            self._find_too_long(path)
        self.inspected.append(Place((*path[:-1], text) if is_key else path, text, is_key))
        return text

    def _find_too_long(self, path: Path) -> None:
        problem = f"a string is longer than {self.rules.max_field_length:,} characters"
        self._find(path, "max_field_length", problem, "shorten it", ThreatLevel.LOW)

    def _find(self, path: Path, rule: str, problem: str, remedy: str, threat: ThreatLevel = ThreatLevel.MEDIUM) -> None:
        self.findings.append(Finding(path, rule, problem, remedy, threat))
