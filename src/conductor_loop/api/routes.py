"""Every route, and what answers it; ``schemas/openapi.json`` describes them to callers, here as JSON and as a page."""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPMethod, HTTPStatus
from importlib.resources import files
from operator import attrgetter
from typing import Any

from conductor_loop import __version__
from conductor_loop.api import intents
from conductor_loop.api.exposition import metrics
from conductor_loop.api.health import health, liveness, readiness
from conductor_loop.api.http import Problem, Request, Response
from conductor_loop.api.services import Services
from conductor_loop.config.typed import Serving
from conductor_loop.tokens import Scope

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    whole: dict[str, Any] = _schema("openapi.json")
    whole["info"]["version"] = __version__
    for name, file in {"Intent": "intent.schema.json", "Status": "status.schema.json"}.items():
        # Without what only a document of its own has.
        schema = {key: value for key, value in _schema(file).items() if key not in {"$schema", "$id"}}
        whole["components"]["schemas"][name] = schema
    return whole


def page() -> Response:
    """Write the document for people: no script, and nothing from elsewhere."""
    rows = "".join(
        f"<tr><td><code>{method.upper()} {html.escape(path)}</code><td>{html.escape(operation['summary'])}"
        f"<td>{operation.get('description', '').removeprefix('Scope: ')}<td>{', '.join(operation['responses'])}</tr>"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    )
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>conductor-loop</title>"
        "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left;vertical-align:top}</style>"
        f"<h1>conductor-loop {__version__}</h1><p>The whole of it: <a href=openapi.json>openapi.json</a></p>"
        f"<table><tr><th>Request<th>What<th>Scope<th>Answers</tr>{rows}</table></html>"
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _PAGE_POLICY}
    return Response(HTTPStatus.OK, text, headers)


def _schema(file: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(files("conductor_loop").joinpath("schemas", file).read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for."""

    method: str
    resource: str
    scope: Scope | None  # None: open to everybody
    answer: Callable[[Services, Request], Response]
    asks: Callable[[Serving], bool] = lambda _: True  # whether it asks for its scope
    exists: Callable[[Serving], bool] = lambda _: True
    is_local: bool = False  # asks no service, unless it asks for its scope
    is_health: bool = False  # answers although it is unknown whether the caller asks too often


_has_health, _asks_for_health = attrgetter("health_enabled"), attrgetter("health_authenticated")


def _asks_for_liveness(serving: Serving) -> bool:
    return serving.health_authenticated and not serving.liveness_exempt


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", Scope.HEALTH, health, _asks_for_health, _has_health, is_health=True),
    Route("GET", "/readyz", Scope.HEALTH, readiness, _asks_for_health, _has_health, is_health=True),
    Route("GET", "/livez", Scope.HEALTH, liveness, _asks_for_liveness, _has_health, is_local=True, is_health=True),
    Route(
        "GET", "/metrics", Scope.METRICS, metrics, attrgetter("metrics_authenticated"), attrgetter("metrics_enabled")
    ),
    Route("POST", "/intents", Scope.INTENTS_WRITE, intents.submit),
    Route("GET", "/intents", Scope.INTENTS_READ, intents.list_intents),
    Route("GET", "/intents/{name}", Scope.INTENTS_READ, intents.read_intent),
    Route("POST", "/intents/{name}/retry", Scope.INTENTS_WRITE, intents.retry),
    Route("GET", "/openapi.json", None, lambda *_: Response(HTTPStatus.OK, document())),
    Route("GET", "/docs", None, lambda *_: page(), exists=attrgetter("docs")),
)


def find(resource: str, method: str, serving: Serving) -> Route:
    """Find the route of a request; HEAD is that of GET. What does not exist has one, too: it is limited likewise."""
    there = {route.method: route for route in ROUTES if route.resource == resource}
    wanted = HTTPMethod.GET if method == HTTPMethod.HEAD else method
    if not there or (wanted in there and not there[wanted].exists(serving)):
        return _refusing(Problem(HTTPStatus.NOT_FOUND, "There is nothing here"))
    if wanted in there:
        return there[wanted]
    allowed = sorted(there.keys() | ({"HEAD"} if HTTPMethod.GET in there else set()))
    message = "There is no such method here; Allow names those there are"
    return _refusing(Problem(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": ", ".join(allowed)}))


def _refusing(problem: Problem) -> Route:
    def answer(*_: object) -> Response:
        raise problem

    return Route("", "", None, answer)
