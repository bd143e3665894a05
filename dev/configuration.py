"""Write docs/configuration-reference.md: run `.venv/bin/python -m dev.configuration` after a change of the schema."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from conductor_loop.config.schema import Leaf, leaves, schema
from dev.stack import ROOT

DOCUMENT = ROOT / "docs/configuration-reference.md"
_HEAD = """# Configuration reference

Made from [schemas/config.schema.json](../schemas/config.schema.json) by `.venv/bin/python -m dev.configuration`; do not
edit it by hand. [configuration.md](configuration.md) says how a document is made, checked and put in force.

Each key has its values, its default, the variable of a function that beats the document, and what it does. What has
*no effect here* is the specification's: it is accepted and checked, and something else decides.
"""
_TYPES = {"boolean": "`true`, `false`", "array": "list", "object": "object", "string": "text"}


def document() -> str:
    """Give the text of the document."""
    return "\n".join((_HEAD, *_sections())) + "\n"


def _sections() -> Iterator[str]:
    for name, found in groupby(leaves(), lambda leaf: leaf.path[0] if len(leaf.path) > 1 else ""):
        about = schema()["properties"][name]["description"] if name else "Keys of the document itself"
        yield f"## {f'`{name}`' if name else 'On top'}\n\n{about}.\n"
        yield "| key | values | default | variable | what |\n|---|---|---|---|---|"
        yield from (_row(leaf) for leaf in found)
        yield ""


def _row(leaf: Leaf) -> str:
    what = _cell(leaf.schema["description"])
    if leaf.governed_by:
        what += f". *No effect here*: {_cell(leaf.governed_by)}"
    cells = (f"`{leaf.dotted}`", _values(leaf.schema), f"`{json.dumps(leaf.schema['default'])}`", f"`{leaf.variable}`")
    return f"| {' | '.join(cells)} | {what} |"


def _values(node: Mapping[str, Any]) -> str:
    """Say what may be written: a closed list, a range, or a kind of thing."""
    if "enum" in node:
        return ", ".join(f"`{json.dumps(one)}`" for one in node["enum"])
    if node["type"] == "integer":
        return f"{node['minimum']} to {node['maximum']}"
    for unit in ("duration", "size"):
        if unit in node:
            return f"{unit}, `{node[unit]['minimum']}` to `{node[unit]['maximum']}`"
    if node["type"] in ("array", "object"):
        most = node.get("maxItems") or node.get("maxProperties")
        return _TYPES[node["type"]] + (f" of at most {most}" if most else "") + _items(node)
    return _cell(node["means"]) if "means" in node else _TYPES[node["type"]]


def _items(node: Mapping[str, Any]) -> str:
    items = node.get("items", {})
    if "enum" in items:
        return ": " + ", ".join(f"`{json.dumps(one)}`" for one in items["enum"])
    if "properties" in items:
        return " with " + ", ".join(f"`{name}`" for name in items["properties"])
    return f"; each is {_cell(node['propertyNames']['means'])}" if "propertyNames" in node else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document())
    print(f"{DOCUMENT.relative_to(ROOT)}: {len(leaves())} keys")


if __name__ == "__main__":
    main()
