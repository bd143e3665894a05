"""The layer as SAM builds it: the program, its byte code, nothing else, and it runs from there."""

import importlib.util
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.unit.porch_program.support import PATH, PORCH, shell, write_intent

UNCHECKED_HASH = b"\x01\x00\x00\x00"  # PEP 552: the flag word of a .pyc that is never compared with its source


def modules(home: Path) -> set[Path]:
    return {path.relative_to(home) for path in (home / "lib" / "porch").rglob("*.py")}


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    artifacts = tmp_path_factory.mktemp("layer")
    command = ["make", "-s", "-C", str(PORCH.parents[1]), "build-PorchLayer", f"ARTIFACTS_DIR={artifacts}"]
    subprocess.run(command, env={"PATH": PATH}, check=True)
    return artifacts


def test_the_program_is_executable_for_everybody(layer: Path) -> None:
    assert stat.S_IMODE((layer / "bin" / "porch").stat().st_mode) == 0o755


def test_the_layer_holds_the_program_and_nothing_else(layer: Path) -> None:
    assert sorted(path.name for path in layer.iterdir()) == ["bin", "lib"]
    assert sorted(path.name for path in (layer / "lib").iterdir()) == ["porch", "vendor"]
    assert modules(layer) == modules(PORCH.parents[1])


def test_the_libraries_are_those_of_the_requirements_and_run_on_any_processor(layer: Path) -> None:
    required = re.findall(r"^(\w+)==([\d.]+)", (PORCH.parents[1] / "requirements.txt").read_text(), re.MULTILINE)
    installed = sorted(path.name.removesuffix(".dist-info") for path in (layer / "lib" / "vendor").glob("*.dist-info"))
    assert installed == [f"{name}-{version}" for name, version in required]
    assert list(layer.rglob("*.so")) == []


def test_the_layer_talks_to_clusters_with_its_own_libraries(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("current-context: somewhere")
    arguments = f'-intent "{write_intent(tmp_path)}" -out "{tmp_path}/out" -kubeconfig "{tmp_path}/kubeconfig"'
    result = shell(f'"{layer}/bin/porch" {arguments}')
    assert result.returncode == 78  # read by PyYAML, and found wanting
    assert "contexts has no context named 'somewhere'" in result.stderr


def test_every_module_is_compiled_and_never_compared_with_its_source(layer: Path) -> None:
    for module in (layer / "lib").rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert compiled[4:8] == UNCHECKED_HASH


def test_the_byte_code_names_the_place_where_lambda_mounts_layers(layer: Path) -> None:
    compiled = Path(importlib.util.cache_from_source(str(layer / "lib" / "porch" / "cli.py"))).read_bytes()
    assert b"/opt/lib/porch/cli.py" in compiled
    assert str(layer).encode() not in compiled


def test_the_program_runs_from_the_layer_by_its_byte_code_alone(layer: Path, tmp_path: Path) -> None:
    shutil.copytree(layer, tmp_path / "opt")
    for module in (tmp_path / "opt" / "lib" / "porch").rglob("*.py"):
        module.write_text("raise SystemExit('the source was compiled again')")
    result = shell(f'"{tmp_path}/opt/bin/porch" -intent "{write_intent(tmp_path)}" -out "{tmp_path}/out"')
    assert (result.returncode, result.stderr) == (0, "")
