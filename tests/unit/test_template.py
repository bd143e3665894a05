"""What the template promises, read from the file itself."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.template import RESOURCES, TEMPLATE

__all__ = ["RESOURCES", "TEMPLATE", "granted"]


def granted(statements: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """List what statements allow: action and resource."""
    return {
        (action, resource)
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    }


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_is_described_bounded_and_has_a_default(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert parameter["Description"]
    assert "Default" in parameter
    assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)


def test_every_output_is_described() -> None:
    assert all(output["Description"] for output in TEMPLATE["Outputs"].values())


def test_the_role_has_these_permissions_of_the_platform_and_no_others() -> None:
    """Lambda itself uses them, and the embedded AWS does not ask for them: so they are held here."""
    (policy,) = RESOURCES["ConductorRole"]["Properties"]["Policies"]
    queues = ("HighQueue.Arn", "NormalQueue.Arn", "LowQueue.Arn")
    assert granted(policy["PolicyDocument"]["Statement"]) == {
        ("logs:CreateLogStream", "ConductorLogs.Arn"),
        ("logs:PutLogEvents", "ConductorLogs.Arn"),
        ("sqs:SendMessage", "UnansweredQueue.Arn"),
        *(("sqs:ReceiveMessage", queue) for queue in queues),
        *(("sqs:DeleteMessage", queue) for queue in queues),
        *(("sqs:GetQueueAttributes", queue) for queue in queues),
    }


PARAMETER = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/${AWS::StackName}/config"


def test_the_sweeper_may_do_this_and_no_more() -> None:
    (policy,) = RESOURCES["SweeperRole"]["Properties"]["Policies"]
    allowed = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    (denied,) = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
    answers = [f"${{HandoffBucket.Arn}}/{prefix}/*" for prefix in ("status", "processed", "failed")]
    assert granted([denied]) == {("s3:DeleteObjectVersion", answer) for answer in answers}
    assert granted(allowed) == {
        ("logs:CreateLogStream", "SweeperLogs.Arn"),
        ("logs:PutLogEvents", "SweeperLogs.Arn"),
        ("s3:ListBucketVersions", "HandoffBucket.Arn"),
        ("s3:ListBucket", "HandoffBucket.Arn"),
        ("s3:GetObjectVersion", "${HandoffBucket.Arn}/*"),
        ("s3:DeleteObjectVersion", "${HandoffBucket.Arn}/*"),
        *(("s3:PutObject", answer) for answer in answers),
        *(("s3:GetObject", answer) for answer in answers),
        ("dynamodb:DeleteItem", "StateTable.Arn"),
        ("dynamodb:PutItem", "StateTable.Arn"),
        ("dynamodb:GetItem", "StateTable.Arn"),
        ("dynamodb:BatchGetItem", "StateTable.Arn"),
        ("dynamodb:UpdateItem", "StateTable.Arn"),
        ("dynamodb:Query", "${StateTable.Arn}/index/active"),
        ("ssm:GetParameter", PARAMETER),
        ("ssm:GetParameterHistory", PARAMETER),
        ("sqs:SendMessage", "NormalQueue.Arn"),
        ("lambda:InvokeFunction", "ConductorFunction.Arn"),
    }


def test_the_role_may_read_what_it_replaces_conditionally() -> None:
    """S3 wants GetObject for If-Match, and the embedded AWS does not: so it is held here."""
    statements = RESOURCES["ConductorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    for prefix in ("status", "packages", "processed", "failed"):
        assert ("s3:GetObject", f"${{HandoffBucket.Arn}}/{prefix}/*") in granted(statements)


def test_the_role_may_take_back_what_came_to_nothing() -> None:
    """It does so after a worker died or was late, which no end-to-end test can bring about at will."""
    statements = RESOURCES["ConductorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    for action in ("s3:GetObjectVersion", "s3:DeleteObjectVersion"):
        assert (action, "${HandoffBucket.Arn}/packages/*") in granted(statements)


def test_the_api_may_do_this_and_no_more() -> None:
    statements = RESOURCES["ApiPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    queues, secret = (
        ("HighQueue.Arn", "NormalQueue.Arn", "LowQueue.Arn"),
        PARAMETER.replace(":ssm:", ":secretsmanager:"),
    )
    assert granted(statements) == {
        ("s3:PutObject", "${HandoffBucket.Arn}/intent-*"),
        ("s3:ListBucketVersions", "HandoffBucket.Arn"),
        ("s3:GetObject", "${HandoffBucket.Arn}/status/*"),
        ("s3:GetObject", "${HandoffBucket.Arn}/failed/intent-*"),
        ("s3:ListBucket", "HandoffBucket.Arn"),
        *(("dynamodb:Query", f"{table}") for table in ("StateTable.Arn", "${StateTable.Arn}/index/by-day")),
        ("dynamodb:Query", "${StateTable.Arn}/index/active"),
        ("dynamodb:BatchGetItem", "StateTable.Arn"),
        ("dynamodb:DescribeTable", "StateTable.Arn"),
        ("dynamodb:UpdateItem", "StateTable.Arn"),
        *(("sqs:GetQueueAttributes", queue) for queue in (*queues, "DeadLetterQueue.Arn")),
        ("ssm:GetParameter", PARAMETER),
        ("ssm:GetParameterHistory", PARAMETER),
        (
            "secretsmanager:GetSecretValue",
            secret.partition(":parameter")[0] + ":secret:${AWS::StackName}/tokens-??????",
        ),
    }
    (write,) = [one for one in statements if one["Action"] == "dynamodb:UpdateItem"]
    keys = ["ratelimit#*", "counter#*", "audit#api/*"]
    assert write["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}


def test_who_publishes_the_audit_trail_may_do_this_and_no_more() -> None:
    (policy,) = RESOURCES["AuditRole"]["Properties"]["Policies"]
    group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${AuditLogs}"
    stream = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
    assert granted(policy["PolicyDocument"]["Statement"]) == {
        *(("logs:CreateLogStream", where) for where in ("AuditFunctionLogs.Arn", "AuditLogs.Arn", group)),
        *(("logs:PutLogEvents", where) for where in ("AuditFunctionLogs.Arn", "AuditLogs.Arn", group)),
        *((action, "StateTable.StreamArn") for action in stream),
        ("dynamodb:ListStreams", "*"),
    }
    export = RESOURCES["AuditBucketAccess"]["Properties"]["PolicyDocument"]["Statement"]
    assert granted(export) == {("s3:PutObject", "${AuditBucket.Arn}/audit/*")}


def test_the_export_is_locked_for_as_long_as_entries_are_kept() -> None:
    """The embedded AWS leaves a bucket from a template unlocked: so it is held here."""
    bucket, trail = RESOURCES["AuditBucket"]["Properties"], RESOURCES["AuditLogs"]["Properties"]
    lock = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert bucket["ObjectLockEnabled"] is True
    assert lock["Days"] == trail["RetentionInDays"]
    assert "AuditLock" in str(lock["Mode"])
    assert RESOURCES["AuditBucket"]["DeletionPolicy"] == "Retain"
    assert RESOURCES["AuditLogs"]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_nobody_but_its_publisher_may_touch_the_audit_trail() -> None:
    others = {name: one for name, one in RESOURCES.items() if one["Type"] in _POLICIES and name != "AuditRole"}
    assert [name for name, one in others.items() if "AuditLogs" in yaml.dump(one)] == []
    assert [name for name, one in others.items() if "AuditBucket" in yaml.dump(one)] == ["AuditBucketAccess"]


_POLICIES = {"AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}


def test_the_api_takes_tls_1_3_only_and_logs_no_credentials() -> None:
    for api in ("Api", "ApiDomain"):
        assert RESOURCES[api]["Properties"]["SecurityPolicy"] == "SecurityPolicy_TLS13_1_3_2025_09"
        assert RESOURCES[api]["Properties"]["EndpointAccessMode"] == "STRICT"
    assert "MutualTlsAuthentication" in RESOURCES["MtlsDomain"]["Properties"]
    log = RESOURCES["Api"]["Properties"]["AccessLogSetting"]["Format"].lower()
    assert not [
        word for word in ("header", "authorization", "apikey", "querystring", "context.path", "body") if word in log
    ]


def test_no_statement_grants_everything() -> None:
    for name in ("ConductorPolicy", "ConductorRole", "ApiPolicy", "ApiRole"):
        text = yaml.dump(RESOURCES[name])
        assert "Resource: '*'" not in text
        assert ":*'" not in text


def test_the_bucket_is_versioned_private_encrypted_and_expires_what_is_settled() -> None:
    bucket = RESOURCES["HandoffBucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    expiring = {rule.get("Prefix") for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule}
    assert expiring == {"processed/", "failed/", "status/"}


def test_no_version_in_the_root_expires_before_its_answer() -> None:
    rules = RESOURCES["HandoffBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {
        rule.get("Prefix", ""): rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
        if "NoncurrentVersionExpiration" in rule
    }
    answers = ("processed/", "failed/", "status/", "packages/")
    assert expiring == dict.fromkeys(answers, "RetentionDays") | {"intent-": 365}
    assert {"ExpiredObjectDeleteMarker"} <= {key for rule in rules for key in rule}


def test_every_alarm_goes_where_alarms_go() -> None:
    alarms = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert alarms
    for alarm in alarms:
        assert alarm["AlarmActions"] == [
            "MakesAlarmTopic",
            ["AlarmTopic"],
            ["HasOwnAlarmTopics", "AlarmTopicArns", "AWS::NoValue"],
        ]


@pytest.mark.parametrize("queue", ["DeadLetterQueue", "UnansweredQueue"])
def test_what_nobody_takes_from_a_queue_sets_off_an_alarm(queue: str) -> None:
    watched = [
        dimension["Value"]
        for one in RESOURCES.values()
        for dimension in one["Properties"].get("Dimensions", [])
        if one["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert f"{queue}.QueueName" in watched


def test_throttled_sweeps_do_not_pile_up() -> None:
    invoked = RESOURCES["SweeperFunction"]["Properties"]["EventInvokeConfig"]
    assert invoked == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_every_key_that_the_function_may_write_is_one_that_the_pipeline_writes() -> None:
    statements = RESOURCES["ConductorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (write,) = [statement for statement in statements if statement["Action"] == "s3:PutObject"]
    assert {resource.partition("/")[2] for resource in write["Resource"]} == {
        "status/*",
        "packages/*",
        "processed/*",
        "failed/*",
    }


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_overrides_of_samconfig_are_parameters_with_allowed_values(environment: str) -> None:
    written = tomllib.loads((Path(__file__).parents[2] / "samconfig.toml").read_text())
    for override in written[environment]["deploy"]["parameters"]["parameter_overrides"].split():
        name, _, value = override.partition("=")
        parameter = TEMPLATE["Parameters"][name]
        assert value in map(str, parameter.get("AllowedValues", [value]))
        if parameter["Type"] == "Number":
            assert parameter.get("MinValue", int(value)) <= int(value) <= parameter.get("MaxValue", int(value))


@pytest.mark.parametrize(
    ("name", "condition", "grant"),
    [
        (
            "KubeconfigSecretPolicy",
            "HasKubeconfigSecret",
            ("secretsmanager:GetSecretValue", "KubeconfigSecretArn"),
        ),
        (
            "EksClusterPolicy",
            "HasEksCluster",
            (
                "eks:DescribeCluster",
                "arn:${AWS::Partition}:eks:${AWS::Region}:${AWS::AccountId}:cluster/${EksClusterName}",
            ),
        ),
    ],
)
def test_credentials_of_porch_are_one_grant_that_is_there_when_it_is_asked_for(
    name: str, condition: str, grant: tuple[str, str]
) -> None:
    policy = RESOURCES[name]
    assert policy["Condition"] == condition
    assert policy["Properties"]["Roles"] == ["ConductorRole"]
    assert granted(policy["Properties"]["PolicyDocument"]["Statement"]) == {grant}
    assert TEMPLATE["Parameters"][grant[1].rpartition("/")[2].strip("${}")]["Default"] == ""


def test_nothing_else_is_made_for_a_cluster() -> None:
    conditional = [
        name for name, one in RESOURCES.items() if one.get("Condition") in {"HasKubeconfigSecret", "HasEksCluster"}
    ]
    assert sorted(conditional) == ["EksClusterPolicy", "KubeconfigSecretPolicy"]


def test_what_api_gateway_answers_by_itself_is_an_error_in_the_specifications_shape_that_repeats_nothing() -> None:
    responses = RESOURCES["Api"]["Properties"]["GatewayResponses"]
    for name, response in responses.items():
        template = response["ResponseTemplates"]["application/json"]
        assert "messageString" not in template, name  # API Gateway's own may repeat the Authorization header
        error = json.loads(template)["error"]
        assert {"code", "message", "details", "timestamp"} <= error.keys(), name
        assert error["details"] == {"request_id": "$context.requestId"}, name
        assert {"X-Request-Id", "Strict-Transport-Security", "X-Content-Type-Options"} <= set(
            response["ResponseParameters"]["Headers"]
        ), name
    statuses = {name: response.get("StatusCode") for name, response in responses.items()}
    assert statuses["MISSING_AUTHENTICATION_TOKEN"] == statuses["INVALID_SIGNATURE"] == 404
    assert (statuses["THROTTLED"], statuses["REQUEST_TOO_LARGE"], statuses["DEFAULT_5XX"]) == (429, 413, 500)


def test_a_domain_without_its_certificate_is_refused_before_anything_is_made() -> None:
    text = json.dumps(TEMPLATE["Rules"])
    assert all(name in text for name in TEMPLATE["Parameters"] if name.startswith(("ApiMtls", "ApiDomain", "ApiTrust")))


def test_no_domain_takes_less_than_tls_1_3_but_the_one_for_client_certificates() -> None:
    policies = {name: one["Properties"]["SecurityPolicy"] for name, one in RESOURCES.items() if name in DOMAINS}
    assert {name for name, policy in policies.items() if policy != "SecurityPolicy_TLS13_1_3_2025_09"} == {"MtlsDomain"}
    assert "MutualTlsAuthentication" in RESOURCES["MtlsDomain"]["Properties"]


DOMAINS = {"Api", "ApiDomain", "MtlsDomain"}
