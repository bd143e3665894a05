"""Kubeconfigs: porch's credentials for a cluster, the secrets in them, and what they are made of, cached."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from conductor_loop.errors import Cause, NoCredentials

KEPT_SECONDS = 300.0  # after which a rotated secret, or a replaced cluster, is noticed
_FRESH_SECONDS = 10.0  # a younger one was read since the failure that asks for another
# Fields, and a plugin's variables, that hold secrets. All else are plain words: names of
# clusters, regions and commands, which honest output and honest packages are full of; these two are paths.
_SECRET = re.compile("token|secret|password|key", re.IGNORECASE)
_PATHS = {"tokenFile", "client-key"}


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The file as porch gets it, and the texts in it that are masked in porch's output."""

    content: bytes = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


def read_kubeconfig(content: bytes, source: str) -> Kubeconfig:
    """Read a kubeconfig, YAML or JSON, for its secrets; ``source`` names it in messages. Raises `NoCredentials`."""
    import yaml  # noqa: PLC0415 - 4 % of a start, for those who have such a secret

    remedy = "put the output of `kubectl config view --raw --minify --flatten` there"
    try:
        try:
            document = json.loads(content)  # with tabs, which YAML forbids, it is what kubectl reads all the same
        except ValueError:
            document = yaml.safe_load(content)
        secrets = frozenset(_secrets(document))
    except (yaml.YAMLError, ValueError, RecursionError):  # whose words quote the file
        raise NoCredentials(Cause.NO_CREDENTIALS, f"{source} is not YAML: {remedy}") from None
    if not (isinstance(document, dict) and isinstance(document.get("users"), list) and document["users"]):
        raise NoCredentials(Cause.NO_CREDENTIALS, f"{source} is no kubeconfig with a user: {remedy}")
    return Kubeconfig(content, secrets)


def with_token(server: str, authority: str, token: str, *secrets: str) -> Kubeconfig:
    """Make a kubeconfig of a server's URL, authority (PEM in base64) and token; ``secrets`` are parts of the token."""
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


def _secrets(value: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - any YAML
    match value:
        case {"name": str(variable), "value": inner}:  # of a plugin
            yield from _secrets(inner, f"{name} {variable}")
        case dict():
            for key, inner in value.items():
                yield from _secrets(inner, f"{name} {key}" if key not in _PATHS else name)
        case list():
            for inner in value:
                yield from _secrets(inner, name)
        case str() if name.endswith("proxy-url") and "@" in value:  # it holds a password
            whole = value.rpartition("@")[0]
            yield from (value, whole.rpartition("/")[2], whole.rpartition(":")[2])
        case str() | bytes() | int() | float() if _SECRET.search(name):  # a token of digits is a number to YAML
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            yield from (text, *_decoded(text))


def _decoded(text: str) -> Iterator[str]:
    with suppress(ValueError):
        decoded = base64.b64decode("".join(text.split()), validate=True).decode(errors="replace")
        if "-----BEGIN" in decoded:  # a key in PEM, perhaps behind a comment
            yield decoded


class Credentials[T]:
    """Gives a kubeconfig to each run, with a short-lived token of its own; may be used by several threads at once.

    ``read`` uses the network, within bounds of its own; ``make`` makes a kubeconfig of what it returned, without. Both
    raise NoCredentials. ``clock`` goes on while an execution environment is frozen.
    """

    def __init__(
        self, read: Callable[[], T], make: Callable[[T], Kubeconfig], clock: Callable[[], float] = time.time
    ) -> None:
        self._read, self._make, self._clock = read, make, clock
        self._found: Future[T] | None = None  # shared by all runs
        self._began = 0.0
        self._lock = Lock()
        # A thread, since no timeout of a socket bounds a name server; the caller stops waiting in time.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="credentials")

    def kubeconfig(self, within_seconds: float) -> Kubeconfig:
        """Return a kubeconfig for a run that begins now. Raises `NoCredentials` if none came in time."""
        with self._lock:
            now, current = self._clock(), self._found
            if current is None or (current.done() and (now - self._began >= KEPT_SECONDS or current.exception())):
                current = self._found = self._pool.submit(self._read)
                self._began = now
        try:
            found = current.result(within_seconds)
        except TimeoutError:
            what = f"no credentials for the cluster came within {within_seconds:.0f} s"
            raise NoCredentials(Cause.NETWORK_ERROR, what) from None
        except NoCredentials as error:
            raise NoCredentials(error.cause, str(error)) from None  # one for each run: they share the read
        return self._make(found)

    def forget(self) -> None:
        """Read again for the next run, since the cluster refused these credentials."""
        with self._lock:
            if self._clock() - self._began > _FRESH_SECONDS:
                self._found = None
