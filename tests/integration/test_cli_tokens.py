"""``conductor-loop token``, on moto's Secrets Manager; the stack itself is given."""

import json
import re
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from conductor_loop.cli import aws, config, main
from conductor_loop.storage import sdk
from conductor_loop.tokens import Document, Scope, Tokens, UnreadableTokens, mint
from conductor_loop.tokens.stores import TokensSecret

SECRET = "stack/tokens"  # noqa: S105 - its name


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    outputs = {"TokensSecret": SECRET, "ConfigParameter": "/stack/config", "ConductorFunction": "conductor"}
    monkeypatch.setattr(aws, "outputs", lambda _: outputs)
    monkeypatch.setattr(config, "_function", lambda _: {})
    with mock_aws():
        boto3.client("ssm").put_parameter(Name="/stack/config", Value="{}", Type="String")
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString='{"tokens": []}')
        yield


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["token", *map(str, arguments)])


def stored() -> str:
    # Named, because moto would otherwise take the version that was put in force last without a label being moved.
    return boto3.client("secretsmanager").get_secret_value(SecretId=SECRET, VersionStage="AWSCURRENT")["SecretString"]


def secret(**more: Any) -> TokensSecret:
    return TokensSecret(partial(sdk.client, "secretsmanager"), SECRET, **more)


def test_a_created_token_is_shown_once_and_kept_as_a_digest() -> None:
    result = run("create", "--scope", "metrics", "--name", "prometheus")
    clear = result.stdout.strip()
    assert re.fullmatch(r"clt_[0-9a-f]{16}_[0-9a-f]{64}", clear)
    assert clear not in stored() + result.stderr
    client = Tokens(secret().read, lambda: 0.0).verify(clear, now=0)
    assert client is not None
    assert (client.name, client.scopes) == ("prometheus", frozenset({Scope.METRICS}))


def test_a_revoked_token_authenticates_no_caller() -> None:
    clear = run("create", "--scope", "health").stdout.strip()
    assert run("revoke", clear.split("_")[1]).exit_code == 0
    assert Tokens(secret().read, lambda: 0.0).verify(clear, now=0) is None


def test_a_list_names_id_scopes_and_end_and_no_digest() -> None:
    clear = run("create", "--scope", "health", "--scope", "metrics", "--expires", "1h").stdout.strip()
    (line,) = run("list").stdout.splitlines()
    assert line.startswith(f"{clear.split('_')[1]}\tunnamed\thealth,metrics\tgood until ")
    (entry,) = json.loads(run("list", "--output", "json").stdout)
    assert entry.keys() == {"id", "name", "scopes", "created", "expires"}


@pytest.mark.parametrize(
    "arguments",
    [["create"], ["create", "--scope", "all"], ["create", "--scope", "health", "--expires", "soon"],
     ["create", "--scope", "health", "--expires", "0s"], ["create", "--scope", "health", "--name", "\n"]],
)  # fmt: skip
def test_what_makes_no_sense_is_wrong_usage_and_changes_nothing(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert stored() == '{"tokens": []}'


def test_revoking_an_unknown_token_says_where_to_look() -> None:
    result = run("revoke", "0" * 16)
    assert (result.exit_code, stored()) == (2, '{"tokens": []}')
    assert "conductor-loop token list" in result.stderr


def test_a_stack_that_reads_from_vault_is_not_given_tokens_that_it_never_reads() -> None:
    document = {"secrets": {"vault": {"enabled": True, "address": "https://vault.example"}}}
    boto3.client("ssm").put_parameter(Name="/stack/config", Value=json.dumps(document), Overwrite=True)
    result = run("create", "--scope", "health")
    assert (result.exit_code, stored(), result.stdout) == (1, '{"tokens": []}', "")
    assert "change a file with --document" in result.stderr


def test_a_secret_with_something_else_in_it_is_left_alone() -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="not mine")
    result = run("create", "--scope", "health")
    assert (result.exit_code, stored(), result.stdout) == (1, "not mine", "")
    assert run("list").exit_code == 1
    with pytest.raises(UnreadableTokens):
        secret().read()


def test_a_document_that_external_secrets_pushed_is_read_and_changed_as_well() -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretBinary=b'{"tokens": []}')
    assert run("create", "--scope", "health").exit_code == 0
    assert len(secret().read().tokens()) == 1


def test_bytes_that_are_no_text_are_no_document() -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretBinary=b"\xff")
    with pytest.raises(UnreadableTokens):
        secret().read()


def test_tokens_can_be_kept_in_a_file_for_vault_and_kubernetes(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    clear = run("create", "--scope", "metrics", "--document", file).stdout.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Tokens(lambda: Document.parse(file.read_text()), lambda: 0.0).verify(clear, now=0)
    assert run("revoke", clear.split("_")[1], "--document", file).exit_code == 0
    assert (run("list", "--document", file).stdout, stored()) == ("", '{"tokens": []}')


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"[" * 100_000, b'{"tokens": "' + b"[" * 100_000 + b'"}', b"", b"{", b'{"tokens": {}}'],
)
@pytest.mark.parametrize("command", [("list",), ("create", "--scope", "health"), ("revoke", "0" * 16)])
def test_a_file_that_is_no_document_of_tokens_is_reported_in_a_line_and_left_alone(
    command: tuple[str, ...], content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.json"
    file.write_bytes(content)
    result = run(*command, "--document", file)
    assert (result.exit_code, result.stdout, file.read_bytes()) == (1, "", content)
    assert result.stderr.startswith("Error: the document of tokens is not ")
    assert result.stderr.count("\n") == 1


def test_a_token_that_lasts_for_ever_and_one_with_a_strange_name_can_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token, _ = mint("old", [Scope.HEALTH], 0, 1, random=bytes(40))
    written = token.entry() | {"created": "0001-01-01T00:00:00+14:00", "expires": "9999-12-31T23:59:59.999999-14:00"}
    file.write_text(json.dumps({"tokens": [written | {"name": "\ud800\x1b[2J\nroot"}]}))
    result = run("list", "--document", file)
    assert result.stdout == f"{token.id}\t??[2J?root\thealth\tgood until 9999-12-31 23:59 UTC\n"
    (entry,) = json.loads(run("list", "--output", "json", "--document", file).stdout)
    assert (entry["created"], entry["expires"]) == ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


def test_a_token_cannot_outlive_the_calendar(tmp_path: Path) -> None:
    result = run("create", "--scope", "health", "--expires", "999999999d", "--document", tmp_path / "tokens.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "before the year 10000" in result.stderr


def test_a_file_that_a_crash_left_beside_does_not_pass_on_its_permissions(tmp_path: Path) -> None:
    beside, file = tmp_path / ".tokens.json.new", tmp_path / "tokens.json"
    beside.write_text("half of")
    beside.chmod(0o644)
    assert run("create", "--scope", "health", "--document", file).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_token_is_lost_when_many_are_made_and_revoked_at_once() -> None:
    """All read the same version before the first writes: the most that a race can do."""
    everybody_has_read = threading.Barrier(6)

    def create(number: int) -> None:
        made, _ = mint(f"n{number}", [Scope.HEALTH], 0, 1e10, random=number.to_bytes(40, "little"))
        first = True

        def edit(found: Document) -> Document:
            nonlocal first
            if first:
                first = False
                everybody_has_read.wait(10)
            return found.added(made, 0)

        secret(wait=lambda _: None).change(edit)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(create, range(6)))
    assert {token.name for token in secret().read().tokens()} == {f"n{number}" for number in range(6)}


def test_a_version_that_lost_is_never_in_force() -> None:
    made, _ = mint("late", [Scope.HEALTH], 0, 1e10, random=bytes(40))
    rounds = []

    def edit(found: Document) -> Document:
        rounds.append(found)
        if len(rounds) == 1:  # another writer is faster
            boto3.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString='{"tokens": [], "theirs": 1}')
        return found.added(made, 0)

    secret(wait=lambda _: None).change(edit)
    assert json.loads(stored()) == {"tokens": [made.entry()], "theirs": 1}
    assert len(rounds) == 2
