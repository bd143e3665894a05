"""What is said where the region, the endpoint, the profile or the network is not what the command needs."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from conductor_loop.cli import main
from tests.factories import BUCKET

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
HERE = KEYS | {"AWS_REGION": "us-east-1"}
type Set = Callable[..., None]


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Give what sets the only variables of AWS that there are, on a machine that has nothing else."""
    for name in [*(name for name in os.environ if name.startswith("AWS_")), "HANDOFF_BUCKET", "STACK_NAME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "")  # put back afterwards, whatever the command sets
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    def set_up(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_up


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def line(result: Result, code: int) -> str:
    """Give the only line that a command has printed."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    (said,) = result.stderr.splitlines()
    return said


# ---------------------------------------------------------------- the region


@pytest.mark.usefixtures("stacks")
def test_aws_region_counts_and_the_region_that_was_looked_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    said = line(run("list", "--stack", "conductor-loop"), 2)
    assert "there is no stack conductor-loop in eu-west-1: name another with --stack, or another region" in said
    assert "(used: keys of AWS_ACCESS_KEY_ID, region eu-west-1, stack conductor-loop)" in said
    monkeypatch.setenv("AWS_REGION", "")  # as if it were not set
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    assert "in us-east-2" in line(run("list", "--stack", "conductor-loop"), 2)


@pytest.mark.usefixtures("aws")
def test_logs_name_the_region_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "conductor-loop/conductor in eu-west-1" in line(run("logs", "--stack", "conductor-loop"), 2)


# ---------------------------------------------------------------- what is set wrongly on this machine


@pytest.mark.parametrize(
    "endpoint",
    ["foo", "http://", "https://", "ftp://x", "http://[::1", "http://a b", "localhost:4566", " ", "http://127.0.0.1:x"],
)
@pytest.mark.parametrize("command", [("list",), ("status", "intent-a.json"), ("logs",), ("config", "show")])
def test_an_endpoint_that_is_no_url_is_wrong_usage(endpoint: str, command: tuple[str, ...], set_up: Set) -> None:
    set_up(**HERE, AWS_ENDPOINT_URL=endpoint)
    said = line(run(*command), 2)
    assert "; correct AWS_ENDPOINT_URL, e.g. http://127.0.0.1:4566, or unset it (used: " in said


def test_an_endpoint_of_one_service_is_named_as_it_was_set(set_up: Set) -> None:
    set_up(**HERE, AWS_ENDPOINT_URL_S3="foo", HANDOFF_BUCKET=BUCKET)
    assert "correct AWS_ENDPOINT_URL_S3" in line(run("status", "intent-a.json"), 2)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (
            KEYS,
            "to us-east-1; for the local stack: make up (used: keys of AWS_ACCESS_KEY_ID, region none",
        ),
        (KEYS | {"AWS_REGION": "eu west"}, "set AWS_REGION"),
        ({"AWS_REGION": "us-east-1"}, "set AWS_PROFILE, or sign in: aws configure, aws sso login"),
        (
            {"AWS_REGION": "us-east-1", "AWS_PROFILE": "nope"},
            "(nope) could not be found; set AWS_PROFILE to one of: aws configure list-profiles (used: profile nope, ",
        ),
        ({"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "half"}, "missing: AWS_SECRET_ACCESS_KEY; set AWS_PROFILE"),
        (HERE | {"AWS_CONFIG_FILE": "broken"}, "Unable to parse config file"),
        (HERE | {"AWS_RETRY_MODE": "never"}, "correct the AWS_ variables"),
        (HERE | {"AWS_MAX_ATTEMPTS": "many"}, "correct the AWS_ variables"),
        ({"AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "sso", "AWS_PROFILE": "s"}, "sign in: aws sso login"),
    ],
)
def test_what_is_not_set_or_cannot_be_used_is_wrong_usage(
    variables: dict[str, str], says: str, set_up: Set, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("[default\n")
    sso = "sso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"
    (tmp_path / "sso").write_text(f"[profile s]\n{sso}")
    set_up(**variables)
    said = line(run("list"), 2)
    assert says in said
    assert "stack conductor-loop)" in said


def test_an_aws_that_is_silent_exits_with_4_and_what_was_used(set_up: Set) -> None:
    set_up(**HERE, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    said = line(run("list"), 4)
    assert said.startswith("AWS does not answer: ")
    assert "region us-east-1, endpoint http://127.0.0.1:9, stack conductor-loop)" in said


# ---------------------------------------------------------------- answers that are not AWS's

PAGES = [
    (200, "text/html", b"<html><body>Log in <br> here</body></html>"),
    (200, "text/html", b"<?xml version='1.0'?><html><body>Log in</body></html>"),
    (200, "application/json", b'{"message": "log in"}'),
    (200, "text/html", b""),
    (302, "text/html", b""),
    (403, "text/html", b"<html>no</html>"),
]


@contextmanager
def portal(code: int, kind: str, body: bytes, **headers: str) -> Iterator[str]:
    """Answer every request with a page; the URL."""

    class Page(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:9/login")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("code", "kind", "body"), PAGES)
def test_a_captive_portal_is_not_taken_for_aws(code: int, kind: str, body: bytes, set_up: Set) -> None:
    with portal(code, kind, body) as url:
        set_up(**HERE, AWS_ENDPOINT_URL=url)
        for command in (("list",), ("status", "intent-a.json", "--bucket", BUCKET), ("logs",), ("token", "list")):
            said = line(run(*command), 2)
            assert f"what answered is not AWS (HTTP {code}, {kind}); check AWS_ENDPOINT_URL, HTTPS_PROXY" in said


@pytest.mark.parametrize("body", [b"<html><body>a site in a bucket</body></html>", b'<?xml version="1.0"?><a>b</a>'])
def test_a_page_that_aws_serves_is_not_taken_for_an_answer(body: bytes, set_up: Set) -> None:
    """A site of S3, CloudFront or API Gateway has a request's id, too."""
    with portal(200, "text/html", body, x_amzn_requestid="1", x_amz_request_id="1") as url:
        set_up(**HERE, AWS_ENDPOINT_URL=url)
        said = line(run("list"), 2)
    assert "what answered is not AWS: its answer cannot be read; check AWS_ENDPOINT_URL" in said


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "check AWS_CA_BUNDLE, and whether AWS_ENDPOINT_URL is to begin with http or https"),
        ({"AWS_CA_BUNDLE": "/no/such/file"}, "check AWS_CA_BUNDLE"),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "correct HTTPS_PROXY and HTTP_PROXY, or unset them"),
    ],
)
def test_tls_or_a_proxy_that_do_not_fit_are_wrong_usage(variables: dict[str, str], says: str, set_up: Set) -> None:
    with portal(200, "text/html", b"plain HTTP") as url:
        set_up(**HERE, AWS_ENDPOINT_URL=url.replace("http:", "https:"), AWS_MAX_ATTEMPTS="1", **variables)
        assert says in line(run("list"), 2)


# ---------------------------------------------------------------- what is said before AWS is asked


@pytest.mark.parametrize("command", ["push", "diff"])
def test_a_document_that_is_not_json_is_reported_before_any_call_to_aws(
    command: str, set_up: Set, tmp_path: Path
) -> None:
    set_up()  # no region, no keys: AWS could not be asked
    (tmp_path / "config.json").write_text("{not json")
    result = run("config", command, "config.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("$: is not JSON (")
    assert "region" not in result.stderr


# ---------------------------------------------------------------- completion


def completed(*typed: str, beginning: str) -> list[str]:
    """Give what Tab offers."""
    return [one.value for one in ShellComplete(main, {}, "conductor-loop", "").get_completions([*typed], beginning)]


@pytest.mark.parametrize("command", ["status", "logs", "package", "diff", "retry", "audit show"])
def test_tab_completes_names_of_what_waits_and_of_what_was_answered(
    command: str, aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HANDOFF_BUCKET", BUCKET)
    keys = ("intent-b.json", "status/intent-a.json.status", "status/intent-a.json@v1.status", "status/x.json.status")
    for key in (*keys, "processed/intent-c.json", "packages/ns/intent-d/Kptfile"):
        aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"")
    asked = command.split() + (["--bucket", BUCKET] if command not in {"logs", "audit show"} else [])
    found = completed(*asked, beginning="intent-")
    assert found == (["intent-a.json", "intent-b.json"] if "--bucket" in asked else [])  # there is no stack
    assert completed("status", beginning="x") == ["x.json"]


def test_tab_finds_the_bucket_of_the_stack(
    aws: boto3.session.Session, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    stacks["mine"] = {"HandoffBucket": BUCKET}
    aws.client("s3").put_object(Bucket=BUCKET, Key="intent-b.json", Body=b"")
    assert completed("logs", "--stack", "mine", beginning="intent-") == ["intent-b.json"]
    assert completed("logs", "--stack", "yours", beginning="intent-") == []


def test_tab_looks_in_the_region_of_aws_region(set_up: Set) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        set_up(**HERE | {"AWS_REGION": "eu-west-1"}, AWS_ENDPOINT_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert completed("status", beginning="intent-") == []
        deaf.settimeout(0)  # what was asked waits to be taken
        with deaf.accept()[0] as asked:
            assert b"/eu-west-1/cloudformation/" in asked.recv(65_536)


@pytest.mark.parametrize("endpoint", ["foo", "http://127.0.0.1:9", "silent", ""])
def test_tab_is_silent_and_does_not_hang_where_aws_cannot_be_asked(
    endpoint: str, set_up: Set, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never answers
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}" if endpoint == "silent" else endpoint
        set_up(**({**HERE, "AWS_ENDPOINT_URL": url} if url else {}))
        assert completed("status", beginning="intent-") == []
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- the profile


def test_a_profile_that_is_named_is_never_passed_over_in_silence(set_up: Set) -> None:
    set_up(**HERE, AWS_PROFILE="prod", AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    said = run("list").stderr.splitlines()[0]
    assert said.startswith("profile prod is not used, but the keys and the endpoint http://127.0.0.1:9 of the")
    assert "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL" in said


def test_a_profile_whose_keys_would_go_to_the_local_endpoint_is_said_to(set_up: Set, tmp_path: Path) -> None:
    """The keys of .local/env were unset, but not its endpoint."""
    (tmp_path / "credentials").write_text("[prod]\naws_access_key_id = p\naws_secret_access_key = q\n")
    place = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1", "STACK_NAME": "conductor-loop"}
    set_up(AWS_PROFILE="prod", AWS_SHARED_CREDENTIALS_FILE="credentials", AWS_MAX_ATTEMPTS="1", **place)
    first, second = run("list").stderr.splitlines()
    assert first.startswith("profile prod is used at http://127.0.0.1:9, the endpoint of the environment; for AWS: ")
    assert first.endswith("unset AWS_ENDPOINT_URL AWS_REGION STACK_NAME")
    assert "(used: profile prod, " in second
