"""Parsing: bytes → a JSON document, or the reason why they are none (specification, E001 and ``size_limits``).

What could exhaust time, memory or the stack is counted in the raw bytes, before a parser sees them.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from conductor_loop.validation.finding import Finding, Path, ThreatLevel, shown
from conductor_loop.validation.locating import path_of
from conductor_loop.validation.recognising import not_json, what_else
from conductor_loop.validation.rules import Rules
from conductor_loop.validation.text import MAX_MARKS, composed, is_plain, is_stackable

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRUCTURE = b"[{]},"
_STEPS = bytes.maketrans(_STRUCTURE, b"\x01\x01\xff\xff\x00")  # what each adds to the depth, as signed bytes
_NO_STRUCTURE = bytes(set(range(256)) - set(_STRUCTURE))
_LONGEST_ESCAPE = 12  # bytes for one code point: a surrogate pair as two \uXXXX escapes
_LEAST_COST = 32  # characters that a look at a short string costs as much as
_MAX_NUMBER_LENGTH = 128  # characters; a double needs at most 24
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**64 - 1  # what Go, and so Kubernetes, can hold


class Unparsable(Exception):  # noqa: N818 - reads as what happened: the bytes could not be parsed
    """The bytes are no JSON document that may be parsed; there is nothing further to check."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class BadNumber:
    """Stands in a document where a number cannot be taken as it is, so that its JSON path can be reported."""

    literal: str
    rule: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document whose strings, arrays and numbers are still to be measured.

    ``repeated`` holds, by the id of an object in the document, that object (which keeps the id its own) and its
    repeated keys. ``inspected`` are its strings for which a glance is not enough, as ``strings`` walks them.
    """

    document: Any
    inspected: list[tuple[Path, str, bool]] = field(default_factory=list)
    repeated: dict[int, tuple[dict[str, Any], list[str]]] = field(default_factory=dict)


def parse(body: bytes, rules: Rules) -> Parsed:
    """Parse RFC 8259 JSON in strict UTF-8.

    Raises Unparsable for what is none, or is nested too deeply, too rich in values or too costly to be looked at.
    """
    if other := what_else(body):
        raise Unparsable(other)
    _scan(body, rules)
    text = _decode(body)
    reader = _Reader(rules)
    try:
        document = reader.read(text)
    except json.JSONDecodeError as error:
        raise Unparsable(not_json(text, error)) from None
    return Parsed(document, _inspected(document, rules), reader.repeated)


def findings(parsed: Parsed, rules: Rules) -> Iterator[Finding]:
    """Find every format rule that a parsed document breaks, in document order."""
    return _Measure(parsed, rules).walk(parsed.document, ())


def oversize(size_bytes: int, rules: Rules) -> Iterator[Finding]:
    """Find that a file is too large, if it is (specification, ``max_file_size``, E002)."""
    if size_bytes > rules.max_file_bytes:
        yield Finding(
            (),
            "max_file_size",
            f"the file has more than {rules.max_file_bytes:,} bytes",
            "make it smaller: an intent needs no more than a few hundred bytes",
            ThreatLevel.MEDIUM,
        )


def measurable(text: str, limit: int) -> bool:
    """Whether a string is short and flat enough to be normalised and searched; otherwise it is refused for that."""
    return len(text) <= limit and is_stackable(text)


def strings(value: Any, path: Path) -> Iterator[tuple[Path, str, bool]]:  # noqa: ANN401 - any part of a document
    """Walk every string in a value: where it is, the string, and whether it is a key."""
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, dict):
        for key, part in value.items():
            yield (*path, key), key, True
            yield from strings(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from strings(part, (*path, index))


def _inspected(document: Any, rules: Rules) -> list[tuple[Path, str, bool]]:  # noqa: ANN401 - may be anything
    """Give the strings that security looks at. Raises Unparsable, at the first character too many."""
    left, found = rules.max_inspected_characters, []
    for path, text, is_key in strings(document, ()):
        if not is_plain(text):
            found.append((path, text, is_key))
            if (left := left - max(len(text), _LEAST_COST)) < 0:
                raise Unparsable(_too_costly(path, rules))
    return found


def _scan(body: bytes, rules: Rules) -> None:
    """Bound depth, values and string lengths in time linear in the size, before a parser recurses or allocates.

    Escaped quotes become plain bytes, from left to right, so that every remaining quote opens or closes a string. That
    holds up to the first grammatical error, and no parser reads further than that.
    """
    bare = body.replace(b"\\\\", b"xx").replace(b'\\"', b"xx")
    if bare.count(b'"') > 4 * rules.max_values:  # a value is at most two strings: its key and itself
        raise Unparsable(_too_many_values(rules))
    bound = rules.max_field_length * _LONGEST_ESCAPE
    outside = re.sub(rb'"[^"]{0,%d}+"' % bound, b"", bare)
    if b'"' in outside and re.search(rb'"[^"]{%d}' % bound, outside):
        raise Unparsable(_too_long(_path_of_too_long(body, bare, rules), rules))
    steps = outside.translate(_STEPS, _NO_STRUCTURE)
    for depth in accumulate(memoryview(steps[: 3 * rules.max_values]).cast("b")):
        if depth > rules.max_nesting_depth:
            raise Unparsable(_too_deep(rules))
        if depth < 0:  # a bracket closes what is not open: no parser reads further
            return
    if len(steps) - steps.count(b"\xff") >= rules.max_values:
        raise Unparsable(_too_many_values(rules))


def _path_of_too_long(body: bytes, bare: bytes, rules: Rules) -> Path:
    """Find the first string that does not end within its bound."""
    strings = re.finditer(rb'"[^"]{0,%d}+("?)' % (rules.max_field_length * _LONGEST_ESCAPE), bare)
    position = next((string.start() for string in strings if not string[1]), 0)
    return path_of(position, body, bare, rules.max_nesting_depth)


def _decode(body: bytes) -> str:
    remedy = "save the file as UTF-8 without a byte order mark"
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is 0x{body[error.start]:02x}: {error.reason}"
        raise Unparsable(Finding((), "require_utf8", problem, remedy)) from None


class _Reader:
    """Python's JSON parser, with its three liberties taken away: NaN, repeated keys and unbounded numbers."""

    def __init__(self, rules: Rules) -> None:
        self.repeated: dict[int, tuple[dict[str, Any], list[str]]] = {}
        self._longest = rules.max_field_length
        self._left = rules.max_inspected_characters

    def read(self, text: str) -> Any:  # noqa: ANN401 - a JSON document may be anything
        return json.loads(
            text,
            object_pairs_hook=self._object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=lambda literal: BadNumber(literal, "json"),
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Build an object with its keys in NFC: two keys that look the same are the same."""
        keys = [self._composed(key) for key, _ in pairs]
        fields = {key: value for key, (_, value) in zip(keys, pairs, strict=True)}
        if len(fields) < len(pairs):
            times = Counter(keys)
            self.repeated[id(fields)] = fields, [key for key, count in times.items() if count > 1]
        return fields

    def _composed(self, key: str) -> str:
        """Put a key into NFC, up to the characters that may be looked at: with more, the document is refused."""
        if key.isascii() or (left := self._left - len(key)) < 0:
            return key
        self._left = left
        return composed(key) if measurable(key, self._longest) else key


def _integer(literal: str) -> int | BadNumber:
    if len(literal) <= _MAX_NUMBER_LENGTH and _SMALLEST_INTEGER <= (number := int(literal)) <= _LARGEST_INTEGER:
        return number
    return BadNumber(literal, "number_range")


def _float(literal: str) -> float | BadNumber:
    if len(literal) <= _MAX_NUMBER_LENGTH and math.isfinite(number := float(literal)):
        return number
    return BadNumber(literal, "number_range")


@dataclass(frozen=True, slots=True)
class _Measure:
    """Walks a parsed document and measures it; the depth of recursion is bounded by ``max_nesting_depth``."""

    parsed: Parsed
    rules: Rules

    def walk(self, value: Any, path: Path) -> Iterator[Finding]:  # noqa: ANN401 - a value may be anything
        match value:
            case str():
                yield from self._string(value, path)
            case dict():
                yield from self._object(value, path)
            case list():
                yield from self._array(value, path)
            case BadNumber():
                yield _bad_number(value, path)

    def _object(self, fields: dict[str, Any], path: Path) -> Iterator[Finding]:
        for key in self.parsed.repeated.get(id(fields), (fields, []))[1]:
            yield _repeated(key, (*path, key))
        for key, value in fields.items():
            yield from self._string(key, (*path, key))
            yield from self.walk(value, (*path, key))

    def _array(self, elements: list[Any], path: Path) -> Iterator[Finding]:
        if len(elements) > self.rules.max_array_length:
            yield Finding(
                path,
                "max_array_length",
                f"the array has {len(elements):,} elements, more than {self.rules.max_array_length:,}",
                "shorten it, or split the intent",
                ThreatLevel.LOW,
            )
        for index, value in enumerate(elements):
            yield from self.walk(value, (*path, index))

    def _string(self, text: str, path: Path) -> Iterator[Finding]:
        if text.isascii() and len(text) <= self.rules.max_field_length:
            return
        if len(text) > self.rules.max_field_length:
            yield _too_long(path, self.rules)
        elif not is_stackable(text):
            yield _stacked(text, path)
        elif len(composed(text)) > self.rules.max_field_length:
            yield _too_long(path, self.rules)
        if surrogate := _SURROGATE.search(text):
            yield Finding(
                path,
                "require_utf8",
                f"{shown(surrogate[0])} is half of a surrogate pair, which no UTF-8 can hold",
                "write the character itself, or both halves",
                ThreatLevel.MEDIUM,
            )


def _bad_number(value: BadNumber, path: Path) -> Finding:
    literal = shown(value.literal)
    if value.rule == "json":
        return Finding(path, value.rule, f"{literal} is no JSON number", "write a finite number or leave it out")
    limit = "a whole number must fit into 64 bits, any other into a double of at most 128 characters"
    return Finding(
        path, value.rule, f"{literal} is out of range: {limit}", "write a number in that range", ThreatLevel.MEDIUM
    )


def _repeated(key: str, path: Path) -> Finding:
    problem = f"the key {shown(key)} occurs more than once in its object, and readers differ in which value they take"
    return Finding(path, "unique_keys", problem, "keep one of them", ThreatLevel.MEDIUM)


def _stacked(text: str, path: Path) -> Finding:
    problem = f"{shown(text)} has more than {MAX_MARKS} combining marks in a row"
    return Finding(path, "combining_marks", problem, "write the text without them", ThreatLevel.MEDIUM)


def _too_long(path: Path, rules: Rules) -> Finding:
    problem = f"a string is longer than {rules.max_field_length:,} characters"
    return Finding(path, "max_field_length", problem, "shorten it", ThreatLevel.LOW)


def _too_costly(path: Path, rules: Rules) -> Finding:
    problem = (
        f"up to here, strings with more than letters, digits and plain punctuation have more than "
        f"{rules.max_inspected_characters:,} characters together, which is more than is looked at"
    )
    remedy = "shorten or leave out what is not needed: an intent has some hundreds"
    return Finding(path, "max_inspected_characters", problem, remedy, ThreatLevel.MEDIUM)


def _too_many_values(rules: Rules) -> Finding:
    problem = f"the document has more than {rules.max_values:,} values"
    return Finding((), "max_values", problem, "an intent needs about ten", ThreatLevel.MEDIUM)


def _too_deep(rules: Rules) -> Finding:
    problem = f"objects and arrays are nested more than {rules.max_nesting_depth} levels deep"
    return Finding((), "max_nesting_depth", problem, "an intent needs two or three", ThreatLevel.MEDIUM)
