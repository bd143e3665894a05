"""docs/secrets.md and docs/encryption.md: what they show is what there is."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from conductor_loop.cli import main
from conductor_loop.config import load
from conductor_loop.tokens import Document, Scope
from conductor_loop.tokens.stores import CA_FILE
from tests.unit.test_template import RESOURCES

DOCS = Path(__file__).parents[2] / "docs"
SECRETS, ENCRYPTION = ((DOCS / name).read_text() for name in ("secrets.md", "encryption.md"))
WIRING = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_document_in_the_documentation_is_one() -> None:
    example, _ = blocks(SECRETS, "json")
    (token,) = Document.parse(example).tokens()
    assert (token.name, token.scopes) == ("prometheus", frozenset({Scope.METRICS}))


def test_the_configuration_for_vault_in_the_documentation_is_valid() -> None:
    _, example = blocks(SECRETS, "json")
    vault = load(json.loads(example), WIRING).token_source.vault
    assert vault is not None
    assert vault.secrets_path == "secret/conductor-loop"
    assert str(CA_FILE) in SECRETS


def test_every_scope_is_documented() -> None:
    assert set(re.findall(r"^\| `([a-z:]+)` \| ", SECRETS, re.MULTILINE)) == set(Scope)


def test_every_command_in_the_documentation_is_one() -> None:
    shown = re.findall(r"^\$ conductor-loop token (\w+)(.*)$", SECRETS, re.MULTILINE)
    assert {name for name, _ in shown} == {"create", "list", "revoke"}
    for name, arguments in shown:
        known = CliRunner().invoke(main, ["token", name, "--help"]).stdout
        assert all(option in known for option in re.findall(r"--[a-z]+", arguments.partition("|")[0]))


def test_the_manifests_feed_the_secret_of_the_template() -> None:
    (text,) = blocks(SECRETS, "yaml")
    store, push = yaml.safe_load_all(text)
    assert push["spec"]["secretStoreRefs"] == [{"name": store["metadata"]["name"], "kind": "SecretStore"}]
    (match,) = push["spec"]["data"]
    named = RESOURCES["TokensSecret"]["Properties"]["Name"].replace("${AWS::StackName}", "conductor-loop")
    assert match["match"] == {"secretKey": "tokens.json", "remoteRef": {"remoteKey": named}}


def test_the_key_policy_lets_the_logs_of_every_function_in() -> None:
    (text,) = blocks(ENCRYPTION, "json")
    statements: dict[str, Any] = {statement["Sid"]: statement for statement in json.loads(text)}
    pattern = statements["EncryptLogLines"]["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    groups = [one["Properties"]["LogGroupName"] for one in RESOURCES.values() if one["Type"] == "AWS::Logs::LogGroup"]
    assert groups
    for stack in ("conductor-loop", "conductor-loop-prod", "edge"):
        for group in groups:
            name = group.replace("${AWS::StackName}", stack)
            assert fnmatchcase(name, pattern.partition(":log-group:")[2]), "whatever the stack is called"
