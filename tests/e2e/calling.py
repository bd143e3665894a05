"""The deployed API, called as anybody would."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.conftest import Deployed

SCOPES = ("health", "metrics", "intents:read", "intents:write", "priority:critical")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    text: str
    seconds: float
    ended: float  # seconds that never go back

    @property
    def body(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


@dataclass
class Caller:
    """A caller with an address of its own, and perhaps a token."""

    deployed: Deployed
    address: str
    token: str = field(default="", repr=False)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        url = urlsplit(self.deployed.outputs["ApiUrl"] + path)
        given = {"X-Forwarded-For": self.address} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            given.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        began = time.monotonic()
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=60)
        connection.request(method, f"{url.path}?{url.query}" if url.query else url.path, body, given)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        ended = time.monotonic()
        return Answer(response.status, found, text, ended - began, ended)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)


def make_token(deployed: Deployed, name: str, *scopes: str) -> str:
    """Make a token; the API knows it within a minute, or after its restart."""
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    done = deployed.cli("token", "create", "--name", name, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()
