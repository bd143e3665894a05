"""What the API server's refusals mean: an HTTP status and a ``Status`` object in, an exit code and a sentence out.

The statuses are those of ``k8s.io/apimachinery``, ``pkg/api/errors/errors.go``.
"""

from collections.abc import Callable

from porch.cluster.documents import at, text
from porch.errors import FORBIDDEN, MISCONFIGURED, REFUSED, UNREACHABLE, PorchError

_MAX_SHOWN = 300  # characters of the server's own words
_UNAUTHORIZED, _DENIED, _NOT_FOUND, _TIMEOUT, _CONFLICT, _TOO_MANY = 401, 403, 404, 408, 409, 429
# A webhook and a ValidatingAdmissionPolicy: it is not the user who may not do it.
_POLICY = (" denied the request", " denied request")
_NEXT = {
    FORBIDDEN: "grant it to porch's user (docs/porch.md has the Role), or renew the credentials in the kubeconfig",
    UNREACHABLE: "try again later",
    MISCONFIGURED: "correct the server in the kubeconfig",
    REFUSED: "see what the cluster says",
}


class Refusal(PorchError):  # noqa: N818 - reads as what happened
    """An answer of the API server that is no success.

    ``missing`` is the kind of what was not found, such as "deployments"; "" when the refusal says nothing of that sort.
    """

    def __init__(self, request: str, status: int, document: object, shown: Callable[[str], str]) -> None:
        self.status = status
        self.reason = text(at(document, "reason"))
        self.missing = text(at(document, "details", "kind")) if self.reason == "NotFound" else ""
        self.message = text(at(document, "message"))  # as it came: to compare with, not to show
        self.words = shown(self.message)
        exit_code = _exit_code(status, self.message)
        said = self.words or "no Kubernetes Status came with it"
        super().__init__(exit_code, f"the cluster answers {request} with {status} ({said}): {_NEXT[exit_code]}")


def _exit_code(status: int, message: str) -> int:
    if status == _DENIED and any(words in message for words in _POLICY):
        return REFUSED
    if status in {_UNAUTHORIZED, _DENIED}:
        return FORBIDDEN
    if status in {_TIMEOUT, _CONFLICT, _TOO_MANY} or status >= 500:  # noqa: PLR2004 - the server's own faults
        return UNREACHABLE
    # Redirects too: none is followed, least of all with a token. 404 is for the caller, who knows what was looked for.
    return MISCONFIGURED if status < 400 or status == _NOT_FOUND else REFUSED  # noqa: PLR2004 - the client's faults


def readable(words: str, secrets: tuple[str, ...]) -> str:
    """Return the server's words as one bounded line of printable ASCII, without any of ``secrets``."""
    for secret in secrets:
        words = words.replace(secret, "[secret]")
    words = ascii(" ".join(words.split()))[1:-1]
    return words if len(words) <= _MAX_SHOWN else f"{words[:_MAX_SHOWN]}..."
