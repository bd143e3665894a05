"""The Kubernetes API as porch uses it: objects read, listed, created, replaced and patched, as JSON.

What a refusal means follows ``k8s.io/apimachinery``, ``pkg/api/errors/errors.go``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from porch import __version__
from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.cluster.transport import Transport
from porch.errors import FORBIDDEN, MISCONFIGURED, REFUSED, UNREACHABLE, PorchError

_PAGE = 500  # objects in one answer
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"porch/{__version__}"}
_UNAUTHORIZED, _DENIED, _NOT_FOUND, _TIMEOUT, _CONFLICT, _TOO_MANY = 401, 403, 404, 408, 409, 429
# A webhook and a ValidatingAdmissionPolicy: it is not the user who may not do it.
_POLICY = (" denied the request", " denied request")
_NEXT = {
    FORBIDDEN: "grant it to porch's user (docs/porch.md has the Role), or renew the credentials in the kubeconfig",
    UNREACHABLE: "try again later",
    MISCONFIGURED: "correct the server in the kubeconfig",
    REFUSED: "see what the cluster says",
}


class Refusal(PorchError):  # noqa: N818 - the server's answer, which the caller may expect
    """An answer of the API server that is no success.

    ``missing`` is the kind of what was not found, such as "deployments", or ""; ``message`` is not fit to be shown.
    """

    def __init__(self, request: str, status: int, document: object, transport: Transport) -> None:
        self.status = status
        self.reason = text(at(document, "reason"))
        self.missing = text(at(document, "details", "kind")) if self.reason == "NotFound" else ""
        self.message = text(at(document, "message"))
        self.words = transport.shown(self.message)
        exit_code = _exit_code(status, self.message)
        words = self.words or "no Kubernetes Status came with it"
        super().__init__(exit_code, f"the cluster answers {request} with {status} ({words}): {_NEXT[exit_code]}")


def _exit_code(status: int, message: str) -> int:
    if status == _DENIED and any(words in message for words in _POLICY):
        return REFUSED
    if status in {_UNAUTHORIZED, _DENIED}:
        return FORBIDDEN
    if status in {_TIMEOUT, _CONFLICT, _TOO_MANY} or status >= 500:  # noqa: PLR2004 - the server's own faults
        return UNREACHABLE
    # Redirects too: none is followed, least of all with a token. 404 is for the caller, who knows what was looked for.
    return MISCONFIGURED if status < 400 or status == _NOT_FOUND else REFUSED  # noqa: PLR2004 - the client's faults


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one cluster. Every method raises `Refusal` for an answer that is no success, `PorchError` for none."""

    transport: Transport

    def get(self, path: str) -> Fields:
        """Return the object at ``path``."""
        return self._ask("GET", path)

    def items(self, path: str, **selectors: str) -> Iterator[Fields]:
        """Yield the objects of the list at ``path``, page by page."""
        pages = {"limit": str(_PAGE)} | selectors
        while True:
            answer = self._ask("GET", f"{path}?{urlencode(pages)}")
            yield from (each for each in sequence(answer.get("items")) if isinstance(each, dict))
            pages["continue"] = text(at(answer, "metadata", "continue"))
            if not pages["continue"]:
                return

    def create(self, path: str, content: Fields) -> Fields:
        """Create ``content`` in the list at ``path`` and return it as the server has it."""
        return self._ask("POST", path, content)

    def replace(self, path: str, content: Fields) -> Fields:
        """Replace the object at ``path``; its ``resourceVersion`` must be the server's."""
        return self._ask("PUT", path, content)

    def merge(self, path: str, content: Fields, **query: str) -> Fields:
        """Lay ``content`` over the object at ``path`` (RFC 7386)."""
        return self._ask("PATCH", f"{path}?{urlencode(query)}", content)

    def _ask(self, method: str, path: str, content: Fields | None = None) -> Fields:
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        body = None if content is None else json.dumps(content).encode()
        status, answer = self.transport.exchange(method, path, _HEADERS | {"Content-Type": content_type}, body)
        try:
            document = mapping(json.loads(answer))
        except (ValueError, RecursionError):
            document = {}
        if status not in range(200, 300):
            raise Refusal(f"{method} {path.partition('?')[0]}", status, document, self.transport)
        if not document:
            what = f"the cluster at {self.transport.host} answers with something other than a JSON object"
            raise PorchError(UNREACHABLE, f"{what}: try again later")
        return document
