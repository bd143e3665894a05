"""A Kubernetes API server over real HTTPS, with as much of the API as porch uses, and faults to order."""

import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.integration.cluster.porch_registry import GROUP, PorchRegistry
from tests.integration.cluster.statuses import Answer, Document, Refused, forbidden, not_found, unauthorized

TOKEN = "token-" + "s3cr3t" * 8
_PORCH = ["apis", GROUP, "v1alpha1", "namespaces"]
_LISTED = {"horizontalpodautoscalers": "autoscaling"}


@dataclass
class Faults:
    """What goes wrong. Paths are matched by their end."""

    hang_up_after: int = 0  # the connection closes after this many requests, each with its effect
    forbidden: set[str] = field(default_factory=set)  # kinds
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)  # instead of what is there
    drip: bool = False  # answers come a byte at a time
    before: Callable[[str, str], None] | None = None  # called with method and path of each request


@dataclass
class ApiServer:
    """What is in the cluster, who may ask, and what was asked."""

    url: str = ""
    namespaces: set[str] = field(default_factory=lambda: {"oran-sim", "default"})
    objects: dict[str, dict[str, Document]] = field(default_factory=dict)  # kind to name to object, of one namespace
    porch: PorchRegistry | None = None
    faults: Faults = field(default_factory=Faults)
    token: str = TOKEN
    knows: Callable[[str], bool] | None = None  # other tokens
    accepts_certificates: bool = False
    page: int = 500
    requests: list[str] = field(default_factory=list)  # "GET /api/v1/namespaces/oran-sim"
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, name: str, **fields: Any) -> None:
        self.objects.setdefault(kind, {})[name] = {"metadata": {"name": name, "namespace": "oran-sim"}, **fields}

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        try:
            if parts[:4] == _PORCH and self.porch is not None:
                return 201 if method == "POST" else 200, self._porch(method, parts[5:], query, body)
            return 200, self._core(parts, query)
        except Refused as refused:
            return refused.answer

    def _core(self, parts: list[str], query: dict[str, str]) -> Document:
        match parts:
            case ["api", "v1", "namespaces", namespace]:
                self._authorise("namespaces", namespace, namespace)
                if namespace not in self.namespaces:
                    raise not_found("namespaces", namespace)
                return {"kind": "Namespace", "metadata": {"name": namespace}, "status": {"phase": "Active"}}
            case ["apis", "apps", "v1", "namespaces", namespace, "deployments", name]:
                self._authorise("deployments", name, namespace)
                return self._object("deployments", name, "apps")
            case ["api" | "apis", *_, "namespaces", namespace, kind] if kind in _LISTED:
                self._authorise(kind, "", namespace)
                return self._page(kind, query)
        raise Refused((404, {}))

    def _porch(self, method: str, parts: list[str], query: dict[str, str], body: bytes) -> Document:
        assert self.porch is not None
        self._authorise("/".join((parts[0], *parts[2:])), parts[1] if len(parts) > 1 else "", "default")
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

    def _authorise(self, kind: str, name: str, namespace: str) -> None:
        if kind in self.faults.forbidden:
            raise forbidden(kind, name, namespace)

    def _object(self, kind: str, name: str, group: str) -> Document:
        if name not in self.objects.get(kind, {}):
            raise not_found(kind, name, group)
        return copy.deepcopy(self.objects[kind][name])

    def _page(self, kind: str, query: dict[str, str]) -> Document:
        start = int(query.get("continue", "0"))
        end = start + min(self.page, int(query.get("limit", "500")))
        items = list(self.objects.get(kind, {}).values())
        return {"items": items[start:end], "metadata": {"continue": str(end) if end < len(items) else ""}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.api.lock:
            self.api.requests.append(f"{self.command} {urlsplit(self.path).path}")
            self.api.headers.append(dict(self.headers))
            if self.api.faults.before:
                self.api.faults.before(self.command, urlsplit(self.path).path)
            status, headers, content = self._content(body)
            hang_up = len(self.api.requests) == self.api.faults.hang_up_after
        if hang_up:
            self.close_connection = True
            return
        self._send(status, headers, content)

    def _content(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        for end, answer in self.api.faults.answers.items():
            if urlsplit(self.path).path.endswith(end):
                return answer
        status, document = self.api.answer(self.command, self.path, body) if self._is_known() else unauthorized().answer
        if not document:
            return status, {"Content-Type": "text/plain"}, b"404 page not found\n"
        return status, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def _is_known(self) -> bool:
        assert isinstance(self.connection, ssl.SSLSocket)
        if self.api.accepts_certificates and self.connection.getpeercert():
            return True
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        known = self.api.knows(token) if self.api.knows else token == self.api.token
        return scheme == "Bearer" and known

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
