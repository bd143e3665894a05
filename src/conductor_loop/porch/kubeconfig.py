"""Kubeconfigs: porch's credentials for a cluster, and the secrets in them that must never be shown."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conductor_loop.errors import Cause, NoCredentials

# Of a user's entry, the fields that are secrets. All else, and so most of what a plugin is given, are plain words:
# names of clusters, regions and commands, which honest output and honest packages are full of.
_SECRETS = ("token", "password", "client-key-data")
_SECRETS_OF_PROVIDERS = ("id-token", "refresh-token", "access-token", "client-secret")
_SECRET_NAMES = ("token", "secret", "password", "key")  # in the name of a plugin's variable


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The file as porch gets it, and the texts in it that are masked in porch's output."""

    content: bytes = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


def read_kubeconfig(content: bytes, source: str) -> Kubeconfig:
    """Read a kubeconfig, YAML or JSON, for its secrets alone; ``source`` names it in messages.

    Raises:
        NoCredentials: it is no kubeconfig.

    """
    import yaml  # noqa: PLC0415 - 4 % of a start, for those who have such a secret

    remedy = "put the output of `kubectl config view --raw --minify --flatten` there"
    try:
        document = _loaded(content, yaml.safe_load)
        secrets = frozenset(_secrets(document))
    except (yaml.YAMLError, ValueError, RecursionError):  # whose words quote the file
        raise NoCredentials(Cause.NO_CREDENTIALS, f"{source} is not YAML: {remedy}") from None
    if not (isinstance(document, dict) and isinstance(document.get("users"), list) and document["users"]):
        raise NoCredentials(Cause.NO_CREDENTIALS, f"{source} is no kubeconfig with a user: {remedy}")
    return Kubeconfig(content, secrets)


def _loaded(content: bytes, load: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - any YAML
    try:
        return json.loads(content)  # with tabs, which YAML forbids, it is what kubectl reads all the same
    except ValueError:
        return load(content)


def with_token(server: str, authority: str, token: str, *secrets: str) -> Kubeconfig:
    """Make a kubeconfig.

    Args:
        server: URL of the API server.
        authority: Its certificate authority, PEM in base64.
        token: Bearer token.
        secrets: What besides must not be shown: parts of the token.

    """
    name = "cluster"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
    }
    return Kubeconfig(json.dumps(document).encode(), frozenset({token, *secrets}))


def _secrets(document: Any) -> Iterator[str]:  # noqa: ANN401 - any YAML
    if not isinstance(document, dict):
        return
    for user in _entries(document.get("users"), "user"):
        for text in _texts(list(_of_user(user))):
            yield text
            yield from _decoded(text)
    for cluster in _entries(document.get("clusters"), "cluster"):
        proxy = str(cluster.get("proxy-url") or "")
        if "@" in proxy:  # it holds a password
            yield from (proxy, proxy.rpartition("@")[0].rpartition("/")[2], proxy.rpartition("@")[0].rpartition(":")[2])


def _of_user(user: dict[str, Any]) -> Iterator[Any]:
    yield from (user.get(name) for name in _SECRETS)
    match user.get("auth-provider"):
        case {"config": dict(config)}:
            yield from (config.get(name) for name in _SECRETS_OF_PROVIDERS)
    match user.get("exec"):
        case {"env": list(variables)}:
            for variable in variables:
                if isinstance(variable, dict) and _is_secret(str(variable.get("name"))):
                    yield variable.get("value")


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)


def _entries(entries: Any, kind: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any YAML
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get(kind), dict):
            yield entry[kind]


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - any YAML
    match value:
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case str() | bytes() | int() | float():  # a token of digits is a number to YAML
            yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _decoded(text: str) -> Iterator[str]:
    """Give what ``client-key-data`` and its like hold: PEM in base64."""
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True).decode(errors="replace")
    except ValueError:
        return
    if "-----BEGIN" in decoded:  # perhaps behind a comment
        yield decoded
