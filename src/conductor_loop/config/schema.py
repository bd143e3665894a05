"""The contract of a configuration: ``schemas/config.schema.json``, and what a document breaks of it."""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft7Validator, ValidationError, validators

from conductor_loop.validation import parsing
from conductor_loop.validation.report import Finding, shown, shown_path
from conductor_loop.validation.rules import Rules
from conductor_loop.validation.schema import DIALECT, words

type Path = tuple[str, ...]
type Document = dict[str, Any]

MOST_BYTES = 8192  # of a document: what a parameter of SSM holds
_LIMITS = Rules(max_field_length=MOST_BYTES, max_array_length=MOST_BYTES, max_nesting_depth=10)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,9})(B|KB|MB|GB)")


class InvalidConfig(Exception):  # noqa: N818 - reads as what it is
    """The configuration is unusable; ``problems`` has one line per mistake, all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One key of a configuration that has a value of its own."""

    path: Path
    schema: Mapping[str, Any]

    @property
    def dotted(self) -> str:
        """The key as people write it, e.g. ``processing.retry_delay``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it (specification, "Environment Variable Override")."""
        return f"CONDUCTOR_{'_'.join(self.path).upper()}"

    @property
    def governed_by(self) -> str | None:
        """What decides instead, where the key has no effect on Lambda."""
        return self.schema.get("governedBy")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that a document breaks."""

    path: tuple[str | int, ...]
    text: str  # its JSON path, the rule, and what to write instead


def seconds(text: str) -> float:
    """Read a duration, e.g. ``500ms``, ``30s``, ``1.5m``, ``168h``. Raises ValueError, with what to write."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("write a duration such as 500ms, 30s, 5m, 168h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Read a number of bytes, e.g. ``64KB``, ``10MB``, in powers of 1024. Raises ValueError, with what to write."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("write a size such as 64KB, 10MB or 1GB")
    return int(match[1]) * _BYTES[match[2]]


@cache
def schema() -> Document:
    """Read the published schema."""
    document: Document = json.loads(
        files("conductor_loop").joinpath("schemas", "config.schema.json").read_text("utf-8")
    )
    return document


@cache
def leaves() -> tuple[Leaf, ...]:
    """List every key that has a value, in the order of the schema."""
    return tuple(_leaves(schema(), ()))


def _leaves(node: Mapping[str, Any], path: Path) -> Iterator[Leaf]:
    for name, child in node["properties"].items():
        if "properties" in child:
            yield from _leaves(child, (*path, name))
        else:
            yield Leaf((*path, name), child)


def put(document: Document, path: Path, value: object) -> None:
    """Set a value, and the objects on the way to it."""
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def get(document: object, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Get the value at a path; ``None`` where there is none."""
    found: Any = document
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def parse(text: str) -> object:
    """Parse a document as strictly as an intent. Raises InvalidConfig."""
    body = text.encode(errors="surrogateescape")
    if len(body) > MOST_BYTES:
        raise InvalidConfig(
            (f"$: has more than {MOST_BYTES} bytes, which SSM does not take; leave out what is default",)
        )
    try:
        parsed = parsing.parse(body, _LIMITS)
    except parsing.Unparsable as error:
        raise InvalidConfig((_problem(error.finding),)) from None
    if parsed.findings:
        raise InvalidConfig(tuple(map(_problem, parsed.findings)))
    return parsed.document


def _problem(finding: Finding) -> str:
    problem = f"is not JSON ({finding.problem})" if finding.rule == "json" else finding.problem
    remedy = "no key needs that" if finding.rule == "max_nesting_depth" else finding.remedy
    return f"{shown_path(finding.path)}: {problem}; {remedy}"


def mistakes(document: object, contract: Document | None = None) -> tuple[Mistake, ...]:
    """List everything that a document breaks of its contract: the published schema, if no other is given."""
    validator = _dialect()(contract or schema())
    found = sorted(validator.iter_errors(document), key=lambda error: [str(at) for at in error.absolute_path])
    return tuple(
        Mistake(tuple(error.absolute_path), f"{shown_path(tuple(error.absolute_path))}: {_says(error)}")
        for error in found
    )


@cache
def _dialect() -> Any:  # noqa: ANN401 - jsonschema makes the class at run time
    integer = Draft7Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)  # 1.0 is none
    keywords = {"duration": _bounded(seconds), "size": _bounded(size)}
    return validators.extend(DIALECT, keywords, type_checker=integer)  # type: ignore[no-untyped-call]


def _bounded(read: Callable[[str], float]) -> Callable[..., Iterator[ValidationError]]:
    def check(_: object, bounds: Mapping[str, str], value: object, __: object) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            return
        try:
            if not read(bounds["minimum"]) <= read(value) <= read(bounds["maximum"]):
                yield ValidationError(f"write one from {bounds['minimum']} to {bounds['maximum']}")
        except ValueError as error:
            yield ValidationError(str(error))

    return check


def _says(error: Any) -> str:  # noqa: ANN401 - in its types, every attribute may be unset
    match error.validator:
        case "additionalProperties":
            return f"is not known; {_nearest(error.path[-1], error.schema['properties'])}"
        case "duration" | "size":
            return f"{_shown(error)} does not fit; {error.message}"
        case "pattern" if "means" in error.schema:
            return f"{_shown(error)} does not fit; write {error.schema['means']}"
    return "; ".join(words(error, _shown(error)))


def _shown(error: Any) -> str:  # noqa: ANN401 - see above
    """Repeat a wrong value, but for what may hold a secret: messages are logged."""
    is_name = "environment" not in error.absolute_path or error.validator == "pattern"
    return shown(error.instance) if is_name and "secrets" not in error.absolute_path else "what is there"


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
