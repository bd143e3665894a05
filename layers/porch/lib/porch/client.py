"""The Kubernetes API as porch uses it: one verified HTTPS connection, and objects read, listed and written, as JSON.

What a status means follows ``k8s.io/apimachinery``, ``pkg/api/errors/errors.go``.
"""

import json
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3 import exceptions as errors
from urllib3.util import Url, make_headers, parse_url

from porch import __version__
from porch.documents import Fields, at, mapping, sequence, text
from porch.errors import FORBIDDEN, MISCONFIGURED, REFUSED, TIMED_OUT, UNREACHABLE, PorchError
from porch.inputs import variable
from porch.kubeconfig import Cluster

_DEFAULT_SECONDS = 25  # without a deadline
_MARGIN_SECONDS = 0.5  # before the caller's deadline, to report how far it got
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_SHOWN = 300  # characters of the server's own words
_NO_TLS = ("EOF occurred", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE")  # OpenSSL's, for what is no handshake
_CAUSES = (  # the first that fits; NewConnectionError is a kind of ConnectTimeoutError, and means refused
    (errors.SSLError, "its certificate or TLS is not acceptable, check certificate-authority-data and tls-server-name"),
    (errors.ProxyError, "the proxy of the kubeconfig does not work, check proxy-url"),
    (errors.NameResolutionError, "its name is not known, check the server in the kubeconfig and the network's DNS"),
    (errors.NewConnectionError, "there is no connection to it, check the server in the kubeconfig, or try again later"),
    (errors.TimeoutError, "it does not answer in time, check the network's routes and security groups, or try later"),
    (Exception, "the connection broke, or nothing serves there, check the kubeconfig's server, or try again later"),
)
_PATIENCE = Timeout(connect=5, read=20)  # seconds; Porch answers a write only when its git server has it
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


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time. The clock is the wall's: a monotonic one may stand still while an environment is frozen."""

    at: float  # epoch seconds
    clock: Callable[[], float] = time.time

    @property
    def seconds_left(self) -> float:
        """Seconds until then; not positive once it is past."""
        return self.at - self.clock()

    def check(self) -> None:
        """Raise ``PorchError`` (124) once it is past: by then a newer intent may have the target."""
        if self.seconds_left <= 0:
            raise PorchError(TIMED_OUT, "the time of this run is over, nothing was changed: send the intent again")

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """End the block with ``PorchError`` (4) when it lasts longer."""
        # A timeout bounds one read, and a server that sends a byte now and then passes it for ever. A signal bounds all
        # but the resolver, which cannot be interrupted and has bounds of its own: 2 tries of 2 s.
        self.check()
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        limit = self.seconds_left

        def expire(*_: object) -> None:
            message = f"the cluster took more than {limit:.0f} s: try again later, or give the run more time"
            raise PorchError(UNREACHABLE, message)

        signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def load_deadline() -> Deadline:
    """Return the earlier one of ``PORCH_DEADLINE`` (epoch seconds) and ``PORCH_CLUSTER_SECONDS`` from now."""
    until = variable("PORCH_DEADLINE", r"[0-9]{1,12}(\.[0-9]{1,9})?", "epoch seconds")
    ends = [float(until) - _MARGIN_SECONDS] if until else []
    if not until or os.environ.get("PORCH_CLUSTER_SECONDS"):
        ends.append(time.time() + seconds("PORCH_CLUSTER_SECONDS", _DEFAULT_SECONDS))
    return Deadline(min(ends))


def seconds(name: str, default: int) -> int:
    """Return the seconds, 1 to those of a Lambda's longest run, that a variable asks for."""
    return int(variable(name, "0{0,2}[1-9]|0?[1-9][0-9]|[1-8][0-9][0-9]|900", "1 to 900") or default)


class StatusError(PorchError):
    """An answer of the API server that is no success.

    ``missing`` is the kind of what was not found, such as "deployments", or ""; ``message`` is not fit to be shown.
    """

    def __init__(self, request: str, status: int, document: object, client: "Client") -> None:
        self.status = status
        self.reason = text(at(document, "reason"))
        self.missing = text(at(document, "details", "kind")) if self.reason == "NotFound" else ""
        self.message = text(at(document, "message"))
        self.words = client.sanitize(self.message)
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
    """Asks one cluster. Every method raises `StatusError` for an answer that is no success, `PorchError` for none.

    ``secrets`` are the words that may stand in no message.
    """

    pool: HTTPConnectionPool
    prefix: str  # path of the server's URL, without the slash at its end
    host: str
    authorization: dict[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

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
        status, answer = self._exchange(method, path, _HEADERS | {"Content-Type": content_type}, body)
        try:
            document = mapping(json.loads(answer))
        except (ValueError, RecursionError):
            document = {}
        if status not in range(200, 300):
            raise StatusError(f"{method} {path.partition('?')[0]}", status, document, self)
        if not document:
            what = f"the cluster at {self.host} answers with something other than a JSON object"
            raise PorchError(UNREACHABLE, f"{what}: try again later")
        return document

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Return status and body; whatever keeps an answer from coming raises ``PorchError`` (4)."""
        try:
            response = self.pool.urlopen(
                method,
                self.prefix + path,
                body=body,
                headers=headers | self.authorization,
                retries=False,
                redirect=False,
                preload_content=False,
                assert_same_host=False,
            )
            with response:
                return response.status, self._content(response)
        except errors.HTTPError as error:
            raise self._unreachable(f"{_describe(error)} ({self.sanitize(str(error))})") from None

    def sanitize(self, words: str) -> str:
        """Return the server's words as one bounded line of printable ASCII, without any secret."""
        for secret in self.secrets:
            words = words.replace(secret, "[secret]")
        words = ascii(" ".join(words.split()))[1:-1]
        return words if len(words) <= _MAX_SHOWN else f"{words[:_MAX_SHOWN]}..."

    def _content(self, response: BaseHTTPResponse) -> bytes:
        # As it comes: porch accepts no compression, and a small answer must not unfold to a large one.
        content = response.read(MAX_ANSWER_BYTES + 1, decode_content=False)
        if len(content) > MAX_ANSWER_BYTES:
            raise self._unreachable(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
        if response.length_remaining:
            raise self._unreachable("its answer ended early")
        return content

    def _unreachable(self, why: str) -> PorchError:
        return PorchError(UNREACHABLE, f"the cluster at {self.host} cannot be used: {why}")


def connect(cluster: Cluster) -> Client:
    """Prepare the connection to ``cluster``; it is opened by the first request."""
    server = _url(cluster.server, "the cluster's server is no URL: make it https://HOST:PORT")
    if server.scheme != "https" or not server.host or server.auth or server.query or server.fragment:
        raise _invalid("the cluster's server must be https://HOST:PORT, perhaps with a path, and nothing else")
    pool = _manager(cluster).connection_from_host(server.host, server.port or 443, "https")
    return Client(
        pool,
        prefix=(server.path or "").rstrip("/"),
        host=server.netloc or "",
        authorization={"Authorization": f"Bearer {cluster.token}"} if cluster.token else {},
        secrets=tuple(filter(None, (cluster.token, *_passwords(cluster.proxy)))),
    )


def _url(url: str, otherwise: str) -> Url:
    try:
        return parse_url(url)
    except errors.LocationParseError:
        raise _invalid(otherwise) from None


def _manager(cluster: Cluster) -> PoolManager:
    name = cluster.server_name or None
    settings: dict[str, object] = {"timeout": _PATIENCE, "maxsize": 1, "num_pools": 1, "ssl_context": _context(cluster)}
    settings |= {"server_hostname": name, "assert_hostname": name}
    if not cluster.proxy:
        return PoolManager(**settings)  # type: ignore[arg-type] # urllib3 types them as one
    proxy = _url(cluster.proxy, "proxy-url is no URL: make it http://HOST:PORT")
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise _invalid("proxy-url must be http://HOST:PORT or https://HOST:PORT: porch speaks no SOCKS")
    # Octet by octet, for make_headers encodes as Latin-1: what was UTF-8 in the URL is UTF-8 in the header.
    headers = make_headers(proxy_basic_auth=unquote(proxy.auth, encoding="latin-1")) if proxy.auth else None
    return ProxyManager(proxy._replace(auth=None).url, proxy_headers=headers, **settings)  # type: ignore[arg-type]


def _passwords(proxy: str) -> tuple[str, ...]:
    auth = parse_url(proxy).auth if proxy else None
    if not auth:
        return ()
    # As they may come back: like the kubeconfig has them, in the spelling of urllib3, and in plain.
    whole = (proxy.rpartition("@")[0].partition("//")[2], auth)
    spelled = (*whole, *(each.partition(":")[2] for each in whole))
    return (*spelled, *map(unquote, spelled))


def _context(cluster: Cluster) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=cluster.authority or None)
    except (ssl.SSLError, ValueError):
        raise _invalid("certificate-authority is no PEM certificate: copy the cluster's CA again") from None
    # Python 3.13 asks for key identifiers that the CA of an EKS cluster does not have (kubernetes-client/python#2394).
    # Chain, dates and name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.certificate:
        _load_certificate(context, cluster)
    return context


def _load_certificate(context: ssl.SSLContext, cluster: Cluster) -> None:
    # OpenSSL wants files; these are in memory only, so that a porch that is killed here leaves no key behind.
    certificate, key = _in_memory(cluster.certificate), _in_memory(cluster.key)
    try:
        # With a password, or OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(f"/proc/self/fd/{certificate}", f"/proc/self/fd/{key}", password="")
    except (ssl.SSLError, OSError, ValueError):
        why = "client-certificate and client-key are no PEM pair, or the key is encrypted: give it in plain"
        raise _invalid(why) from None
    finally:
        os.close(certificate)
        os.close(key)


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("porch", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return descriptor


def _describe(error: errors.HTTPError) -> str:
    if isinstance(error, errors.SSLError) and any(words in str(error) for words in _NO_TLS):
        return "it broke the TLS handshake off, or nothing serves there, check the server in the kubeconfig"
    return next(why for kinds, why in _CAUSES if isinstance(error, kinds))


def _invalid(what: str) -> PorchError:
    return PorchError(MISCONFIGURED, f"kubeconfig: {what}")
