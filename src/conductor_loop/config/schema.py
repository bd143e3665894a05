"""The contract of a configuration: ``schemas/config.schema.json``, and what a document breaks of it."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft7Validator, ValidationError, validators

from conductor_loop.config import values
from conductor_loop.validation.schema import ecma_pattern

type Path = tuple[str, ...]
type Document = dict[str, Any]


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


@cache
def schema() -> Document:
    """Read the published schema."""
    text = files("conductor_loop").joinpath("schemas", "config.schema.json").read_text("utf-8")
    document: Document = json.loads(text)
    return document


@cache
def leaves() -> tuple[Leaf, ...]:
    """List every key that has a value, in the order of the schema."""
    return tuple(_leaves(schema(), ()))


def defaults() -> Document:
    """Give the document of all defaults."""
    document: Document = {}
    for leaf in leaves():
        put(document, leaf.path, leaf.schema["default"])
    return document


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


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that a document breaks."""

    path: tuple[str | int, ...]
    text: str  # its JSON path, the rule, and what to write instead


def mistakes(document: object) -> tuple[Mistake, ...]:
    """List everything that a document breaks."""
    found = sorted(_validator().iter_errors(document), key=lambda error: [str(at) for at in error.absolute_path])
    return tuple(mistake for error in found for mistake in _described(error))


def _leaves(node: Mapping[str, Any], path: Path) -> Iterator[Leaf]:
    for name, child in node["properties"].items():
        if "properties" in child:
            yield from _leaves(child, (*path, name))
        else:
            yield Leaf((*path, name), child)


def _bounded(read: Callable[[str], float]) -> Callable[..., Iterator[Any]]:
    def check(_: object, bounds: Mapping[str, str], value: object, __: object) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            return
        try:
            inside = read(bounds["minimum"]) <= read(value) <= read(bounds["maximum"])
        except ValueError as error:
            yield ValidationError(str(error))
            return
        if not inside:
            yield ValidationError(f"write one from {bounds['minimum']} to {bounds['maximum']}")

    return check


def _pattern(_: object, pattern: str, value: object, __: object) -> Iterator[ValidationError]:
    """Hold a text to a pattern as JSON Schema means it: Python's ``$`` takes a line feed at the end as well."""
    if isinstance(value, str) and not ecma_pattern(pattern).search(value):
        yield ValidationError(f"{pattern} is not met")


@cache
def _validator() -> Any:  # noqa: ANN401 - jsonschema makes the class at run time
    integer = Draft7Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)  # 1.0 is none
    keywords = {"duration": _bounded(values.seconds), "size": _bounded(values.size), "pattern": _pattern}
    dialect: Any = validators.extend(Draft7Validator, keywords, type_checker=integer)  # type: ignore[no-untyped-call]
    return dialect(schema())


_TYPES = {
    "boolean": "true or false, without quotes",
    "integer": "a whole number, without quotes",
    "string": "a text in quotes",
    "object": "an object in braces",
    "array": "a list in brackets",
}
_SAYS: Mapping[str, Callable[[Any], str]] = {
    "type": lambda error: f"write {_TYPES.get(error.validator_value, error.validator_value)}",
    "enum": lambda error: "write one of " + ", ".join(str(one) for one in error.validator_value),
    "minimum": lambda error: _range(error.schema),
    "maximum": lambda error: _range(error.schema),
    "duration": lambda error: error.message,
    "size": lambda error: error.message,
    "pattern": lambda error: f"write {error.schema.get('means') or f'something that matches {error.validator_value}'}",
    "minLength": lambda _: "write something",
    "maxLength": lambda error: f"write at most {error.validator_value} characters",
    "minItems": lambda _: "name at least one",
    "maxItems": lambda error: f"name at most {error.validator_value}",
    "maxProperties": lambda error: f"name at most {error.validator_value}",
    "uniqueItems": lambda _: "name each once",
    "required": lambda error: error.message,
}
_SHOWN = 60  # characters of a wrong value that a message repeats


def _described(error: Any) -> Iterator[Mistake]:  # noqa: ANN401 - in its types, every attribute may be unset
    at = tuple(error.absolute_path)
    path = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in at)
    if error.validator == "additionalProperties":
        for name in sorted(set(error.instance) - set(error.schema["properties"])):
            yield Mistake((*at, name), f"${path}.{name}: is not known; {_nearest(name, error.schema['properties'])}")
        return
    yield Mistake(at, f"${path}: {_shown(error)} does not fit; {_SAYS[error.validator](error)}")


def _shown(error: Any) -> str:  # noqa: ANN401 - see above
    """Repeat a wrong value, but for what may hold a secret: messages are logged."""
    if isinstance(error.instance, dict | list):
        return "an object" if isinstance(error.instance, dict) else "a list"
    if "secrets" in error.absolute_path or ("environment" in error.absolute_path and error.validator != "pattern"):
        return "what is there"
    shown = str(json.dumps(error.instance))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _range(node: Mapping[str, Any]) -> str:
    return f"write a whole number from {node['minimum']} to {node['maximum']}"


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
