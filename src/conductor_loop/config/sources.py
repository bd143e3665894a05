"""Where a configuration comes from: defaults ← template ← document ← environment, the last one that has a key wins."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from conductor_loop.config.schema import Document, Leaf, Mistake, defaults, get, leaves, mistakes, put
from conductor_loop.config.values import seconds

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
        "KMS_KEY",  # ARN of the site's own key
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
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_WORKERS = re.compile(r"[0-9]{1,6}( [0-9]{1,6}){3}")


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
    found, wrong = looked_at(document, environment)
    if wrong:
        raise InvalidConfig(wrong)
    return found


def looked_at(document: object, environment: Mapping[str, str]) -> tuple[Effective, tuple[str, ...]]:
    """Put a configuration together of what is good; and everything that is wrong, contradictions as well."""
    values, sources = defaults(), dict.fromkeys((leaf.dotted for leaf in leaves()), Source.DEFAULT)
    said: list[str] = []
    broken: set[str] = set()
    members = {(Source.ENVIRONMENT, leaf.dotted) for leaf in leaves() if not environment.get(leaf.variable)}
    for source, layer, wrong in _layers(document, environment, said):
        bad = {leaf.dotted for leaf in leaves() if any(_concerns(mistake, leaf) for mistake in wrong)}
        broken |= bad
        for leaf in leaves():
            if leaf.dotted not in bad and (value := get(layer, leaf.path)) is not None:
                kept = get(values, leaf.path) if (source, leaf.dotted) in members else {}
                put(values, leaf.path, {**kept, **value} if kept else value)
                sources[leaf.dotted] = source
    found = Effective(values, sources)
    said += (text for keys, text in _contradictions(found) if not broken.intersection(keys))
    return found, tuple(said)


def _layers(
    document: object, environment: Mapping[str, str], said: list[str]
) -> Iterator[tuple[Source, object, tuple[Mistake, ...]]]:
    """Give what each source says, and what is wrong with it, which is added to ``said``: the document's first."""
    in_document = mistakes(document)
    said += (mistake.text for mistake in in_document)
    template, in_template = _template(environment, said)
    overrides = _overrides(environment, said)
    in_environment = mistakes(overrides)
    said += (f"environment: {mistake.text}" for mistake in in_environment)
    yield Source.TEMPLATE, template, in_template
    yield Source.DOCUMENT, document, in_document
    yield Source.ENVIRONMENT, overrides, in_environment


def _concerns(mistake: Mistake, leaf: Leaf) -> bool:
    """Whether a value is unknown because of a mistake: one in it, or in what it lies in."""
    return all(one == other for one, other in zip(mistake.path, leaf.path, strict=False))


def _contradictions(found: Effective) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find values that are good by themselves and do not go together: their keys, and what to write instead."""
    cluster, vault = found.values["porch"]["cluster"], found.values["secrets"]["vault"]
    keys = ("porch.cluster.kubeconfig_secret", "porch.cluster.eks_cluster")
    if cluster["kubeconfig_secret"] and cluster["eks_cluster"]:
        setters = " and ".join(found.sources[key] for key in keys)
        yield keys, f"$.porch.cluster: kubeconfig_secret and eks_cluster are both set ({setters}); keep one"
    yield from _undeliverable(found)
    if vault["enabled"] and not vault["address"]:
        keys = ("secrets.vault.enabled", "secrets.vault.address")
        yield keys, "$.secrets.vault.address: is empty; write Vault's URL, or set enabled to false"
    subjects = [one["subject"] for one in found.values["api"]["client_certificates"]]
    if len(set(subjects)) < len(subjects):
        said = "$.api.client_certificates: a subject is named twice; name it once, with all its scopes"
        yield ("api.client_certificates",), said


def _undeliverable(found: Effective) -> Iterator[tuple[tuple[str, ...], str]]:
    cluster, key = found.values["porch"]["cluster"], "porch.cluster.delivery"
    ways = ("porch.cluster.kubeconfig_secret", "porch.cluster.eks_cluster")
    delivery, has_cluster = cluster["delivery"], bool(cluster["kubeconfig_secret"] or cluster["eks_cluster"])
    if delivery != "package" and not has_cluster:
        said = f"{delivery} needs a cluster, and none is named; write kubeconfig_secret or eks_cluster, or package here"
        yield (key, *ways), f"$.{key}: {said}"
    if delivery == "repository" and not cluster["repository"]:
        said = "repository needs to know which one; write porch.cluster.repository"
        yield (key, "porch.cluster.repository"), f"$.{key}: {said}"
    is_chosen = found.sources[key] in {Source.DOCUMENT, Source.ENVIRONMENT}
    if delivery == "package" and not is_chosen and (has_cluster or cluster["repository"]):
        said = "a cluster or repository is named, and nothing says what for; write check, scale, repository or package"
        yield (key, *ways, "porch.cluster.repository"), f"$.{key}: {said}"


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
        return _json(text)
    except _TooDeep:
        raise InvalidConfig((f"$: is nested deeper than {_MOST_LEVELS} levels; no key needs that",)) from None
    except ValueError as error:
        raise InvalidConfig((f"$: is not JSON ({error}); write an object in braces",)) from None


class _TooDeep(ValueError):  # noqa: N818 - reads as what it is
    """JSON that is nested deeper than any key needs."""


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON that no reader takes in two ways. Raises ValueError."""
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise _TooDeep(text) from None
    if _is_deeper(document, _MOST_LEVELS):
        raise _TooDeep(text)
    json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is given twice: which of the two is meant is unknown."""
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


def _template(environment: Mapping[str, str], said: list[str]) -> tuple[object, tuple[Mistake, ...]]:
    try:
        document = parsed(environment.get(f"{PREFIX}DEFAULTS", "") or "{}")
    except InvalidConfig as error:
        said += (f"{PREFIX}DEFAULTS: {problem}" for problem in error.problems)
        return {}, ()
    wrong = mistakes(document)
    said += (f"{PREFIX}DEFAULTS: {mistake.text}" for mistake in wrong)
    return document, wrong


def _overrides(environment: Mapping[str, str], found: list[str]) -> Document:
    """Read every variable that overrides a key, and look at the others."""
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
    found += _miswired(environment)
    return document


def _miswired(environment: Mapping[str, str]) -> Iterable[str]:
    """Look at the wiring that is more than a name."""
    if age := environment.get(f"{PREFIX}CONFIG_MAX_AGE"):
        try:
            seconds(age)
        except ValueError as error:
            yield f"{PREFIX}CONFIG_MAX_AGE: does not fit; {error}"
    if (workers := environment.get(f"{PREFIX}WORKERS")) and not _WORKERS.fullmatch(workers):
        yield f"{PREFIX}WORKERS: does not fit; write four whole numbers with a space between them, e.g. 2 4 2 10"


def _take(document: Document, leaf: Leaf, text: str, found: list[str]) -> None:
    try:
        text.encode()  # what is no UTF-8 in a process's environment is half a surrogate pair here
        put(document, leaf.path, _READERS[leaf.schema["type"]](text))
    except ValueError:
        found.append(f"{leaf.variable}: does not fit; write {_WRITES[leaf.schema['type']]}")


def _take_members(document: Document, leaf: Leaf, left: dict[str, str]) -> None:
    """Read the members of a free object, one variable each: ``CONDUCTOR_PORCH_ENVIRONMENT_TOKEN_URL``."""
    for name in [name for name in left if name.startswith(f"{leaf.variable}_")]:
        members = get(document, leaf.path) or {}
        put(document, leaf.path, members | {name.removeprefix(f"{leaf.variable}_"): left.pop(name)})


def _list(text: str) -> Any:  # noqa: ANN401 - any JSON value
    if text.lstrip().startswith("["):
        return _json(text)
    return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):  # `int` takes 1_0, other scripts' digits and spaces, too
        raise ValueError(text)
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


_READERS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "boolean": _flag,
    "array": _list,
    "object": _json,
}
_WRITES = {
    "string": "UTF-8",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "values with commas between them, or a JSON list",
    "object": "a JSON object",
}
