"""Where a configuration comes from: defaults ← template ← document ← environment, the last one that has a key wins."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from conductor_loop.config.schema import (
    Document,
    InvalidConfig,
    Leaf,
    Mistake,
    get,
    leaves,
    mistakes,
    parse,
    put,
    schema,
)

PREFIX = "CONDUCTOR_"
WIRING = schema()["variables"].keys()
"""Variables that are no keys of a configuration: what a stack is made of."""
_WRITES = {
    "string": "UTF-8",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "values with commas between them, or a JSON list",
    "object": "a JSON object",
}


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
    """Merge the layers of a configuration.

    Args:
        document: A parsed JSON document.
        environment: ``CONDUCTOR_…`` variables; others are ignored.

    Raises:
        InvalidConfig: naming everything that is wrong, in the document and in the environment.

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
    problems += (f"{prefix}{mistake.text}" for mistake in wrong)
    broken = {leaf.dotted for leaf in leaves() if any(_concerns(mistake, leaf) for mistake in wrong)}
    for leaf in leaves():
        if leaf.dotted not in broken and (value := get(layer, leaf.path)) is not None:
            put(found.values, leaf.path, value)
            found.sources[leaf.dotted] = source
    return broken


def _concerns(mistake: Mistake, leaf: Leaf) -> bool:
    """Whether a value is unknown because of a mistake: one in it, or in what it lies in."""
    return all(one == other for one, other in zip(mistake.path, leaf.path, strict=False))


def _contradictions(found: Effective) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find values that are good by themselves and do not go together: their keys, and what to write instead."""
    vault = found.values["secrets"]["vault"]
    yield from _undeliverable(found)
    if vault["enabled"] and not vault["address"]:
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
    for name in sorted(left.keys() - WIRING):
        close = difflib.get_close_matches(name, [leaf.variable for leaf in leaves()], n=1)
        problems.append(f"{name}: is not known; " + (f"did you mean {close[0]}?" if close else "remove it"))
    problems += (mistake.text.removeprefix("$.") for mistake in mistakes(left, {"properties": schema()["variables"]}))
    return document


def _read(kind: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read the text of a variable; its type is for the schema to check. Raises ValueError or InvalidConfig."""
    text.encode()  # what is no UTF-8 in a process's environment is half a surrogate pair here
    if kind == "string":
        return text
    if kind == "array" and not text.lstrip().startswith("["):
        return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    return parse(text.lower() if kind == "boolean" else text)
