"""What `sam build` puts into the functions: what their entry points import, and nothing of the command line."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import imports

SOURCE = Path(__file__).parents[2] / "src"
ENTRY_POINTS = ("conductor_loop.handlers", "conductor_loop.api.handler", "conductor_loop.audit.handler")
OF_THE_COMMAND_LINE = ("click", "rich")


def module(path: Path) -> str:
    """Name the module of a file below src/."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it with the very command of `sam build`."""
    folder = tmp_path_factory.mktemp("artifact")
    programs = folder.parent / "programs"
    programs.mkdir(exist_ok=True)
    if not (programs / "python3.13").exists():
        (programs / "python3.13").symlink_to(sys.executable)
    environment = os.environ | {"ARTIFACTS_DIR": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["make", "--silent", "build-ConductorFunction"], cwd=SOURCE, env=environment, check=True)
    return folder


def needed() -> set[str]:
    """Name every module of ours that an entry point may come to import."""
    files = {module(path): path for path in (SOURCE / "conductor_loop").rglob("*.py")}
    found: set[str] = set()
    left = [*ENTRY_POINTS]
    while left:
        name = left.pop()
        if name in found or name not in files:
            continue
        found.add(name)
        left += [".".join(name.split(".")[:length]) for length in range(1, name.count(".") + 1)]
        left += imports(files[name])
    return found


def test_the_artifact_has_what_its_entry_points_import_and_nothing_else(artifact: Path) -> None:
    built = {module(SOURCE / path.relative_to(artifact)) for path in artifact.rglob("*.py")}
    assert sorted(built - needed()) == [], "for the command line alone: name it in src/Makefile"
    assert sorted(needed() - built) == [], "missing: src/Makefile removes what a function needs"


def test_nothing_in_the_artifact_imports_a_library_of_the_command_line(artifact: Path) -> None:
    for path in artifact.rglob("*.py"):
        imported = {name.partition(".")[0] for name in imports(path)}
        assert not imported & {*OF_THE_COMMAND_LINE}, path


def test_no_layer_has_a_library_of_the_command_line() -> None:
    locked = (SOURCE.parent / "layers/library/requirements.txt").read_text()
    assert not [name for name in OF_THE_COMMAND_LINE if f"\n{name}==" in f"\n{locked}"]


def test_the_command_line_needs_no_library_of_the_functions_alone() -> None:
    """It installs without them: pyproject.toml does not name them."""
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    assert not [one for one in project["dependencies"] if one.startswith(("aws-lambda-powertools", "prometheus"))]
    loaded = subprocess.run(
        [sys.executable, "-c", _EVERYTHING], capture_output=True, text=True, check=True, cwd=SOURCE.parent
    ).stdout
    assert ast.literal_eval(loaded) == []


_EVERYTHING = """
import sys
from conductor_loop.cli import COMMANDS, main
for name in COMMANDS:
    main.get_command(None, name)
print([name for name in sys.modules if name.startswith(("aws_lambda_powertools", "prometheus_client"))])
"""
