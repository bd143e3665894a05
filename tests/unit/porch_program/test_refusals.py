"""What porch refuses, with which exit code and which words; never with a traceback, never with something written."""

import os
from pathlib import Path
from typing import Any

import pytest

from porch.cli import main
from tests.unit.porch_program.support import write_intent


class FailedRun:
    """Runs porch on something wrong and keeps what it answered."""

    def __init__(self, tmp_path: Path, capfd: pytest.CaptureFixture[str], path: Path) -> None:
        out = tmp_path / "out"
        self.code = main(["-intent", str(path), "-out", str(out)])
        self.stdout, self.stderr = capfd.readouterr()
        self.wrote = out.exists()


def refuse(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> str:
    path = tmp_path / "intent-bad.json"
    path.write_bytes(content)
    return check(FailedRun(tmp_path, capfd, path))


def check(run: FailedRun) -> str:
    assert run.code == 1
    assert run.stdout == ""
    assert not run.wrote
    assert all(line.startswith("Error: ") for line in run.stderr.splitlines())
    return run.stderr


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"intent_type": "delete"}, "$.intent_type is 'delete': make it the text \"scaling\""),
    ({"target": ""}, "$.target is ''"),
    ({"target": "-a"}, "$.target is '-a'"),
    ({"target": "a\n"}, "$.target is 'a\\n'"),
    ({"target": "../../etc"}, "$.target is '../../etc'"),
    ({"target": "a" * 254}, "$.target is 'aaaa"),
    ({"target": 7}, "$.target is 7: make it a Deployment's name"),
    ({"target": "\u0430"}, "$.target is '\\u0430'"),
    ({"namespace": "a.b"}, "$.namespace is 'a.b'"),
    ({"replicas": -1}, "$.replicas is -1: make it an integer from 0 to 2147483647"),
    ({"replicas": 2**31}, "$.replicas is 2147483648"),
    ({"replicas": 10**4000}, "$.replicas is 1000"),
    ({"replicas": True}, "$.replicas is true"),
    ({"replicas": None}, "$.replicas is null"),
    ({"reason": {"a": 1}}, "$.reason is an object"),
    ({"reason": "a" * 513}, "$.reason is 'aaaa"),
    ({"reason": "\ud83d"}, "$.reason is '\\ud83d'"),
    ({"reason": "\x7f"}, "$.reason is '\\x7f'"),
    ({"reason": "\uffff"}, "$.reason is '\\uffff'"),
    ({"source": "hacker"}, "$.source is 'hacker': make it user, planner, test or automation"),
    ({"correlation_id": ""}, "$.correlation_id is ''"),
    ({"correlation_id": "a" * 65}, "$.correlation_id is 'aaaa"),
    ({"priority": "urgent"}, "$.priority is 'urgent'"),
    ({"timeout": "\u0663s"}, "$.timeout is '\\u0663s'"),
    ({"metadata": []}, "$.metadata is an array: make it an object"),
    ({"extra": 1}, "'extra' is no field of an intent: remove it"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_a_broken_rule_is_named_with_its_field_and_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    answer = check(FailedRun(tmp_path, capfd, write_intent(tmp_path, **changes)))
    assert answer.startswith(f"Error: {words}")
    assert answer.count("Error: ") == 1
    assert len(answer) < 300


NOT_JSON = [
    (b"", "is not JSON"),
    (b"{", "is not JSON"),
    (b"{}{}", "Extra data"),
    (b"[]", "$ must be an object"),
    (b"null", "$ must be an object"),
    (b'{"replicas": NaN}', "NaN is not a JSON value"),
    (b'{"replicas": 1, "replicas": 9}', "a key occurs twice"),
    (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    (b'{"reason": "a\nb"}', "is not JSON"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (b"\xff\xfe", "is not UTF-8 at byte 0"),
    (b'{"reason": "\xed\xa0\x80"}', "is not UTF-8 at byte 12"),
    (b" " * (10 * 1024 * 1024 + 1), "is larger than 10485760 bytes"),
]


@pytest.mark.parametrize(("content", "words"), NOT_JSON)
def test_what_is_not_one_json_object_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    assert words in refuse(tmp_path, capfd, content)


def test_every_broken_rule_is_reported_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer = refuse(tmp_path, capfd, b'{"target": "A", "replicas": -1, "extra": 1}')
    for field in ("$.intent_type is required", "$.namespace is required", "'extra'", "$.target is", "$.replicas is"):
        assert f"Error: {field}" in answer


def test_a_flood_of_wrong_fields_gives_a_short_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flood: dict[str, Any] = {f"{number}{'x' * 1000}": number for number in range(1000)}
    answer = check(FailedRun(tmp_path, capfd, write_intent(tmp_path, "intent-flood.json", **flood)))
    assert len(answer) < 10_000


def test_a_deeply_nested_value_of_the_wrong_kind_is_named_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nested = b'{"target": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert "$.target is an array" in refuse(tmp_path, capfd, nested)


def test_a_missing_file_is_an_invalid_intent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "No such file or directory" in check(FailedRun(tmp_path, capfd, tmp_path / "intent-none.json"))


def test_a_directory_is_an_invalid_intent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "irectory" in check(FailedRun(tmp_path, capfd, tmp_path))


def test_a_fifo_does_not_keep_porch_waiting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "intent-pipe.json")
    assert "is not a regular file" in check(FailedRun(tmp_path, capfd, tmp_path / "intent-pipe.json"))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = write_intent(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert main(["-intent", str(path), "-out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("variable", ["PORCH_PREVIOUS_VERSION", "PORCH_PREVIOUS_REPLICAS"])
@pytest.mark.parametrize("value", ["1.0.3", "v1.0", "v1.0.3-rc1", "v01.0.0", "v1.0.\u0663", "v1.0.99999999999", "-1"])
def test_a_malformed_environment_is_wrong_usage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["-intent", str(write_intent(tmp_path)), "-out", str(tmp_path / "out")]) == 64
    assert capfd.readouterr().err.startswith(f"Error: {variable} is ")
    assert not (tmp_path / "out").exists()
