"""docs/api.md has every path and code of the routes."""

import re
from pathlib import Path

from conductor_loop.api.routes import ROUTES

TEXT = (Path(__file__).parents[3] / "docs/api.md").read_text()
ROWS = re.findall(r"^\| `([A-Z]+) (/[^`]*)`[^|]* \| ([^|]*) \| ([\d, ]+) \|$", TEXT, re.MULTILINE)
ALWAYS = 500  # told below the table


def test_every_route_is_in_the_table_with_its_codes() -> None:
    said = {(method, resource): {int(code) for code in codes.split(", ")} for method, resource, _, codes in ROWS}
    assert said == {(route.method, route.resource): route.responses.keys() - {ALWAYS} for route in ROUTES}
    assert all(ALWAYS in route.responses for route in ROUTES)


def test_every_scope_is_in_the_table() -> None:
    said = {(method, resource): scope for method, resource, scope, _ in ROWS}
    for route in ROUTES:
        scope = said[route.method, route.resource]
        assert scope == "none" if route.scope is None else f"`{route.scope}`" in scope or "likewise" in scope


def test_every_parameter_is_explained() -> None:
    for name in {parameter.name for route in ROUTES for parameter in route.parameters} - {"name"}:  # of the path, too
        assert re.search(rf"`\??{name}\b", TEXT), name
