"""The Kubernetes API as porch uses it: objects read, listed, created, replaced and patched, as JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from porch import __version__
from porch.cluster.answers import Refusal
from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.cluster.kubeconfig import Cluster
from porch.cluster.transport import Transport, connect
from porch.errors import UNREACHABLE, PorchError

_PAGE = 500  # objects in one answer
_OK = range(200, 300)
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"porch/{__version__}"}


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one cluster. Every method raises `Refusal` for an answer that is no success, `PorchError` for none."""

    transport: Transport
    namespace: str  # of the kubeconfig's context

    def get(self, path: str) -> Fields:
        """Return the object at ``path``."""
        return self._ask("GET", path)

    def items(self, path: str, **selectors: str) -> Iterator[Fields]:
        """Yield the objects of the list at ``path``, page by page."""
        pages = {"limit": str(_PAGE)} | selectors
        while True:
            answer = self._ask("GET", f"{path}?{urlencode(pages)}")
            yield from (each for each in sequence(answer.get("items")) if isinstance(each, dict))
            following = text(at(answer, "metadata", "continue"))
            if not following:
                return
            pages["continue"] = following

    def create(self, path: str, content: Fields) -> Fields:
        """Create ``content`` in the list at ``path`` and return it as the server has it."""
        return self._ask("POST", path, content)

    def replace(self, path: str, content: Fields) -> Fields:
        """Replace the object at ``path``; its ``resourceVersion`` must be the server's."""
        return self._ask("PUT", path, content)

    def merge(self, path: str, content: Fields, **query: str) -> Fields:
        """Lay ``content`` over the object at ``path`` (RFC 7386)."""
        return self._ask("PATCH", f"{path}?{urlencode(query)}", content, "application/merge-patch+json")

    def _ask(
        self, method: str, path: str, content: Fields | None = None, content_type: str = "application/json"
    ) -> Fields:
        body = None if content is None else json.dumps(content).encode()
        status, answer = self.transport.exchange(method, path, _HEADERS | {"Content-Type": content_type}, body)
        document = _document(answer)
        if status not in _OK:
            raise Refusal(f"{method} {path.partition('?')[0]}", status, document, self.transport.shown)
        if document is None:
            what = f"the cluster at {self.transport.host} answers with something other than a JSON object"
            raise PorchError(UNREACHABLE, f"{what}: try again later")
        return document


def _document(answer: bytes) -> Fields | None:
    try:
        return mapping(json.loads(answer)) or None
    except (ValueError, RecursionError):
        return None


def client(cluster: Cluster) -> Client:
    """Return the client for ``cluster``; nothing is asked yet."""
    return Client(connect(cluster), cluster.namespace)
