"""Where a configuration comes from: defaults ← template ← document ← environment, the last one that has a key wins."""

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from conductor_loop.config.schema import Document, Leaf, defaults, get, leaves, problems, put

PREFIX = "CONDUCTOR_"
MOST_BYTES = 8192  # of a document: what a parameter of SSM holds
_MOST_LEVELS = 10
WIRING = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "API_PRINCIPAL",  # pattern of the principal ids that the API has when it puts an intent
        "CONDUCTOR_FUNCTION",  # name of the function that answers events
        "CONFIG_MAX_AGE",  # how old the cached document may be
        "CONFIG_PARAMETER",  # name of the SSM parameter with the document
        "DEFAULTS",  # document of the template's own parameters
        "HANDOFF_BUCKET",
        "QUEUE_DEAD",  # URL of the queue of dead letters
        "QUEUE_HIGH",
        "QUEUE_LOW",
        "QUEUE_NORMAL",
        "STACK",
        "STATE_TABLE",
        "TOKENS_SECRET",  # name or ARN of the secret with the API's tokens
        "WORKERS",  # batches at once of the queues high, normal and low, and intents in a batch
    )
)
"""Variables that are no keys of a configuration: what a stack is made of."""


class InvalidConfig(Exception):  # noqa: N818 - reads as what it is
    """The configuration is unusable; ``problems`` has one line per mistake, all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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
    sources: Mapping[str, Source]


def effective(document: object, environment: Mapping[str, str]) -> Effective:
    """Put a configuration together.

    Args:
        document: A parsed JSON document.
        environment: ``CONDUCTOR_…`` variables; others are ignored.

    Raises:
        InvalidConfig: naming everything that is wrong, in the document and in the environment.

    """
    found = list(problems(document))
    template = _parsed(environment.get(f"{PREFIX}DEFAULTS", "") or "{}", found)
    overrides = _overrides(environment, found)
    members = {(Source.ENVIRONMENT, leaf.dotted) for leaf in leaves() if not environment.get(leaf.variable)}
    if found or not isinstance(document, dict):
        raise InvalidConfig(tuple(found))
    values, sources = defaults(), dict.fromkeys((leaf.dotted for leaf in leaves()), Source.DEFAULT)
    for source, layer in (
        (Source.TEMPLATE, template),
        (Source.DOCUMENT, document),
        (Source.ENVIRONMENT, overrides),
    ):
        for leaf in leaves():
            if (value := get(layer, leaf.path)) is not None:
                kept = get(values, leaf.path) if (source, leaf.dotted) in members else {}
                put(values, leaf.path, {**kept, **value} if kept else value)
                sources[leaf.dotted] = source
    _check_one_cluster(values, sources)
    return Effective(values, sources)


def consistent(document: object, environment: Mapping[str, str]) -> Effective:
    """Put a configuration together whose values go together, too.

    Raises:
        InvalidConfig: as above, or each value is good by itself and they contradict each other.

    """
    found = effective(document, environment)
    vault = found.values["secrets"]["vault"]
    if vault["enabled"] and not vault["address"]:
        raise InvalidConfig(("$.secrets.vault.address: is empty; write Vault's URL, or set enabled to false",))
    return found


def _check_one_cluster(values: Document, sources: Mapping[str, Source]) -> None:
    cluster = values["porch"]["cluster"]
    if cluster["kubeconfig_secret"] and cluster["eks_cluster"]:
        setters = " and ".join(sources[f"porch.cluster.{key}"] for key in ("kubeconfig_secret", "eks_cluster"))
        raise InvalidConfig((f"$.porch.cluster: kubeconfig_secret and eks_cluster are both set ({setters}); keep one",))


def parsed(text: str) -> object:
    """Parse a document.

    Raises:
        InvalidConfig: it is not JSON.

    """
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise InvalidConfig(
            (f"$: has more than {MOST_BYTES} bytes, which SSM does not take; leave out what is default",)
        )
    try:
        document = json.loads(text, object_pairs_hook=_once)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise InvalidConfig((f"$: is not JSON ({error}); write an object in braces",)) from None
    if _is_deeper(document, _MOST_LEVELS):
        raise InvalidConfig((f"$: is nested deeper than {_MOST_LEVELS} levels; no key needs that",))
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is given twice: which of the two is meant, nobody knows."""
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return given


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _parsed(text: str, found: list[str]) -> Document:
    try:
        document = parsed(text)
    except InvalidConfig as error:
        found += (f"{PREFIX}DEFAULTS: {problem}" for problem in error.problems)
        return {}
    found += (f"{PREFIX}DEFAULTS: {problem}" for problem in problems(document))
    return document if isinstance(document, dict) else {}


def _overrides(environment: Mapping[str, str], found: list[str]) -> Document:
    """Read every variable that overrides a key."""
    document: Document = {}
    left = {name: text for name, text in environment.items() if name.startswith(PREFIX) and text}
    for leaf in leaves():
        if leaf.variable in left:
            _take(document, leaf, left.pop(leaf.variable), found)
        if leaf.schema["type"] == "object":
            _take_members(document, leaf, left)
    for name in sorted(left.keys() - WIRING):
        close = difflib.get_close_matches(name, [leaf.variable for leaf in leaves()], n=1)
        found.append(f"{name}: is not known; " + (f"did you mean {close[0]}?" if close else "remove it"))
    found += (f"environment: {problem}" for problem in problems(document))
    return document


def _take(document: Document, leaf: Leaf, text: str, found: list[str]) -> None:
    try:
        put(document, leaf.path, _READERS[leaf.schema["type"]](text))
    except ValueError:
        found.append(f"{leaf.variable}: does not fit; write {_WRITES[leaf.schema['type']]}")


def _take_members(document: Document, leaf: Leaf, left: dict[str, str]) -> None:
    """Read the members of a free object, one variable each: ``CONDUCTOR_PORCH_ENVIRONMENT_TOKEN_URL``."""
    for name in [name for name in left if name.startswith(f"{leaf.variable}_")]:
        members = get(document, leaf.path) or {}
        put(document, leaf.path, members | {name.removeprefix(f"{leaf.variable}_"): left.pop(name)})


def _list(text: str) -> Any:  # noqa: ANN401 - any JSON value
    if text.startswith("["):
        return json.loads(text)
    return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


_READERS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "boolean": _flag,
    "array": _list,
    "object": json.loads,
}
_WRITES = {
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "values with commas between them, or a JSON list",
    "object": "a JSON object",
}
