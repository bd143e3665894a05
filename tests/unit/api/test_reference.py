"""docs/api.md has every path and code of the routes."""

import re
from pathlib import Path
from typing import Any

from conductor_loop.api import routes

TEXT = (Path(__file__).parents[3] / "docs/api.md").read_text()
ROWS = re.findall(r"^\| `([A-Z]+) (/[^`]*)`[^|]* \| ([^|]*) \| ([\d, ]+) \|$", TEXT, re.MULTILINE)
OPERATIONS: dict[tuple[str, str], Any] = {
    (method.upper(), path): operation
    for path, operations in routes.document()["paths"].items()
    for method, operation in operations.items()
}
ALWAYS = 500  # listed below the table


def test_every_route_is_in_the_table_with_its_codes() -> None:
    said = {(method, resource): {int(code) for code in codes.split(", ")} for method, resource, _, codes in ROWS}
    described = {key: set(map(int, operation["responses"])) for key, operation in OPERATIONS.items()}
    assert said == {key: codes - {ALWAYS} for key, codes in described.items()}
    assert all(ALWAYS in codes for codes in described.values())


def test_every_scope_is_in_the_table() -> None:
    said = {(method, resource): scope for method, resource, scope, _ in ROWS}
    for route in routes.ROUTES:
        scope = said[route.method, route.resource]
        assert scope == "none" if route.scope is None else f"`{route.scope}`" in scope or "likewise" in scope


def test_every_parameter_is_explained() -> None:
    parameters = [one for operation in OPERATIONS.values() for one in operation.get("parameters", ())]
    for name in {one["name"] for one in parameters if one["in"] != "path"}:
        assert re.search(rf"`\??{name}\b", TEXT), name
