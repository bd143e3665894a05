"""Packages of the bundled porch: from any valid intent, and read back by two YAML readers."""

from pathlib import Path
from typing import Any

import ruamel.yaml
import yaml
from hypothesis import strategies as st

from porch.cli import main
from tests.unit.porch_program.support import write_intent

ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
CARRIED = st.characters(
    exclude_categories=["Cs"], exclude_characters=[*map(chr, range(0x7F, 0xA0)), "\ufffe", "\uffff"]
)


def names(longest: int) -> st.SearchStrategy[str]:
    return st.from_regex(rf"[a-z0-9]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?", fullmatch=True)


INTENTS = st.fixed_dictionaries(
    {
        "intent_type": st.just("scaling"),
        "target": names(253),
        "namespace": names(63),
        "replicas": st.integers(0, 2**31 - 1),
    },
    optional={
        "reason": st.text(CARRIED, max_size=512),
        "source": st.sampled_from(["user", "planner", "test", "automation"]),
        "correlation_id": st.from_regex(r"[a-zA-Z0-9\-_]{1,64}", fullmatch=True),
        "priority": st.sampled_from(["low", "normal", "high", "critical"]),
        "timeout": st.from_regex(r"[0-9]{1,4}[smh]", fullmatch=True),
        "metadata": st.dictionaries(st.text(), st.none() | st.booleans() | st.floats(-1e9, 1e9) | st.text()),
    },
)


def build(out: Path, **changes: Any) -> Path:
    """Run porch on an intent and return the directory of its package."""
    out.mkdir(exist_ok=True)
    name = changes.pop("name", "intent-daily-001.json")
    assert main(["-intent", str(write_intent(out, name, **changes)), "-out", str(out / "packages")]) == 0
    (package,) = (out / "packages").iterdir()
    return package


def contents(package: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in package.iterdir()}


def load(path: Path) -> Any:
    """Read a file of YAML by both versions' rules; they have to agree."""
    return parse(path.read_text())


def parse(text: str) -> Any:
    reader = ruamel.yaml.YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    first, second = yaml.safe_load(text), reader.load(text)
    assert first == second
    return first


def patch(package: Path) -> Any:
    """Return the patch that the package's Component holds."""
    (only,) = load(package / "kustomization.yaml")["patches"]
    return parse(only["patch"])
