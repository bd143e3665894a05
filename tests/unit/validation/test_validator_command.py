import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conductor_loop.validator import main
from tests.unit.validation.intents import body
from tests.unit.validation.test_report import EXAMPLES, FIVE_ERRORS

ROOT = Path(__file__).parents[3]


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {
        "intent-good.json": body(),
        "intent-bad.json": body(**FIVE_ERRORS),
        "schema.json": json.dumps({"required": ["colour"]}).encode(),
        "broken.json": b'{"type": "integr"}',
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents} | {"nowhere": tmp_path / "nowhere.json", "folder": tmp_path}


def test_every_example_of_the_specification_is_valid() -> None:
    result = run(*EXAMPLES)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{path}: valid" for path in EXAMPLES]


def test_the_command_of_the_specification_works_as_written() -> None:
    schema = ROOT / "schemas" / "intent.schema.json"
    result = run("--security-mode=strict", f"--schema={schema}", f"--file={EXAMPLES[0]}")
    assert (result.exit_code, result.stdout) == (0, f"{EXAMPLES[0]}: valid\n")


def test_a_file_with_five_errors_shows_all_five_in_one_run(files: dict[str, Path]) -> None:
    result = run(files["intent-bad.json"])
    assert result.exit_code == 1
    heading, *lines = result.stdout.splitlines()
    assert heading.endswith("intent-bad.json: invalid, E003 SCHEMA_VIOLATION, threat level MEDIUM, 5 violations")
    assert [line.split(":")[0] for line in lines] == [
        "  $.target breaks pattern",
        "  $.replicas breaks type",
        "  $.reason breaks blocked_characters",
        "  $.namespace breaks system_namespaces",
        "  $.timeout breaks timeout",
    ]


def test_one_invalid_file_among_several_makes_the_exit_code_1(files: dict[str, Path]) -> None:
    result = run(files["intent-good.json"], "--file", files["intent-bad.json"], "--file", files["intent-good.json"])
    assert result.exit_code == 1
    assert result.stdout.count(": valid") == 2


@pytest.mark.parametrize(("content", "code"), [(body(), 0), (b"", 1)])
def test_a_hyphen_reads_standard_input(content: bytes, code: int) -> None:
    result = run("-", stdin=content)
    assert result.exit_code == code
    assert result.stdout.startswith("standard input: ")


def test_json_output_is_one_object_per_file_and_line(files: dict[str, Path]) -> None:
    result = run("--output", "json", files["intent-good.json"], files["intent-bad.json"])
    good, bad = map(json.loads, result.stdout.splitlines())
    assert (good["valid"], good["violations"], good["threat_level"]) == (True, [], "NONE")
    assert (bad["file"], bad["valid"], bad["code"]) == (str(files["intent-bad.json"]), False, "E003")
    assert len(bad["violations"]) == 5


@pytest.mark.parametrize("name", ["nowhere", "folder"])
def test_a_file_that_cannot_be_read_is_a_usage_error_and_the_others_are_still_validated(
    files: dict[str, Path], name: str
) -> None:
    result = run(files[name], files["intent-good.json"])
    assert result.exit_code == 2
    wrong = {"nowhere": "cannot be read", "folder": f"name its files, e.g. {files['folder']}/intent-*.json"}
    assert wrong[name] in result.stderr
    assert result.stdout.endswith("intent-good.json: valid\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--security-mode=lax", "intent-good.json"),
        ("--max-replicas=1001", "intent-good.json"),
        ("--max-file-size=0", "intent-good.json"),
        ("--max-file-size=10MB", "intent-good.json"),
        ("--schema", "nowhere", "intent-good.json"),
        ("--schema", "broken.json", "intent-good.json"),
        ("--colour", "intent-good.json"),
    ],
)
def test_a_wrong_call_is_exit_code_2_with_the_reason_on_standard_error(
    files: dict[str, Path], arguments: tuple[str, ...]
) -> None:
    result = run(*(files.get(argument, argument) for argument in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_options_change_the_rules(files: dict[str, Path]) -> None:
    assert run("-", stdin=body(reason="(a)")).exit_code == 1
    assert run("--security-mode=standard", "-", stdin=body(reason="(a)")).exit_code == 0
    assert run("-", stdin=body(replicas=500)).exit_code == 1
    assert run("--max-replicas=500", "-", stdin=body(replicas=500)).exit_code == 0
    assert "$.colour breaks required" in run("--schema", files["schema.json"], files["intent-good.json"]).stdout


def test_further_system_namespaces_add_to_the_list() -> None:
    more = ("--system-namespace=payments", "--system-namespace", "infra-*")
    assert run("-", stdin=body(namespace="payments")).exit_code == 0
    for namespace in ("payments", "infra-dns", "istio-system", "kube-system"):
        assert "$.namespace breaks system_namespaces" in run(*more, "-", stdin=body(namespace=namespace)).stdout
    assert run(*more, "-", stdin=body(namespace="shop")).exit_code == 0


def test_the_size_of_a_file_can_be_limited() -> None:
    content = body()
    assert run(f"--max-file-size={len(content)}", "-", stdin=content).exit_code == 0
    assert "E002 FILE_TOO_LARGE" in run(f"--max-file-size={len(content) - 1}", "-", stdin=content).stdout


def test_a_file_above_the_limit_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "intent-large.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file of a terabyte
    result = run(path)
    assert result.exit_code == 1
    assert "E002 FILE_TOO_LARGE" in result.stdout


@pytest.mark.parametrize(
    "name", ["intent-with space.json", "intent-.json", "myfile.json", "intent-a.JSON", f"intent-{'a' * 189}.json"]
)
def test_a_name_that_the_service_refuses_makes_the_file_invalid(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(body())
    result = run("--output=json", path)
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (answer["valid"], answer["error_code"], answer["code"]) == (False, "INVALID_NAME", "E001")
    assert [(one["path"], one["rule"]) for one in answer["violations"]] == [("$", "name")]


def test_a_wrong_name_is_reported_together_with_what_the_content_breaks(tmp_path: Path) -> None:
    path = tmp_path / "my intent.json"
    for content, number in ((body(**FIVE_ERRORS), 6), (b"{", 2)):
        path.write_bytes(content)
        heading, *lines = run(path).stdout.splitlines()
        assert "E001 INVALID_NAME" in heading
        assert lines[0].startswith("  $ breaks name: ")
        assert len(lines) == number


def test_a_hostile_file_name_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "intent-\x1b[31m\n.json"
    path.write_bytes(body())
    assert run(path).output.count("\n") == 2
    assert "\x1b" not in run(path).output


def test_more_violations_than_are_listed_are_announced() -> None:
    content = json.dumps({str(number): 1 for number in range(500)}).encode()
    assert "more than 100 violations" in run("-", stdin=content).stdout


def test_the_help_names_every_exit_code_and_its_examples_run(files: dict[str, Path]) -> None:
    text = run("--help").stdout
    assert all(f"\n    {code}  " in text for code in range(3))
    result = run("--file", files["intent-good.json"], "--security-mode=strict")
    assert result.exit_code == 0


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("conductor-loop-validator")
    result = subprocess.run([command, "-"], input=body(), capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (0, b"standard input: valid\n")
