"""A JSON Schema (draft-07) → a check that says yes, quickly, where a document keeps it.

Importing jsonschema takes a third of a cold start, and nearly every document keeps its contract. Yes is certain:
jsonschema would find nothing. No only means that jsonschema has to be asked, which says what is wrong, if anything: a
keyword that is not known here, for one, makes every answer a no.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

type Check = Callable[[Any], bool]
type Maker = Callable[[Any, Mapping[str, Any]], Check]
"""Makes the check of a keyword from its value and the schema that it stands in."""

_SAYS_NOTHING = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
_TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list, "null": type(None)}
_SCALARS = (str, int, bool, type(None))


def keeps(schema: Any, more: Mapping[str, Maker] | None = None) -> Check:  # noqa: ANN401 - a schema may be true, too
    """Make the check of a schema.

    Args:
        schema: As JSON has it.
        more: Further keywords, or others for those known here.

    """
    if not isinstance(schema, dict):
        return _always if schema is True else _never
    makers = {**_KEYWORDS, **(more or {})}
    checks = [_made(makers, word, schema, more) for word in schema if word not in _SAYS_NOTHING]
    return lambda value: all(check(value) for check in checks)


def _made(makers: Mapping[str, Any], word: str, schema: Mapping[str, Any], more: Mapping[str, Maker] | None) -> Check:
    limit = schema[word]
    match word:
        case "properties":
            known = {name: keeps(part, more) for name, part in limit.items()}
            return lambda value: (
                type(value) is dict and all(check(value[name]) for name, check in known.items() if name in value)
            )
        case "additionalProperties":
            return _others(schema, keeps(limit, more))
        case "items" if isinstance(limit, dict):
            every = keeps(limit, more)
            return lambda value: type(value) is list and all(map(every, value))
        case "propertyNames":
            named = keeps(limit, more)
            return lambda value: type(value) is dict and all(map(named, value))
    made: Check = makers[word](limit, schema) if word in makers else _never
    return made


def _others(schema: Mapping[str, Any], check: Check) -> Check:
    """Check the fields that ``properties`` does not name."""
    known = schema.get("properties", {}).keys()
    return lambda value: type(value) is dict and all(check(part) for name, part in value.items() if name not in known)


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


def _type(limit: Any, _: object) -> Check:  # noqa: ANN401 - a name, or a list of them
    kind = _TYPES.get(limit) if isinstance(limit, str) else None
    return (lambda value: type(value) is kind) if kind else _never


def _one_of(limit: list[Any], _: object) -> Check:
    """Compare with the type, since True equals 1 in Python but not in JSON."""
    allowed = {(type(one), one) for one in limit if isinstance(one, _SCALARS)}
    return lambda value: type(value) in _SCALARS and (type(value), value) in allowed


def _pattern(limit: str, _: object) -> Check:
    search = re.compile(limit).search
    return lambda value: type(value) is str and search(value) is not None


_KEYWORDS: Mapping[str, Maker] = {
    "type": _type,
    "const": lambda limit, schema: _one_of([limit], schema),
    "enum": _one_of,
    "pattern": _pattern,
    "minimum": lambda limit, _: lambda value: type(value) is int and value >= limit,
    "maximum": lambda limit, _: lambda value: type(value) is int and value <= limit,
    "minLength": lambda limit, _: lambda value: type(value) is str and len(value) >= limit,
    "maxLength": lambda limit, _: lambda value: type(value) is str and len(value) <= limit,
    "minItems": lambda limit, _: lambda value: type(value) is list and len(value) >= limit,
    "maxItems": lambda limit, _: lambda value: type(value) is list and len(value) <= limit,
    "maxProperties": lambda limit, _: lambda value: type(value) is dict and len(value) <= limit,
    "required": lambda limit, _: lambda value: type(value) is dict and all(name in value for name in limit),
    "uniqueItems": lambda limit, _: lambda value: limit is True and _all_different(value),
}


def _all_different(value: Any) -> bool:  # noqa: ANN401 - any part of a document
    return type(value) is list and all(type(one) is str for one in value) and len(set(value)) == len(value)
