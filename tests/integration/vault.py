"""Enough of Vault's HTTP API to talk to: login with AWS, and a KV store of version 2.

Paths and bodies: developer.hashicorp.com/vault/api-docs, "auth/aws", "secret/kv/kv-v2".
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Thread
from typing import Any, cast


@dataclass
class Vault:
    """What is in it, and who has asked."""

    secrets: dict[str, Any] = field(default_factory=dict)  # by mount/data/path; None: deleted
    roles: set[str] = field(default_factory=lambda: {"conductor-loop"})
    valid: set[str] = field(default_factory=set)  # tokens
    issued: int = 0
    sealed: bool = False
    asked: list[str] = field(default_factory=list)
    logins: list[dict[str, Any]] = field(default_factory=list)  # signed headers
    url: str = ""

    def login(self, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if body["role"] not in self.roles:
            return 400, {"errors": [f'entry for role "{body["role"]}" not found']}
        self.logins.append(json.loads(base64.b64decode(body["iam_request_headers"])))
        self.issued += 1
        token = f"hvs.issued-{self.issued}"
        self.valid.add(token)
        auth = {"client_token": token, "lease_duration": 3600, "renewable": True, "policies": ["default"]}
        return 200, {"auth": auth, "data": None}

    def read(self, path: str, token: str) -> tuple[int, dict[str, Any]]:
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token not in self.valid:
            return 403, {"errors": ["permission denied"]}
        if path not in self.secrets:
            return 404, {"errors": []}
        metadata = {"version": 1, "created_time": "2026-11-23T00:00:00Z", "deletion_time": "", "destroyed": False}
        if self.secrets[path] is None:
            metadata["deletion_time"] = "2026-11-23T01:00:00Z"
            return 404, {"data": {"data": None, "metadata": metadata}}
        return 200, {"data": {"data": self.secrets[path], "metadata": metadata}}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(*self._vault.read(self.path.removeprefix("/v1/"), self.headers.get("X-Vault-Token", "")))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.path == "/v1/auth/aws/login"
        self._answer(*(self._vault.login(body) if known else (404, {"errors": ["no handler for route"]})))

    @property
    def _vault(self) -> Vault:
        return cast("_Server", self.server).vault

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._vault.asked.append(f"{self.command} {self.path} {status}")
        body = json.dumps({"request_id": "r", "lease_id": "", "renewable": False, **document}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    vault: Vault
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that does not trust us hangs up


@contextmanager
def running(tls: SSLContext | None = None) -> Iterator[Vault]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.vault = Vault(url=f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.vault
    finally:
        server.shutdown()
        server.server_close()
