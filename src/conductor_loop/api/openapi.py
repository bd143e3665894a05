"""The OpenAPI document: generated from the routes and the published schemas."""

import html
import json
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from conductor_loop import __version__
from conductor_loop.api.contract import SCHEMAS, reference
from conductor_loop.api.http import Response
from conductor_loop.api.route import Parameter, Route

type Document = dict[str, Any]

_PLAIN: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # bodies that are no JSON of ours
    "text": ("text/plain", {"type": "string"}),
    "html": ("text/html", {"type": "string"}),
    "json": ("application/json", {"type": "object"}),
}
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_LIMITS = {
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "How often a client may ask"},
    "RateLimit": {"schema": {"type": "string"}, "description": "What is left of it"},
    "X-Request-Id": {"schema": {"type": "string"}, "description": "Of this request, as in the logs"},
}
_MORE_HEADERS: Mapping[int, Document] = {
    202: {"Location": {"schema": {"type": "string"}, "description": "Where its state is, relative to this URL"}},
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
}


def document(routes: Iterable[Route]) -> Document:
    """Generate the document."""
    paths: Document = {}
    for route in routes:
        paths.setdefault(route.resource, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "conductor-loop",
            "version": __version__,
            "description": "Health, metrics, and intents over HTTPS. Rates: 100 requests a minute of an address, 1000 "
            "an hour of a client with a token, 10 at once; the configuration may say otherwise.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _schemes()},
    }


def page(routes: Iterable[Route]) -> Response:
    """Write the document for people: no script, and nothing from elsewhere."""
    rows = "".join(_row(route) for route in routes)
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>conductor-loop</title>"
        "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left;vertical-align:top}</style>"
        f"<h1>conductor-loop {__version__}</h1><p>The whole of it: <a href=openapi.json>openapi.json</a></p>"
        f"<table><tr><th>Request<th>What<th>Scope<th>Answers</tr>{rows}</table></html>"
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _PAGE_POLICY}
    return Response(HTTPStatus.OK, text, headers)


def _row(route: Route) -> str:
    cells = (
        f"<code>{html.escape(f'{route.method} {route.resource}')}</code>",
        html.escape(route.summary),
        html.escape(route.scope or ""),
        ", ".join(map(str, sorted(route.responses))),
    )
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"


def _operation(route: Route) -> Document:
    operation: Document = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "responses": {str(status): _response(status, names) for status, names in sorted(route.responses.items())},
    }
    if route.parameters:
        operation["parameters"] = [_parameter(one) for one in route.parameters]
    if route.scope is not None:
        needed: list[Document] = [{name: []} for name in _schemes()]
        operation["security"] = needed if route.takes_intent or "intents" in route.resource else [*needed, {}]
        operation["description"] = f"Scope: {route.scope}."
    if route.takes_intent:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference("Intent")}}}
    return operation


def _identifier(route: Route) -> str:
    words = route.resource.replace("{name}", "one").replace(".", "-").strip("/").split("/")
    return "-".join([route.method.lower(), *words])


def _parameter(parameter: Parameter) -> Document:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _response(status: int, names: str | tuple[str, ...]) -> Document:
    if isinstance(names, str):
        kind, schema = _PLAIN.get(names) or ("application/json", reference(names))
    else:
        kind, schema = "application/json", {"oneOf": [reference(name) for name in names]}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _LIMITS | _MORE_HEADERS.get(status, {}),
        "content": {kind: {"schema": schema}},
    }


@cache
def _schemas() -> Document:
    """Give every schema; the published ones without what only a document of their own has."""
    published = {"Intent": "intent.schema.json", "Status": "status.schema.json"}
    found: Document = {}
    for name, file in published.items():
        text = files("conductor_loop").joinpath("schemas", file).read_text("utf-8")
        found[name] = {key: value for key, value in json.loads(text).items() if key not in {"$schema", "$id"}}
    return found | dict(SCHEMAS)


def _schemes() -> Document:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token; conductor-loop token create makes one"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same token"},
        "certificate": {"type": "mutualTLS", "description": "On the mTLS domain, where the stack has one"},
    }
