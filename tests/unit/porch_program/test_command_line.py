"""What a caller sees: flags, stdout, stderr, exit codes."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from porch.cli import main
from tests.unit.porch_program.support import PORCH, run, shell, write_intent


def test_direct_mode_prints_the_three_lines_of_the_specification_and_that_it_is_offline(tmp_path: Path) -> None:
    known = {"PORCH_PREVIOUS_VERSION": "v1.2.2", "PORCH_PREVIOUS_REPLICAS": "1"}
    result = run("-intent", write_intent(tmp_path), "-out", tmp_path / "out", **known)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Package successfully created: cnf-simulator-v1.2.3\n"
        "Deployment target: oran-sim/cnf-simulator\n"
        "Replicas updated: 1 -> 3\n"
        "Delivery: package\n"
    )


def test_direct_mode_says_unknown_for_replicas_that_are(tmp_path: Path) -> None:
    result = run("-intent", write_intent(tmp_path), "-out", tmp_path / "out")
    assert "\nReplicas updated: unknown -> 3\n" in result.stdout


@pytest.mark.parametrize(("known", "previous"), [({}, None), ({"PORCH_PREVIOUS_REPLICAS": "0"}, 0)])
def test_structured_mode_prints_the_document_of_the_specification(
    tmp_path: Path, known: dict[str, str], previous: int | None
) -> None:
    result = run("-intent", write_intent(tmp_path), "-out", tmp_path / "out", "-structured", **known)
    document = json.loads(result.stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document.pop("timestamp"))
    assert re.fullmatch(r"\d+\.\d\ds", document.pop("duration"))
    assert document == {
        "status": "success",
        "package_name": "cnf-simulator-v1.0.0",
        "deployment": {
            "namespace": "oran-sim",
            "name": "cnf-simulator",
            "previous_replicas": previous,
            "new_replicas": 3,
        },
        "delivery": "package",
    }


@pytest.mark.parametrize("spelling", ["-intent {} -out {}", "-out={1} -intent={0}", "--intent {} --out={}"])
def test_flags_are_read_as_go_programs_read_theirs(tmp_path: Path, spelling: str) -> None:
    words = shlex.split(spelling.format(write_intent(tmp_path), tmp_path / "out"))
    assert run(*words).returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "the following arguments are required: -intent/--intent, -out/--out"),
        ("-intent", "argument -intent/--intent: expected one argument"),
        ("-intent= -out b", "argument -intent/--intent: it needs a path"),
        ("-intent a -out b extra", "unrecognized arguments: extra"),
        ("-intent a -out b -frob", "unrecognized arguments: -frob"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_next_step(
    words: str, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 64
    assert capfd.readouterr() == ("", f"Error: {complaint}; run porch -help for the usage\n")


def test_a_dry_run_without_a_cluster_writes_the_package_and_says_so(tmp_path: Path) -> None:
    result = run("-dry-run", "-intent", write_intent(tmp_path), "-out", tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("Delivery: package\nDry run: nothing was changed elsewhere\n")
    assert (tmp_path / "out/cnf-simulator-v1.0.0/Kptfile").exists()


@pytest.mark.parametrize("flag", ["-help", "--help", "-h"])
def test_help_goes_to_stdout_and_names_every_exit_code(flag: str) -> None:
    result = run(flag)
    assert (result.returncode, result.stderr) == (0, "")
    codes = "0 1 2 3 4 5 64 70 71 74 76 78 124 127 130"
    assert re.findall(r"^  (\d+) ", result.stdout, re.MULTILINE) == codes.split()


def test_the_example_of_the_help_runs_as_it_stands(tmp_path: Path) -> None:
    example = run("-help").stdout.partition("example:\n")[2]
    result = shell(f'cd "{tmp_path}"; porch() {{ "{PORCH}" "$@"; }}\n{example}')
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "packages" / "cnf-simulator-v1.0.0" / "Kptfile").is_file()


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"porch \d+\.\d+\.\d+\n", run("-version").stdout)


@pytest.mark.parametrize("stdout", [">/dev/full", ">&-"])
def test_an_answer_that_cannot_be_printed_is_no_success(tmp_path: Path, stdout: str) -> None:
    result = shell(f'"{PORCH}" -intent "{write_intent(tmp_path)}" -out "{tmp_path}/out" {stdout}')
    assert result.returncode == 74
    assert result.stderr.startswith("Error: the answer cannot be printed (")


def test_an_exit_code_survives_a_closed_stderr() -> None:
    assert shell(f'"{PORCH}" 2>&-').returncode == 64


def test_too_little_memory_is_not_mistaken_for_an_invalid_intent(tmp_path: Path) -> None:
    path = write_intent(tmp_path, metadata={"list": [[]] * 2_000_000})
    result = shell(f'ulimit -v 100000; "{PORCH}" -intent "{path}" -out "{tmp_path}/out"')
    assert (result.returncode, result.stderr) == (
        71,
        "Error: out of memory: raise the limit, or send a smaller intent\n",
    )


def test_a_fault_of_porch_itself_is_not_mistaken_for_an_invalid_intent(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([7]) == 70  # type: ignore[list-item] # only something impossible gets this far
    assert capfd.readouterr().err.startswith("Error: porch itself failed (TypeError(")


def test_a_program_without_its_library_is_not_mistaken_for_an_invalid_intent(tmp_path: Path) -> None:
    shutil.copy(PORCH, tmp_path / "porch")
    result = shell(f'"{tmp_path}/porch" -version')
    assert result.returncode == 127
    assert result.stderr.startswith("Error: porch cannot start (No module named 'porch'): ")


def test_porch_runs_through_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "porch").symlink_to(PORCH)
    assert shell(f'"{tmp_path}/porch" -version').returncode == 0
