"""The keys of a configuration (``schemas/config.schema.json``), what a document breaks, and where values come from.

Defaults ← template ← document ← environment: the last one that has a key wins.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft7Validator, ValidationError, validators

from conductor_loop.validation import parsing
from conductor_loop.validation.rules import Finding, Rules, shown, shown_path
from conductor_loop.validation.schema import DIALECT, words

type Path = tuple[str, ...]
type Document = dict[str, Any]
type Mistake = tuple[tuple[str | int, ...], str]  # where, and in words: where, the rule, and what to write instead

MOST_BYTES = 8192  # of a document: what a parameter of SSM holds
_LIMITS = Rules(max_field_length=MOST_BYTES, max_array_length=MOST_BYTES, max_nesting_depth=10)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,9})(B|KB|MB|GB)")
PREFIX = "CONDUCTOR_"
_WRITES = {
    "string": "UTF-8",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "values with commas between them, or a JSON list",
    "object": "a JSON object",
}


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
def schema() -> Any:  # noqa: ANN401 - a JSON document
    """Read the published schema."""
    return json.loads(files("conductor_loop").joinpath("schemas", "config.schema.json").read_text("utf-8"))


@cache
def leaves() -> tuple[Leaf, ...]:
    """List every key that has a value, in the order of the schema."""

    def below(node: Mapping[str, Any], path: Path) -> Iterator[Leaf]:
        for name, child in node["properties"].items():
            at = (*path, name)
            yield from below(child, at) if "properties" in child else [Leaf(at, child)]

    return tuple(below(schema(), ()))


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
        problem = f"$: has more than {MOST_BYTES} bytes, which SSM does not take; leave out what is default"
        raise InvalidConfig((problem,))
    document: object = None
    try:
        parsed = parsing.parse(body, _LIMITS)
        document, findings = parsed.document, parsed.findings
    except parsing.Unparsable as error:
        findings = [error.finding]
    if findings:
        raise InvalidConfig(tuple(map(_problem, findings)))
    return document


def _problem(finding: Finding) -> str:
    problem = f"is not JSON ({finding.problem})" if finding.rule == "json" else finding.problem
    remedy = "no key needs that" if finding.rule == "max_nesting_depth" else finding.remedy
    return f"{shown_path(finding.path)}: {problem}; {remedy}"


def mistakes(document: object, contract: Document | None = None) -> tuple[Mistake, ...]:
    """List everything that a document breaks of its contract: the published schema, if no other is given."""
    validator = _dialect()(contract or schema())
    found = sorted(validator.iter_errors(document), key=lambda error: [str(at) for at in error.absolute_path])
    paths = (tuple(error.absolute_path) for error in found)
    return tuple((path, f"{shown_path(path)}: {_says(error)}") for path, error in zip(paths, found, strict=True))


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
            known = error.schema["properties"]
            close = difflib.get_close_matches(error.path[-1].lower(), known, n=1, cutoff=0.5)
            return "is not known; " + (f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}")
        case "duration" | "size":
            return f"{_shown(error)} does not fit; {error.message}"
        case "pattern" if "means" in error.schema:
            return f"{_shown(error)} does not fit; write {error.schema['means']}"
    return "; ".join(words(error, _shown(error)))


def _shown(error: Any) -> str:  # noqa: ANN401 - see above
    """Repeat a wrong value, but for what may hold a secret: messages are logged."""
    is_name = "environment" not in error.absolute_path or error.validator == "pattern"
    return shown(error.instance) if is_name and "secrets" not in error.absolute_path else "what is there"


class Source(StrEnum):
    """Who set a value."""

    DEFAULT = "default"
    TEMPLATE = "template"
    DOCUMENT = "document"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Effective:
    """A whole configuration: a value for every key, and who set it, by dotted key."""

    values: Document
    sources: dict[str, Source]


def effective(document: object, environment: Mapping[str, str]) -> Effective:
    """Merge the layers of a configuration: a parsed document, and the ``CONDUCTOR_…`` variables of an environment.

    Raises InvalidConfig, naming everything that is wrong in them.
    """
    found, problems = merge(document, environment)
    if problems:
        raise InvalidConfig(problems)
    return found


def merge(document: object, environment: Mapping[str, str]) -> tuple[Effective, tuple[str, ...]]:
    """Merge what is good of all layers; also return everything that is wrong, contradictions as well."""
    found = Effective({}, {leaf.dotted: Source.DEFAULT for leaf in leaves()})
    for leaf in leaves():
        put(found.values, leaf.path, leaf.schema["default"])
    problems: list[str] = []
    try:
        template = parse(environment.get(f"{PREFIX}DEFAULTS") or "{}")
    except InvalidConfig as error:
        template = {}
        problems += (f"{PREFIX}DEFAULTS: {problem}" for problem in error.problems)
    broken = _add(found, Source.TEMPLATE, template, problems, f"{PREFIX}DEFAULTS: ")
    broken |= _add(found, Source.DOCUMENT, document, problems)
    overrides = _overrides(environment, found.values, problems)
    broken |= _add(found, Source.ENVIRONMENT, overrides, problems, "environment: ")
    problems += (text for keys, text in _contradictions(found) if not broken.intersection(keys))
    return found, tuple(problems)


def _add(found: Effective, source: Source, layer: object, problems: list[str], prefix: str = "") -> set[str]:
    """Add the good values of a layer, and what is wrong with the others to ``problems``; the keys of those."""
    wrong = mistakes(layer)
    problems += (f"{prefix}{text}" for _, text in wrong)
    broken = set()
    for leaf in leaves():
        pairs = (zip(path, leaf.path, strict=False) for path, _ in wrong)
        if any(all(one == other for one, other in pair) for pair in pairs):  # a mistake in it, or in what it lies in
            broken.add(leaf.dotted)
        elif (value := get(layer, leaf.path)) is not None:
            put(found.values, leaf.path, value)
            found.sources[leaf.dotted] = source
    return broken


def _contradictions(found: Effective) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find values that are good by themselves and do not go together: their keys, and what to write instead."""
    yield from _undeliverable(found)
    if found.values["secrets"]["vault"]["enabled"] and not found.values["secrets"]["vault"]["address"]:
        keys = ("secrets.vault.enabled", "secrets.vault.address")
        yield keys, "$.secrets.vault.address: is empty; write Vault's URL, or set enabled to false"
    subjects = [one["subject"] for one in found.values["api"]["client_certificates"]]
    if len(set(subjects)) < len(subjects):
        problem = "$.api.client_certificates: a subject is named twice; name it once, with all its scopes"
        yield ("api.client_certificates",), problem


def _undeliverable(found: Effective) -> Iterator[tuple[tuple[str, ...], str]]:
    cluster = found.values["porch"]["cluster"]
    key, repository, *ways = (
        f"porch.cluster.{name}" for name in ("delivery", "repository", "kubeconfig_secret", "eks_cluster")
    )
    delivery, has_cluster = cluster["delivery"], bool(cluster["kubeconfig_secret"] or cluster["eks_cluster"])
    if cluster["kubeconfig_secret"] and cluster["eks_cluster"]:
        setters = " and ".join(found.sources[way] for way in ways)
        yield tuple(ways), f"$.porch.cluster: kubeconfig_secret and eks_cluster are both set ({setters}); keep one"
    if delivery != "package" and not has_cluster:
        text = f"{delivery} needs a cluster, and none is named; write kubeconfig_secret or eks_cluster, or package here"
        yield (key, *ways), f"$.{key}: {text}"
    if delivery == "repository" and not cluster["repository"]:
        yield (key, repository), f"$.{key}: repository needs to know which one; write {repository}"
    is_chosen = found.sources[key] in {Source.DOCUMENT, Source.ENVIRONMENT}
    if delivery == "package" and not is_chosen and (has_cluster or cluster["repository"]):
        text = "a cluster or repository is named, and nothing says what for; write check, scale, repository or package"
        yield (key, *ways, repository), f"$.{key}: {text}"


def _overrides(environment: Mapping[str, str], values: Document, problems: list[str]) -> Document:
    """Read every variable that overrides a key, and look at the others.

    A member of a free object has a variable of its own, ``CONDUCTOR_PORCH_ENVIRONMENT_TOKEN_URL``, and stands beside
    those of ``values``.
    """
    document: Document = {}
    left = {name: text for name, text in environment.items() if name.startswith(PREFIX) and text}
    for leaf in leaves():
        kind, text = leaf.schema["type"], left.pop(leaf.variable, None)
        try:
            if text is not None:
                put(document, leaf.path, _read(kind, text))
        except (ValueError, InvalidConfig):
            problems.append(f"{leaf.variable}: does not fit; write {_WRITES[kind]}")
        members = [name for name in left if kind == "object" and name.startswith(f"{leaf.variable}_")]
        if members:
            own = {name.removeprefix(f"{leaf.variable}_"): left.pop(name) for name in members}
            put(document, leaf.path, {**(get(document, leaf.path) or get(values, leaf.path)), **own})
    for name in sorted(left.keys() - schema()["variables"].keys()):
        close = difflib.get_close_matches(name, [leaf.variable for leaf in leaves()], n=1)
        problems.append(f"{name}: is not known; " + (f"did you mean {close[0]}?" if close else "remove it"))
    problems += (text.removeprefix("$.") for _, text in mistakes(left, {"properties": schema()["variables"]}))
    return document


def _read(kind: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read the text of a variable; its type is for the schema to check. Raises ValueError or InvalidConfig."""
    text.encode()  # what is no UTF-8 in a process's environment is half a surrogate pair here
    if kind == "string":
        return text
    if kind == "array" and not text.lstrip().startswith("["):
        return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    return parse(text.lower() if kind == "boolean" else text)
