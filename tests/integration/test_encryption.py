"""What a stack's stores say of their encryption, on moto."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from conductor_loop.cli.config import STATE, Store, encryption_status, find_stores, inspect
from conductor_loop.storage.measures import Counters
from conductor_loop.storage.parameters import ConfigParameter

NAMES = ("AWS::SSM::Parameter", "/stack/config")


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


def new_key() -> str:
    return boto3.client("kms").create_key()["KeyMetadata"]["Arn"]


def made(key: str = "", *, managed_queue: str = "true", logs_key: str | None = None) -> list[tuple[str, str]]:
    """Make one store of each kind; CloudFormation's list of them."""
    boto3.client("s3").create_bucket(Bucket="handoff")
    rule: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
    boto3.client("s3").put_bucket_encryption(Bucket="handoff", ServerSideEncryptionConfiguration=rules)
    boto3.client("dynamodb").create_table(
        TableName="state",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key} if key else {"Enabled": False},
    )
    sealed = {"KmsMasterKeyId": key} if key else {"SqsManagedSseEnabled": managed_queue}
    url = boto3.client("sqs").create_queue(QueueName="high", Attributes=sealed)["QueueUrl"]  # type: ignore[arg-type]
    logs_key = key if logs_key is None else logs_key
    boto3.client("logs").create_log_group(logGroupName="/logs", **({"kmsKeyId": logs_key} if logs_key else {}))  # type: ignore[arg-type]
    more: Any = {"KmsKeyId": key} if key else {}
    boto3.client("secretsmanager").create_secret(Name="tokens", SecretString="{}", **more)
    return [
        ("AWS::S3::Bucket", "handoff"),
        ("AWS::DynamoDB::Table", "state"),
        ("AWS::SQS::Queue", url),
        ("AWS::Logs::LogGroup", "/logs"),
        ("AWS::SecretsManager::Secret", "tokens"),
        ("AWS::IAM::Role", "role"),
    ]


def report(flag: bool, stores: Callable[[], list[Store]], key: str = "") -> tuple[bool, str]:
    """Inspect a document that says whether the state is to be encrypted; whether that is so, and the line about it."""
    probes = {"security.encryption.state_encryption": lambda: encryption_status(stores(), key, STATE)}
    passed, lines = inspect(json.dumps({"security": {"encryption": {"state_encryption": flag}}}), {}, probes)
    return passed, next(line for line in lines if line.startswith("- State encryption"))


def test_without_a_key_of_its_own_the_stack_is_encrypted_with_those_of_aws() -> None:
    found = find_stores(made(), "")
    reported = "1 bucket, 1 table, 1 queue, 1 secret: encrypted with keys of AWS"
    assert report(flag=True, stores=lambda: found) == (True, f"- State encryption: true ({reported})")


def test_with_a_key_of_its_own_everything_is_encrypted_with_it() -> None:
    key = new_key()
    found = find_stores(made(key), key)
    assert encryption_status(found, key, STATE).endswith(f"encrypted with {key}")
    assert encryption_status(found, key, ["log group"]) == f"1 log group: encrypted with {key}"


def test_a_configuration_is_a_store_once_it_was_pushed_and_pushed_again_it_has_the_key() -> None:
    key, client = new_key(), boto3.client("ssm")
    assert find_stores([NAMES], key) == []
    parameter = ConfigParameter(lambda: client, NAMES[1])
    parameter.put("{}", "")
    assert encryption_status(find_stores([NAMES], ""), "", STATE) == "1 parameter: encrypted with keys of AWS"
    with pytest.raises(OSError, match=f"not with {key}: parameter /stack/config; push the configuration again"):
        encryption_status(find_stores([NAMES], key), key, STATE)
    parameter.put('{"mode": "direct"}', key)
    assert encryption_status(find_stores([NAMES], key), key, STATE) == f"1 parameter: encrypted with {key}"
    assert (parameter.newest().text, parameter.newest().version) == ('{"mode": "direct"}', "2")
    assert [one.text for one in parameter.earlier()] == ["{}"]


def test_stores_with_another_key_are_named() -> None:
    key = new_key()
    with pytest.raises(OSError, match=f"not with {key}: log group /logs; deploy the stack again"):
        encryption_status(find_stores(made(key, logs_key=""), key), key, ["log group"])


def test_an_unencrypted_store_fails_where_encryption_was_asked_for_and_is_reported_otherwise() -> None:
    found = find_stores(made(managed_queue="false"), "")
    reported = "not encrypted: queue high; deploy the stack again"
    assert report(flag=True, stores=lambda: found) == (False, f"- State encryption: true (FAILED: {reported})")
    assert report(flag=False, stores=lambda: found) == (True, f"- State encryption: false ({reported})")


def test_a_key_that_is_switched_off_fails() -> None:
    key = new_key()
    resources = made(key)
    boto3.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    passed, line = report(flag=True, stores=lambda: find_stores(resources, key))
    assert not passed
    assert f"{key} is Disabled: nothing can be read until it is enabled again" in line


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"TableStatus": "ACTIVE"}, "enabled"),
        ({"TableStatus": "ACTIVE", "SSEDescription": {"Status": "ENABLED"}}, "enabled"),
        ({"TableStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}, "impaired"),
        ({"TableStatus": "ACTIVE", "SSEDescription": {"InaccessibleEncryptionDateTime": 1}}, "impaired"),
    ],
)
def test_health_reports_the_encryption_that_dynamodb_describes(table: dict[str, Any], expected: str) -> None:
    client: Any = SimpleNamespace(describe_table=lambda **_: {"Table": table})
    assert Counters(client, "state").encryption_status() == expected
