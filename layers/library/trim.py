"""Makes the SDK's descriptions of services smaller, since a cold start reads them all: `trim.py FOLDER SERVICE…`.

Left out are other services, examples and all text for people; a call is described as before. What is left is stored
plain, which is faster to read than unpacking.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

_FOR_PEOPLE = {"documentation", "documentationUrl"}
_READ_WHOLE = "clientContextParams"  # the SDK demands the text of each


def trim(data: Path, services: set[str]) -> None:
    """Make a folder of descriptions (botocore/data) smaller."""
    for folder in (path for path in data.iterdir() if path.is_dir() and path.name not in services):
        shutil.rmtree(folder)
    for path in data.glob("*/*/examples-*.json*"):
        path.unlink()
    for path in data.rglob("*.json.gz"):
        _write(path.with_suffix(""), without_words(json.loads(gzip.decompress(path.read_bytes()))))
        path.unlink()
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in services}
    _write(data / "endpoints.json", endpoints)


def without_words(node: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Leave out texts; a member of a structure may bear the same name, and is an object."""
    if isinstance(node, dict):
        words = {name for name in _FOR_PEOPLE & node.keys() if isinstance(node[name], str)}
        kept = {name: part for name, part in node.items() if name not in words}
        return {name: part if name == _READ_WHOLE else without_words(part) for name, part in kept.items()}
    return [without_words(part) for part in node] if isinstance(node, list) else node


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    trim(Path(sys.argv[1]), set(sys.argv[2:]))
