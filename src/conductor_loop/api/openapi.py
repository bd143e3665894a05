"""The OpenAPI document: ``schemas/openapi.json``, with the version and the published schemas in it."""

import html
import json
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from conductor_loop import __version__
from conductor_loop.api.http import Response

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
