"""What porch writes where, and what it leaves alone."""

from pathlib import Path

import pytest

from porch.cli import main
from tests.unit.porch_program.support import PORCH, shell, write_intent

PACKAGE = "cnf-simulator-v1.0.0"


def porch(tmp_path: Path, out: Path) -> int:
    return main(["-intent", str(write_intent(tmp_path)), "-out", str(out)])


def test_the_output_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    assert porch(tmp_path, tmp_path / "a" / "b") == 0
    assert (tmp_path / "a" / "b" / PACKAGE / "Kptfile").is_file()


def test_nothing_but_the_package_appears(tmp_path: Path) -> None:
    porch(tmp_path, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["intent-daily-001.json", "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PACKAGE]


def test_a_second_run_replaces_the_files_and_keeps_what_others_put_there(tmp_path: Path) -> None:
    porch(tmp_path, tmp_path)
    (tmp_path / PACKAGE / "Kptfile").write_text("old and longer " * 100)
    (tmp_path / PACKAGE / "NOTES.txt").write_text("mine")
    assert porch(tmp_path, tmp_path) == 0
    assert (tmp_path / PACKAGE / "Kptfile").read_text().startswith('apiVersion: "kpt.dev/v1"\n')
    assert (tmp_path / PACKAGE / "NOTES.txt").read_text() == "mine"


def test_a_link_in_the_packages_place_is_not_followed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / PACKAGE).symlink_to(tmp_path / "elsewhere")
    assert porch(tmp_path, tmp_path) == 74
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert "is a link, not a directory" in capfd.readouterr().err


def test_a_link_in_a_files_place_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / PACKAGE / "Kptfile").symlink_to(tmp_path / "precious")
    (tmp_path / PACKAGE / "kustomization.yaml").hardlink_to(tmp_path / "precious")
    assert porch(tmp_path, tmp_path) == 0
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("occupied", ["out", f"out/{PACKAGE}", f"out/{PACKAGE}/Kptfile/inner"])
def test_something_else_in_the_way_is_an_output_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], occupied: str
) -> None:
    (tmp_path / occupied).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / occupied).write_text("in the way")
    assert porch(tmp_path, tmp_path / "out") == 74
    out, err = capfd.readouterr()
    assert (out, err[:7], err.count("\n")) == ("", "Error: ", 1)


def test_a_file_that_may_not_grow_is_an_output_error(tmp_path: Path) -> None:
    limited = f'ulimit -f 0; exec "{PORCH}" -intent "{write_intent(tmp_path)}" -out "{tmp_path}/out"'
    result = shell(limited)
    assert result.returncode == 74
    assert "cannot be written (File too large): make room" in result.stderr
