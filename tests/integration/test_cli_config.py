"""``conductor-loop config``, on moto's SSM; the stack itself is given."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from conductor_loop.cli import aws, config, main

DATA = Path(__file__).parents[1] / "data"
ENVIRONMENT = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_CONFIG_MAX_AGE": "9s", "CONDUCTOR_MAX_WORKERS": "8"}


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    outputs = {"ConfigParameter": "/stack/config", "ConductorFunction": "conductor"}
    monkeypatch.setattr(aws, "outputs", lambda _: outputs)
    monkeypatch.setattr(config, "_function", lambda _: {"Environment": {"Variables": ENVIRONMENT}})
    with mock_aws():
        boto3.client("ssm").put_parameter(Name="/stack/config", Value='{"log_level": "debug"}', Type="String")
        yield


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, arguments)])


def stored() -> str:
    return boto3.client("ssm").get_parameter(Name="/stack/config")["Parameter"]["Value"]


def test_keys_that_change_nothing_are_named_with_what_decides(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "CONDUCTOR_ACCESS_CONTROL_PRIORITY_PRINCIPALS"
    monkeypatch.setitem(ENVIRONMENT, variable, "AWS:oncall-*")
    principals = {"priority_principals": ["AWS:planner-*"]}
    document.write_text(json.dumps({"max_workers": 5, "log_level": "info", "access_control": principals}))
    said = [line.partition(": ") for line in run("push", document).stderr.splitlines()]
    idle = [rest for effect, _, rest in said if effect == "without effect"]
    assert [one.partition(": ")[0] for one in idle] == ["max_workers", "access_control.priority_principals"]
    assert idle[1].endswith(f": the variable {variable}; on Lambda, a template parameter sets it")


def test_show_names_the_source_of_each_value() -> None:
    lines = {line.split()[0]: line for line in run("show").stdout.splitlines()}
    assert '"debug"  (document)' in lines["log_level"]
    assert "8  (environment)  no effect; governed by the queues" in lines["max_workers"]
    assert '"structured"  (default)' in lines["mode"]
    assert json.loads(run("show", "--output", "json").stdout)["log_level"] == "debug"


def test_push_puts_a_good_document_and_says_from_when_it_counts(document: Path) -> None:
    document.write_text('{"mode": "direct"}')
    result = run("push", document)
    assert (result.exit_code, stored()) == (0, '{"mode": "direct"}')
    assert "version 2 is in force within 9s" in result.stderr
    assert "says the same" in run("push", document).stderr


def test_an_earlier_version_is_shown_as_it_was_pushed_and_can_be_pushed_again(document: Path) -> None:
    document.write_text('{"mode": "direct"}\n')
    assert run("push", document).exit_code == 0
    assert run("show", "--version", "2").stdout == '{"mode": "direct"}\n'
    document.write_text(run("show", "--version", "1", "--output", "json").stdout)
    assert run("push", document).exit_code == 0
    assert stored() == '{"log_level": "debug"}'


def test_a_version_that_is_not_kept_is_wrong_usage_and_the_others_are_named() -> None:
    result = run("show", "--version", "7")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no version 7 of /stack/config: 1 to 1 are kept" in result.stderr


def test_push_refuses_a_broken_document_and_changes_nothing() -> None:
    result = run("push", DATA / "ten-mistakes.json")
    assert (result.exit_code, stored()) == (1, '{"log_level": "debug"}')
    assert "$.max_worker: is not known; did you mean max_workers?" in result.stderr
    assert "nothing was changed" in result.stderr


def test_diff_prints_what_would_change(document: Path) -> None:
    document.write_text('{"processing": {"timeout": "45s"}, "max_workers": 9}')
    assert run("diff", document).stdout.splitlines() == [
        'log_level: "debug" -> "info"',
        'processing.timeout: "30s" -> "45s"',
    ], "the environment beats the document, so max_workers stays"


def test_a_broken_version_that_was_put_by_hand_is_named_and_the_one_before_is_shown(document: Path) -> None:
    boto3.client("ssm").put_parameter(Name="/stack/config", Value="not JSON", Overwrite=True)
    result = run("show")
    assert "version 2 is broken, and not in force" in result.stderr
    assert "version 1 of /stack/config" in result.stderr
    document.write_text("{}")
    assert run("push", document).exit_code == 0


def test_validate_config_prints_the_report_of_the_specification() -> None:
    result = CliRunner().invoke(main, [f"--config={DATA / 'spec/config.json'}", "--validate-config"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "Configuration validation: PASSED",
        "- Handoff directory: /data/handoff (not checked: name a stack with --stack)",
    ]
    assert "- Log level: info (valid)" in result.stdout
    assert "- log_format: CloudWatch Logs, which searches JSON: always json" in result.stdout


def test_validate_config_fails_with_one_line_for_each_mistake() -> None:
    result = CliRunner().invoke(main, [f"--config={DATA / 'ten-mistakes.json'}", "--validate-config"])
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 11)
    assert result.stdout.startswith("Configuration validation: FAILED\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config=nope", "--validate-config"],
        ["--validate-config"],
        [],
        ["--stack", "other", "config", "show"],
        ["--config=nope", "--validate-config", "config", "show"],
        ["config", "push", "/bin/sh"],
    ],
)
def test_a_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_a_document_that_cannot_be_read_is_named_with_the_reason(document: Path) -> None:
    result = CliRunner().invoke(main, [f"--config={document}", "--validate-config"])
    assert (result.exit_code, result.stderr) == (2, f"Error: {document}: there is no such file\n")
    result = CliRunner().invoke(main, [f"--config={document.parent}", "--validate-config"])
    assert result.stderr == f"Error: {document.parent} cannot be read: Is a directory; check its name and permissions\n"


def test_a_stack_without_a_document_goes_by_its_defaults_and_the_first_push_makes_the_parameter(document: Path) -> None:
    boto3.client("ssm").delete_parameter(Name="/stack/config")
    shown = run("show")
    assert (shown.exit_code, shown.stderr) == (0, "/stack/config has no good document: defaults\n")
    assert '"info"  (default)' in shown.stdout
    document.write_text("{}")
    assert "version 1 is in force within 9s" in run("push", document).stderr
    assert stored() == "{}"


def test_push_seals_the_document_with_the_key_of_the_stack(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    monkeypatch.setattr(config, "_function", lambda _: {"KMSKeyArn": key})
    boto3.client("ssm").delete_parameter(Name="/stack/config")
    document.write_text('{"mode": "direct"}')
    assert run("push", document).exit_code == 0
    (parameter,) = boto3.client("ssm").describe_parameters()["Parameters"]
    assert (parameter["Type"], parameter["KeyId"]) == ("SecureString", key)
    assert '"direct"  (document)' in run("show").stdout


class Ready(BaseHTTPRequestHandler):
    """Answers as /readyz may."""

    answer: ClassVar[tuple[int, bytes]]

    def do_GET(self) -> None:
        self.send_response(self.answer[0])
        self.send_header("Content-Length", "99" if self.answer[1] == b"cut off" else str(len(self.answer[1])))
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (200, b'{"checks": {"porch_available": "ok"}}', "executable, says http"),
        (503, b'{"checks": {"porch_available": "ok", "worker_pool": "failed"}}', "executable, says http"),
        (503, b'{"checks": {"porch_available": "failed"}}', "FAILED: /opt/bin/porch is missing, or not executable"),
        (401, b'{"error": {}}', "whether it can be run was not seen, since http"),
        (200, b"cut off", "whether it can be run was not seen, since http"),
        (200, b"[]", "whether it can be run was not seen, since http"),
    ],
)
def test_whether_porch_can_be_run_is_what_the_stack_says(
    status: int, text: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [{"Arn": "arn:aws:lambda:us-east-1:1:layer:porch:1"}]
    function = {"Environment": {"Variables": {"CONDUCTOR_PORCH_PATH": "/opt/bin/porch"}}, "Layers": layers}
    monkeypatch.setattr(config, "_function", lambda _: function)
    Ready.answer = (status, text)
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        Thread(target=server.handle_request).start()
        api = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(aws, "outputs", lambda _: {"ConductorFunction": "conductor", "ApiUrl": api})
        probes = config.probes("stack")
        _, lines = config.inspect("{}", {}, {"porch_path": probes["porch_path"]})
    assert says in next(line for line in lines if "Porch" in line)
