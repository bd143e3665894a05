"""Schema: a JSON document → every rule of a JSON Schema (draft-07) that it breaks (specification, E003).

The rules are those of ``ajv``, not quite those of ``jsonschema``: there, ``$`` in a pattern matches before a trailing
line feed, and one error stands for all unknown fields.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Any

from jsonschema import Draft7Validator, SchemaError, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from conductor_loop.validation.parsing import BadNumber
from conductor_loop.validation.rules import Finding, Rules, ThreatLevel, shown

_DOLLAR = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", re.DOTALL)
_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_EXAMPLES = {
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "use lower-case letters, digits and hyphens, and a letter or digit at both ends",
    "^[a-zA-Z0-9\\-_]+$": "use letters, digits, hyphens and underscores",
    "^[0-9]+[smh]$": "write a number and a unit, such as 30s, 5m or 1h",
}
_WORDS = {  # of a keyword: what is wrong, and what to do
    None: ("{value} is not allowed here", "remove it"),
    "required": ("the field is missing", "add it"),
    "const": ("{value} is not {limit}", "write {limit}"),
    "minimum": ("{value} is less than {limit}", "write {limit} or more"),
    "maximum": ("{value} is more than {limit}", "write {limit} or less"),
    "minLength": ("{value} has fewer than {limit} characters", "lengthen it"),
    "maxLength": ("{value} has {length} characters, more than {limit}", "shorten it"),
    "minItems": ("{value} is fewer than {limit}", "name more"),
    "maxItems": ("{value} is more than {limit}", "name fewer"),
    "maxProperties": ("{value} is more than {limit}", "name fewer"),
    "uniqueItems": ("{value} has a value twice", "name each once"),
}

_TIMEOUT = re.compile(r"([0-9]+)([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
# What another schema may not allow: these keywords of the packaged one, for these fields, and the rule that each is.
_POLICY_KEYWORDS = {"pattern", "minLength", "maxLength", "enum", "minimum", "maximum"}
_FIELDS = {"target": "dns_1123", "namespace": "dns_1123", "replicas": "max_replicas", "priority": "priority"}


class BrokenSchema(ValueError):  # noqa: N818 - reads as what it is
    """The schema itself cannot be used; the message says why."""


def packaged_schema() -> Any:  # noqa: ANN401 - a JSON document
    """Read the published contract, ``intent.schema.json``."""
    return json.loads(resources.files("conductor_loop").joinpath("schemas", "intent.schema.json").read_text("utf-8"))


def findings(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - a document may be anything
    """Find every rule of the schema that the document breaks, in document order. Raises BrokenSchema."""
    for error in errors(document, compiled(rules.schema, rules.max_replicas)):
        problem, remedy = words(error, shown(error.instance))
        yield Finding(tuple(error.absolute_path), error.validator or "false", problem, remedy)


def errors(document: Any, validator: Any) -> Iterator[Any]:  # noqa: ANN401 - in their types, every attribute may be unset
    """Find what a document breaks, but for numbers that are reported already. Raises BrokenSchema."""
    try:
        yield from (error for error in validator.iter_errors(document) if not isinstance(error.instance, BadNumber))
    except Unresolvable as error:
        raise BrokenSchema(f"a $ref of the schema leads nowhere: {error}") from None
    except RecursionError:
        raise BrokenSchema("a $ref of the schema leads back to itself") from None


@lru_cache(maxsize=8)
def compiled(text: str | None, max_replicas: int) -> Any:  # noqa: ANN401 - jsonschema makes the class at run time
    """Compile ``text``, or the packaged schema with another maximum of replicas. Raises BrokenSchema."""
    try:
        schema = packaged_schema() if text is None else json.loads(text)
        if text is None:
            schema["properties"]["replicas"]["maximum"] = max_replicas
        else:
            Draft7Validator.check_schema(schema, format_checker=Draft7Validator.FORMAT_CHECKER)  # patterns, too
    except SchemaError as error:
        raise BrokenSchema(f"{error.json_path}: {error.message}") from None
    except (ValueError, RecursionError) as error:
        raise BrokenSchema(f"it is no JSON document: {error}") from None
    return DIALECT(schema, registry=Registry())  # an empty registry: a $ref never opens a connection


def _pattern(_: object, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not ecma_pattern(pattern).search(instance):
        yield ValidationError("")


def _required(_: object, names: list[str], instance: object, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (ValidationError("", path=[name]) for name in names if name not in instance)


def _extra(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:  # noqa: ANN401
    if allowed is not False or "patternProperties" in schema or not isinstance(instance, dict):
        yield from Draft7Validator.VALIDATORS["additionalProperties"](validator, allowed, instance, schema)
        return
    known = schema.get("properties", {})
    yield from (ValidationError("", path=[name]) for name in instance if name not in known)


_KEYWORDS = {"pattern": _pattern, "required": _required, "additionalProperties": _extra}
DIALECT: Any = validators.extend(Draft7Validator, _KEYWORDS)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=256)
def ecma_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern as ECMA-262 means it: ``$`` is the very end, digits and word characters are ASCII."""
    return re.compile(_DOLLAR.sub(lambda match: match[1] or r"\Z", pattern), re.ASCII)


def words(error: Any, value: str) -> tuple[str, str]:  # noqa: ANN401 - see above
    """Word an error of the dialect: what is wrong with ``value``, as it is shown, and what to do."""
    limit = error.validator_value
    match error.validator:
        case "additionalProperties" if limit is False:
            known = ", ".join(map(str, error.schema.get("properties", {}))) or "none"
            return "the field is unknown", f"remove it, or move it into metadata; known are {known}"
        case "type":
            quoted = ", without quotes" if isinstance(error.instance, str) else ""
            kinds = " or ".join(_KINDS[kind] for kind in ([limit] if isinstance(limit, str) else limit))
            return f"{value} is not {kinds}", f"write {kinds}{quoted}"
        case "enum":
            return f"{value} is not allowed", f"write one of {', '.join(map(shown, limit))}"
        case "pattern":
            return f"{value} does not match {limit}", _EXAMPLES.get(limit, "write it as the pattern says")
        case keyword:
            problem, remedy = _WORDS.get(keyword, (f"{{value}} does not satisfy {keyword} {{limit}}", "see the schema"))
    length = len(error.instance) if isinstance(error.instance, str) else 0
    given = {"value": value, "length": length, "limit": shown(limit)}
    return problem.format(**given), remedy.format(**given)


def policy_findings(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - see above
    """Find every business rule that the document breaks; a field of the wrong type is the schema's to report."""
    if not isinstance(document, dict):
        if rules.schema is not None:
            yield Finding((), "type", f"{shown(document)} is no intent", "write one JSON object")
        return
    namespace, patterns = document.get("namespace"), ("kube-*", *rules.system_namespaces)
    if isinstance(namespace, str) and any(fnmatchcase(namespace, pattern) for pattern in patterns):
        problem, remedy = f"{shown(namespace)} is a system namespace", "name the namespace of your own workload"
        yield Finding(("namespace",), "system_namespaces", problem, remedy, ThreatLevel.MEDIUM)
    yield from _timeout(document.get("timeout"), rules)
    for error in errors(document, compiled(None, rules.max_replicas)) if rules.schema is not None else ():
        field = error.absolute_path[0]  # the packaged schema, where it is used, says these itself
        if field in _FIELDS and error.validator in _POLICY_KEYWORDS:
            yield Finding((field,), _FIELDS[field], *words(error, shown(error.instance)))


def _timeout(timeout: object, rules: Rules) -> Iterator[Finding]:
    match = _TIMEOUT.fullmatch(timeout) if isinstance(timeout, str) else None
    if match and not 0 < float(match[1]) * _SECONDS[match[2]] <= rules.max_timeout_seconds:
        problem = f"{shown(timeout)} is not from 1 second to {rules.max_timeout_seconds:,} seconds"
        yield Finding(("timeout",), "timeout", problem, "write such as 30s, or leave it out")
