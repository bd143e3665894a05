"""Least privilege: each role has what its function and Lambda itself need, and nothing beside that."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name

from dev.template import RESOURCES, TEMPLATE
from tests.imports import rests_on
from tests.roles import FUNCTIONS, granted, many, may, plain, role_of, statements

ROLES = {role_of(name): name for name in FUNCTIONS}
C, S, A, T = "ConductorRole", "SweeperRole", "ApiRole", "AuditRole"
BUCKET = "HandoffBucket"
POLLED = {
    "SQS": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "DynamoDB": ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
}
WITHOUT_RESOURCES = {"dynamodb:ListStreams", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}  # IAM knows none
CALLED_AS = {  # operations whose action is named otherwise
    "s3:GetObjectVersion": {"get_object", "head_object", "copy_object"},
    "s3:DeleteObjectVersion": {"delete_object"},
    "s3:ListBucket": {"list_objects_v2", "get_object", "head_object"},  # without it what is not there is 403
    "s3:ListBucketVersions": {"list_object_versions"},
    "dynamodb:PutItem": {"put_item", "transact_write_items"},
    "dynamodb:DeleteItem": {"delete_item", "transact_write_items"},
    "lambda:InvokeFunction": {"invoke"},
}


def platform(function: str) -> Iterator[tuple[str, str]]:
    """Give what Lambda itself does with the role of a function: the embedded AWS does not ask for it."""
    given = FUNCTIONS[function]
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield action, given["LoggingConfig"]["LogGroup"]
    for event in given.get("Events", {}).values():
        source = event["Properties"].get("Queue") or event["Properties"].get("Stream")
        yield from ((action, plain(source)) for action in POLLED.get(event["Type"], ()))
    if any(event["Type"] == "DynamoDB" for event in given.get("Events", {}).values()):
        yield "dynamodb:ListStreams", "*"
    failures = given.get("EventInvokeConfig", {}).get("DestinationConfig", {}).get("OnFailure")
    if failures:
        yield "sqs:SendMessage", plain(failures["Destination"])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_what_lambda_itself_needs(role: str) -> None:
    assert set(platform(ROLES[role])) <= granted(role)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_allows_only_what_lambda_does_and_what_code_of_its_function_calls(role: str) -> None:
    module = FUNCTIONS[ROLES[role]]["Handler"].rpartition(".")[0]
    words: set[str] = set()
    for path in rests_on(module):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        words |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        words |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    own = {action for action, _ in granted(role) - set(platform(ROLES[role]))}
    of_keys = {action for action in own if action.startswith(("kms:", "xray:"))}  # services use the key, and trace
    for action in own - of_keys:
        assert words & CALLED_AS.get(action, {xform_name(action.partition(":")[2])}), action


@pytest.mark.parametrize("role", ROLES)
def test_a_statement_has_a_name_and_says_which_actions_and_what_of_this_stack(role: str) -> None:
    names = [statement["Sid"] for statement in statements(role)]
    assert len(set(names)) == len(names)
    for action, resource in granted(role):
        assert re.fullmatch(r"\w+:\w+\*?", action)
        assert "*" not in action or action.startswith("kms:")
        ours = re.match(r"\w+", resource)
        of_stack = ours and (ours[0] in RESOURCES or ours[0] in TEMPLATE["Parameters"])
        named = "StackName" in resource or "EksClusterName" in resource or "AuditLogs" in resource
        assert of_stack or named or action in WITHOUT_RESOURCES, (action, resource)


LIVE = "live/ns/target/kustomization.yaml"  # never removed, as an answer
ANSWERS = ("status/intent-a.json.status", LIVE, "processed/intent-a.json", "failed/intent-a.json")
PACKAGE = "packages/ns/target/target-v1.0.0/Kptfile"
QUEUES = ("HighQueue", "NormalQueue", "LowQueue")


def _who() -> Iterator[Any]:
    """Say who may do what to what: the promises about the things that a stack keeps."""
    yield "s3:PutObject", f"{BUCKET}/intent-a.json", {A}  # nothing of ours makes an intent but the API
    yield "s3:PutObject", f"{BUCKET}/{PACKAGE}", {C}
    for key in ANSWERS:
        yield "s3:PutObject", f"{BUCKET}/{key}", {C}
        yield "s3:DeleteObject", f"{BUCKET}/{key}", set()  # an answer stays until it expires
        yield "s3:DeleteObjectVersion", f"{BUCKET}/{key}", set()
    yield "s3:DeleteObject", f"{BUCKET}/intent-a.json", set()  # whose newest version is perhaps another one
    yield "s3:DeleteObjectVersion", f"{BUCKET}/intent-a.json", {C}
    yield "s3:DeleteObjectVersion", f"{BUCKET}/stray.txt", {C}
    yield "s3:DeleteObjectVersion", f"{BUCKET}/intent-archive/a.json", set()  # a key in a folder is none of ours
    yield "s3:DeleteObject", f"{BUCKET}/{PACKAGE}", set()
    yield "s3:DeleteObjectVersion", f"{BUCKET}/{PACKAGE}", {S}  # of an attempt that came to nothing
    yield "s3:GetObject", f"{BUCKET}/processed/intent-a.json", {C}  # no one reads it through the API
    for queue in QUEUES:
        yield "sqs:SendMessage", queue, {C, S} if queue == "NormalQueue" else {C}
        yield "sqs:ReceiveMessage", queue, {C}
        yield "sqs:ChangeMessageVisibility", queue, {C}
    yield "sqs:SendMessage", "DeadLetterQueue", set()  # SQS itself moves messages there
    yield "sqs:ReceiveMessage", "DeadLetterQueue", set()
    yield "lambda:InvokeFunction", "ConductorFunction", set()
    yield "s3:PutObject", "AuditBucket/audit/1.jsonl", {T}
    yield "logs:PutLogEvents", "AuditLogs", {T}


@pytest.mark.parametrize(("action", "resource", "roles"), list(_who()))
def test_who_may_do_what(action: str, resource: str, roles: set[str]) -> None:
    assert {role for role in ROLES if may(role, action, resource)} == roles


@pytest.mark.parametrize(
    "key", ["intent#intent-a.json", "target#ns/a", "name#intent-a.json", "correlation#c", "lease#"]
)
def test_the_api_changes_no_row_that_decides(key: str) -> None:
    assert not [
        action
        for action in ("UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
        if may(A, f"dynamodb:{action}", "StateTable", LeadingKeys=key)
    ]


@pytest.mark.parametrize("key", ["ratelimit#address#192.0.2.1", "audit#api/request-1"])
def test_the_api_limits_and_notes_calls(key: str) -> None:
    assert may(A, "dynamodb:UpdateItem", "StateTable", LeadingKeys=key)


@pytest.mark.parametrize("action", ["PutItem", "DeleteItem"])
def test_counters_are_written_by_their_function_alone_which_decides_nothing(action: str) -> None:
    for key in ("counter#shards", "audit#shards"):
        assert may(T, f"dynamodb:{action}", "StateTable", LeadingKeys=key)
        assert not may(A, f"dynamodb:{action}", "StateTable", LeadingKeys=key)
    for key in ("intent#intent-a.json", "target#ns/a", "audit#api/request-1", "audit#config"):
        assert not may(T, f"dynamodb:{action}", "StateTable", LeadingKeys=key)


@pytest.mark.parametrize(("prefix", "allowed"), [("intent-a.json", True), ("", False), ("packages/", False)])
def test_the_api_lists_versions_of_intents_only(prefix: str, *, allowed: bool) -> None:
    assert may(A, "s3:ListBucketVersions", BUCKET, prefix=prefix) is allowed


@pytest.mark.parametrize("prefix", ["status", "packages", "processed", "failed"])
def test_who_replaces_conditionally_may_read(prefix: str) -> None:
    """S3 wants GetObject for If-Match, and the embedded AWS does not: so it is held here."""
    key = f"{BUCKET}/{prefix}/some/key"
    assert {role for role in ROLES if may(role, "s3:PutObject", key) and not may(role, "s3:GetObject", key)} == set()


@pytest.mark.parametrize("action", ["s3:GetObjectVersion", "s3:DeleteObjectVersion"])
def test_packages_that_came_to_nothing_are_deleted_by_the_sweeper_alone(action: str) -> None:
    """It does so after a worker died or was late, which no end-to-end test can bring about at will."""
    assert {role for role in ROLES if may(role, action, f"{BUCKET}/{PACKAGE}")} == {S}


@pytest.mark.parametrize("role", [C, S])
def test_what_is_gone_is_answered_by_404_and_not_by_403(role: str) -> None:
    assert may(role, "s3:ListBucket", BUCKET)


@pytest.mark.parametrize(
    "action", ["ssm:PutParameter", "secretsmanager:PutSecretValue", "iam:PassRole", "s3:PutBucketPolicy"]
)
def test_no_function_changes_configuration_tokens_or_policies(action: str) -> None:
    assert [role for role in ROLES if any(may(role, action, resource) for _, resource in granted(role))] == []


def test_tokens_are_read_by_the_api_alone() -> None:
    readers = {role for role in ROLES for action, resource in granted(role) if "/tokens-" in resource and action}
    assert readers == {A}


@pytest.mark.parametrize("parameter", ["KubeconfigSecretArn", "EksClusterName"])
def test_credentials_of_porch_are_read_by_the_conductor_alone_and_only_where_they_are_asked_for(parameter: str) -> None:
    policies = {
        name: one
        for name, one in RESOURCES.items()
        if one["Type"].startswith("AWS::IAM") and parameter in str(one["Properties"])
    }
    assert TEMPLATE["Parameters"][parameter]["Default"] == ""
    for one in policies.values():
        assert one["Properties"]["Roles"] == [C]
        assert parameter in str(TEMPLATE["Conditions"][one["Condition"]])
    ((_, only),) = policies.items()
    (statement,) = only["Properties"]["PolicyDocument"]["Statement"]
    assert (len(many(statement["Action"])), statement["Effect"]) == (1, "Allow")
