"""What the template encrypts: everything, with AWS's keys or with the site's own; held here where no tool looks."""

from typing import Any

import pytest

from conductor_loop.config import load
from tests.roles import many
from tests.unit.test_template import RESOURCES, TEMPLATE

OWN = ["HasOwnKey", "KmsKeyArn", "AWS::NoValue"]  # !If [HasOwnKey, !Ref KmsKeyArn, !Ref AWS::NoValue]


def of(kind: str) -> list[str]:
    return [name for name, resource in RESOURCES.items() if resource["Type"] == kind]


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


@pytest.mark.parametrize("name", of("AWS::S3::Bucket"))
def test_a_bucket_is_encrypted_either_way_and_asks_for_the_key_now_and_then_only(name: str) -> None:
    (rule,) = properties(name)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": ["HasOwnKey", "aws:kms", "AES256"], "KMSMasterKeyID": OWN},
        "BucketKeyEnabled": ["HasOwnKey", True, "AWS::NoValue"],
    }


@pytest.mark.parametrize("name", of("AWS::DynamoDB::Table"))
def test_a_table_is_encrypted_with_the_key_or_with_dynamodbs_own(name: str) -> None:
    own = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "KmsKeyArn"}
    assert properties(name)["SSESpecification"] == ["HasOwnKey", own, {"SSEEnabled": False}]


@pytest.mark.parametrize("name", of("AWS::SQS::Queue"))
def test_a_queue_is_encrypted_either_way(name: str) -> None:
    assert properties(name)["KmsMasterKeyId"] == OWN
    assert properties(name)["SqsManagedSseEnabled"] == ["HasOwnKey", "AWS::NoValue", True]


@pytest.mark.parametrize("name", [*of("AWS::Logs::LogGroup"), *of("AWS::SecretsManager::Secret")])
def test_logs_and_secrets_are_encrypted_with_the_key_if_there_is_one(name: str) -> None:
    assert properties(name)["KmsKeyId"] == OWN


@pytest.mark.parametrize("name", of("AWS::Serverless::Function"))
def test_a_functions_variables_are_encrypted_with_the_key_which_its_role_may_use(name: str) -> None:
    assert properties(name)["KmsKeyArn"] == OWN
    assert properties(name)["Role"].removesuffix(".Arn") in properties("KeyPolicy")["Roles"]


def test_roles_may_use_the_key_through_the_services_that_store_and_not_otherwise() -> None:
    statements = properties("KeyPolicy")["PolicyDocument"]["Statement"]
    assert {one for statement in statements for one in many(statement["Resource"])} == {"KmsKeyArn"}
    assert all("kms:ViaService" in statement["Condition"]["StringEquals"] for statement in statements)
    assert RESOURCES["KeyPolicy"]["Condition"] == "HasOwnKey"


def test_the_function_that_reads_and_moves_inputs_knows_which_key_is_the_sites_own() -> None:
    variables = properties("ConductorFunction")["Environment"]["Variables"]
    assert variables["CONDUCTOR_KMS_KEY"] == "KmsKeyArn"
    assert (
        load({}, {"CONDUCTOR_STATE_TABLE": "t", "CONDUCTOR_QUEUE_NORMAL": "q", "CONDUCTOR_KMS_KEY": "k"}).kms_key == "k"
    )


def test_the_configuration_is_no_resource_of_the_stack_so_that_no_deploy_puts_another_in_its_place() -> None:
    assert of("AWS::SSM::Parameter") == []
    name = TEMPLATE["Outputs"]["ConfigParameter"]["Value"]
    for function in {*of("AWS::Serverless::Function")} - {"AuditFunction"}:  # which goes by no configuration
        assert properties(function)["Environment"]["Variables"]["CONDUCTOR_CONFIG_PARAMETER"] == name
    services = properties("KeyPolicy")["PolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]["kms:ViaService"]
    assert "ssm.${AWS::Region}.${AWS::URLSuffix}" in services, "it is encrypted with the key of the stack"


def test_the_bucket_and_every_queue_refuse_what_does_not_come_over_tls() -> None:
    assert set(properties("QueuePolicy")["Queues"]) == set(of("AWS::SQS::Queue"))
    for name in ("HandoffBucketPolicy", "AuditBucketPolicy", "QueuePolicy"):
        (statement,) = properties(name)["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
