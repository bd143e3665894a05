"""Copies of one snapshot (SnapStart) share all that was made at import: nothing may be made there that must differ."""

import ast
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor_loop import bootstrap
from conductor_loop.api import services
from conductor_loop.config import load

SOURCE = Path(__file__).parents[2] / "src/conductor_loop"
DEPLOYED = sorted(path for path in SOURCE.rglob("*.py") if "cli" not in path.relative_to(SOURCE).parts)
MODULES = {"boto3", "datetime", "os", "random", "secrets", "socket", "tempfile", "time", "uuid"}
NAMES = {"now", "session", "Session", "client", "uuid4"}
HARMLESS = {"os.environ", "os.path", "tempfile.gettempdir"}  # the same for every copy


def at_import(node: ast.AST) -> Iterator[ast.Call]:
    """Give the calls that an import makes: not those within functions, but for their decorators and defaults."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = child.args
            outside = [*getattr(child, "decorator_list", ()), *arguments.defaults, *filter(None, arguments.kw_defaults)]
            yield from at_import(ast.Tuple(outside))
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from at_import(child)


def made(source: str) -> list[str]:
    called = [ast.unparse(call.func) for call in at_import(ast.parse(source))]
    return [
        name
        for name in called
        if (name.split(".")[0] in MODULES or name.split(".")[-1] in NAMES)
        and not any(name.startswith(prefix) for prefix in HARMLESS)
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("started = time.monotonic()", ["time.monotonic"]),
        ("class A:\n    seed = random.Random(uuid4())", ["random.Random", "uuid4"]),
        ("def f(now=time.time()): ...", ["time.time"]),
        ("s3 = sdk.client('s3')", ["sdk.client"]),
        ("def f():\n    return time.time()\nsize = len('a')\nwait = lambda: time.time()", []),
    ],
)
def test_what_an_import_makes_is_seen(source: str, found: list[str]) -> None:
    assert made(source) == found


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(SOURCE)))
def test_an_import_makes_no_clock_no_chance_and_no_connection(path: Path) -> None:
    assert made(path.read_text()) == []


def ignore(_: object) -> None:
    pass


def test_copies_wait_for_different_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "client", lambda *_: object())
    config = load({}, {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://queue"})
    waits = []
    for _ in range(2):
        random.seed(1)  # as the snapshot has it
        app = bootstrap.build(config, ignore, ignore, ignore, "worker")
        waits.append([app.jitter() for _ in range(3)])
    assert waits[0] != waits[1]


def test_a_copy_is_as_old_as_its_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    services._started.cache_clear()
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    local = services.Local()
    monkeypatch.setattr(time, "monotonic", lambda: 105.0)
    assert local.vitals()["uptime_seconds"] == 5
    services._started.cache_clear()
