"""A Kubernetes API server over real HTTPS, with as much of the API as porch uses, and faults to order."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.integration.cluster.kubernetes import Kubernetes
from tests.integration.cluster.porch_registry import GROUP, PorchRegistry
from tests.integration.cluster.statuses import Answer, Asked, Document, Refused, forbidden, unauthorized

TOKEN = "token-" + "s3cr3t" * 8
USER = "system:serviceaccount:oran-sim:porch"
_VERBS = {"GET": "get", "PATCH": "patch", "POST": "create", "PUT": "update"}
_LISTED = {"resourcequotas", "limitranges", "horizontalpodautoscalers", "replicasets"}


@dataclass
class Faults:
    """What goes wrong. Paths are matched by their end."""

    hang_up_after: int = 0  # the connection closes after this many requests, each with its effect
    forbidden: set[str] = field(default_factory=set)  # kinds, or kinds with a subresource
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)  # instead of what is there
    drip: bool = False  # answers come a byte at a time
    before: Callable[[str, str], None] | None = None  # called with method and path of each request
    after: Callable[[str, str], None] | None = None  # likewise, when it has had its effect and is not yet answered


@dataclass(frozen=True, slots=True)
class User:
    """A user whom the cluster knows, and what they may do: verb and resource."""

    name: str
    rights: frozenset[tuple[str, str]]


@dataclass
class ApiServer(Kubernetes):
    """A cluster, who may ask, and what was asked."""

    url: str = ""
    porch: PorchRegistry | None = None
    faults: Faults = field(default_factory=Faults)
    token: str = TOKEN  # of one who may do everything
    others: dict[str, User] = field(default_factory=dict)  # by token
    knows: Callable[[str], bool] | None = None  # other tokens, of those who may do everything
    accepts_certificates: bool = False
    requests: list[str] = field(default_factory=list)  # "GET /api/v1/namespaces/oran-sim"
    queries: list[str] = field(default_factory=list)  # of each request
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, body: bytes, user: User | None, content_type: str = "") -> Answer:
        """Answer a request of ``user``; None for one who may do everything."""
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        try:
            asked = _asked(method, parts)
            self._authorise(asked, user)
            if asked.group == GROUP and self.porch is not None:
                return 201 if method == "POST" else 200, self._porch(method, parts[5:], query, body)
            return 200, self._core(asked, query, content_type, body)
        except Refused as refused:
            return refused.answer

    def _core(self, asked: Asked, query: dict[str, str], content_type: str, body: bytes) -> Document:
        match asked.verb, asked.kind, asked.subresource:
            case "get", "namespaces", "":
                return self.namespace(asked.name)
            case "get", "deployments", "" | "scale":
                return self.get(asked)
            case "patch", "deployments", "" | "scale":
                return self.patch(asked, query, content_type, body)
            case "list", kind, "" if kind in _LISTED:
                return self.collection(asked, query)
        raise Refused((404, {}))

    def _porch(self, method: str, parts: list[str], query: dict[str, str], body: bytes) -> Document:
        assert self.porch is not None
        match method, parts:
            case "GET", ["packagerevisions"]:
                return {"kind": "PackageRevisionList", "items": self.porch.matching(query.get("fieldSelector", ""))}
            case "POST", ["packagerevisions"]:
                return self.porch.create(json.loads(body))
            case "GET", [kind, name]:
                return self.porch.get(kind, name)
            case "PUT", ["packagerevisions", name]:
                return self.porch.replace(name, json.loads(body))
            case "PUT", ["packagerevisions", name, "approval"]:
                return self.porch.replace(name, json.loads(body), approval=True)
            case "PUT", ["packagerevisionresources", name]:
                return self.porch.fill(name, json.loads(body))
        raise Refused((405, {}))

    def _authorise(self, asked: Asked, user: User | None) -> None:
        if asked.resource in self.faults.forbidden:
            raise forbidden(asked, USER)
        if user is not None and (asked.verb, asked.resource) not in user.rights:
            raise forbidden(asked, user.name)


def _asked(method: str, parts: list[str]) -> Asked:
    match parts:
        case ["api", "v1", "namespaces", name]:
            return Asked(_VERBS[method], "", "namespaces", name, name)
        case ["api", "v1", "namespaces", namespace, kind, *names]:
            group = ""
        case ["apis", group, _, "namespaces", namespace, kind, *names]:
            pass
        case _:
            raise Refused((404, {}))
    verb = "list" if method == "GET" and not names else _VERBS[method]
    name, subresource, *_ = (*names, "", "")
    return Asked(verb, group, kind, name, namespace, subresource)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - the base class's names

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url, faults = urlsplit(self.path), self.api.faults
        with self.api.lock:
            self.api.requests.append(f"{self.command} {url.path}")
            self.api.queries.append(url.query)
            self.api.headers.append(dict(self.headers))
            self.api.bodies.append(body)
            if faults.before:
                faults.before(self.command, url.path)
            status, headers, content = self._content(body)
            if faults.after:
                faults.after(self.command, url.path)
            hang_up = len(self.api.requests) == faults.hang_up_after
        if hang_up:
            self.close_connection = True
            return
        self._send(status, headers, content)

    def _content(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        for end, answer in self.api.faults.answers.items():
            if urlsplit(self.path).path.endswith(end):
                return answer
        status, document = self._answer(body)
        if not document:
            return status, {"Content-Type": "text/plain"}, b"404 page not found\n"
        return status, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def _answer(self, body: bytes) -> Answer:
        assert isinstance(self.connection, ssl.SSLSocket)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        certified = self.api.accepts_certificates and self.connection.getpeercert()
        trusted = self.api.knows(token) if self.api.knows else token == self.api.token
        user = None if certified or (scheme == "Bearer" and trusted) else self.api.others.get(token)
        if user is None and not certified and not (scheme == "Bearer" and trusted):
            return unauthorized().answer
        return self.api.answer(self.command, self.path, body, user, self.headers.get("Content-Type", ""))

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not self.api.faults.drip:
            self.wfile.write(content)
            return
        done = threading.Event()
        for byte in content:
            self.wfile.write(bytes([byte]))
            done.wait(0.2)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that break off are what many tests are about."""


@contextmanager
def serving(api: ApiServer, ca: trustme.CA, *names: str, clients: trustme.CA | None = None) -> Iterator[ApiServer]:
    """Serve ``api`` on a free port of loopback, with a certificate of ``ca`` for ``names``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if clients:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    with serving_with(api, context):
        yield api


@contextmanager
def serving_with(api: ApiServer, context: ssl.SSLContext) -> Iterator[ApiServer]:
    """Serve ``api`` with these TLS settings."""
    handler = type("Handler", (_Handler,), {"api": api})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        api.url = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
