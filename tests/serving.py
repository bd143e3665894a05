"""An API over in-memory services; a test states only what matters to it."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from conductor_loop.api import routes
from conductor_loop.api.dispatch import answer
from conductor_loop.api.services import Services
from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.errors import ConditionFailed, NotAnswering
from conductor_loop.rates import Memory
from conductor_loop.storage.listing import Answered, Listed, Page, Wanted
from conductor_loop.storage.measures import Counts
from conductor_loop.tokens import Client, Scope
from tests.factories import Clock

EVERYTHING = frozenset(Scope)
SENDER = frozenset({Scope.INTENTS_READ, Scope.INTENTS_WRITE})


def hangs(*_: object) -> Any:
    """Be a service that does not answer, within its client's timeout."""
    raise NotAnswering("down")


@dataclass
class MemoryIntents:
    """Intents in the root, in failed/, and what is known of them."""

    root: dict[str, bytes] = field(default_factory=dict)
    failed_inputs: dict[str, bytes] = field(default_factory=dict)
    known: dict[str, Answered] = field(default_factory=dict)
    statuses: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: list[Wanted] = field(default_factory=list)
    listing: Page = field(default_factory=lambda: Page((), None))

    def put(self, name: str, body: bytes, *, replace: bool) -> str:
        if name in self.root and not replace:
            raise ConditionFailed
        self.root[name] = body
        return "v1"

    def waiting(self, name: str) -> Listed | None:
        return Listed(name, "v1", "received", "2026-11-23T03:00:00.000Z") if name in self.root else None

    def failed(self, name: str, max_bytes: int) -> bytes | None:
        del max_bytes
        return self.failed_inputs.get(name)

    def status(self, name: str) -> Mapping[str, Any] | None:
        return self.statuses.get(name)

    def newest(self, name: str) -> Answered | None:
        return self.known.get(name)

    def page(self, wanted: Wanted, now: float) -> Page:
        del now
        self.asked.append(wanted)
        return self.listing


@dataclass
class Api:
    """The API, and a hand to ask it with."""

    clock: Clock = field(default_factory=Clock)
    config: Config = field(default_factory=lambda: Config(state_table="state", handoff_bucket="handoff"))
    clients: dict[str, Client] = field(default_factory=dict)
    intents: MemoryIntents = field(default_factory=MemoryIntents)
    rows: Any = None  # what is known of intents, if not by them
    buckets: Memory = field(default_factory=Memory)
    own_buckets: Memory = field(default_factory=Memory)
    counts: Counts = field(default_factory=Counts)
    queue_size: Callable[[], int] = lambda: 2
    active_workers: Callable[[], int] = lambda: 1
    encryption: Callable[[], str] = lambda: "enabled"
    writable: bool = True
    porch: bool = True
    noted: list[Counted] = field(default_factory=list)
    recorded: list[dict[str, object]] = field(default_factory=list)
    limiter_down: bool = False
    tokens_down: bool = False

    def serve(self, **changes: Any) -> None:
        """Change what the API goes by."""
        self.config = replace(self.config, serving=replace(self.config.serving, **changes))

    def client(self, token: str = "token", scopes: frozenset[Scope] = EVERYTHING) -> str:
        """Register a caller; return the token."""
        self.clients[token] = Client(f"id-{token}", token, scopes)
        return token

    def ask(self, method: str, path: str, **event: Any) -> dict[str, Any]:
        """Send a request, as API Gateway would hand it over: ``token``, ``body`` and whatever the event has."""
        return answer(self.services, request(method, path, **event))

    @property
    def services(self) -> Services:
        queues: Any = SimpleNamespace(
            size=self.queue_size, each=lambda: {"high": 0, "normal": self.queue_size(), "low": 0, "dead": 1}
        )
        state: Any = SimpleNamespace(
            active_workers=self.active_workers,
            counts=lambda _: self.counts,
            table_size=lambda: {"state_entries": 1250, "state_bytes": 245_760},
            encryption_status=self.encryption,
        )
        local: Any = SimpleNamespace(
            writable=lambda: self.writable,
            executable=lambda _: self.porch,
            vitals=lambda: {
                "threads": 15,
                "memory_bytes": 47_395_635,
                "heap_bytes": 8_388_608,
                "stack_bytes": 655_360,
                "uptime_seconds": 8130.0,
            },
            take=self.own_buckets.take,
        )
        intents: Any = self.intents
        return Services(
            config=self.config,
            verify=hangs if self.tokens_down else lambda token, _: self.clients.get(token),
            take=hangs if self.limiter_down else self.buckets.take,
            intents=intents,
            listing=self.rows or intents,
            queues=queues,
            state=state,
            local=local,
            note=self.noted.append,
            record=lambda _, fields, __: self.recorded.append({**fields}),
            trace=lambda _: None,
            clock=self.clock,
            timer=lambda: 0.0,
            new_id=lambda: "01jd",
        )


def request(method: str, path: str, **event: Any) -> dict[str, Any]:
    """Give the event of a request; ``path`` with its parameters' values, and a query."""
    path, _, query = path.partition("?")
    resource, parameters = _resource(path)
    headers = dict(event.get("headers", {}))
    if "token" in event:
        headers["Authorization"] = f"Bearer {event['token']}"
    body = event.get("body")
    encoded = isinstance(body, bytes)
    identity = {"sourceIp": event.get("address", "192.0.2.1"), **event.get("identity", {})}
    return {
        "resource": resource,
        "httpMethod": method,
        "headers": headers or None,
        "queryStringParameters": dict(part.split("=", 1) for part in query.split("&")) if query else None,
        "pathParameters": parameters or None,
        "requestContext": {"requestId": "0f1e2d3c-request", "identity": identity},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": encoded,
    }


def schema(name: str) -> dict[str, Any]:
    """Return a schema of the OpenAPI document, with those that it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": routes.document()["components"]}


def body(response: Mapping[str, Any]) -> dict[str, Any]:
    """Read the body of a response."""
    document: dict[str, Any] = json.loads(response["body"])
    return document


def _resource(path: str) -> tuple[str, dict[str, str]]:
    if path.startswith("/intents/"):
        name, slash, rest = path.removeprefix("/intents/").partition("/")
        return f"/intents/{{name}}{slash}{rest}", {"name": name}
    return path, {}
