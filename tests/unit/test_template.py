"""What the template promises, read from the file itself."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from dev.template import RESOURCES, TEMPLATE

__all__ = ["RESOURCES", "TEMPLATE"]


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_is_described_bounded_and_has_a_default(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert parameter["Description"]
    assert "Default" in parameter
    assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)


def test_every_output_is_described() -> None:
    assert all(output["Description"] for output in TEMPLATE["Outputs"].values())


def test_the_export_is_locked_for_as_long_as_entries_are_kept() -> None:
    """The embedded AWS leaves a bucket from a template unlocked: so it is held here."""
    bucket, trail = RESOURCES["AuditBucket"]["Properties"], RESOURCES["AuditLogs"]["Properties"]
    lock = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert bucket["ObjectLockEnabled"] is True
    assert lock["Days"] == trail["RetentionInDays"]
    assert "AuditLock" in str(lock["Mode"])
    assert RESOURCES["AuditBucket"]["DeletionPolicy"] == "Retain"
    assert RESOURCES["AuditLogs"]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_only_its_publisher_may_touch_the_audit_trail() -> None:
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
    answers = ("processed/", "failed/", "status/", "packages/", "live/")
    assert expiring == dict.fromkeys(answers, "RetentionDays") | {"intent-": 365}
    assert {"ExpiredObjectDeleteMarker"} <= {key for rule in rules for key in rule}


@pytest.mark.parametrize("queue", ["DeadLetterQueue", "UnansweredQueue"])
def test_a_message_that_stays_in_a_queue_sets_off_an_alarm(queue: str) -> None:
    watched = [
        dimension["Value"]
        for one in RESOURCES.values()
        for dimension in one["Properties"].get("Dimensions", [])
        if one["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert queue in watched


def test_throttled_sweeps_do_not_pile_up() -> None:
    assert RESOURCES["SweeperFunction"]["Properties"]["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_overrides_of_samconfig_are_parameters_with_allowed_values(environment: str) -> None:
    written = tomllib.loads((Path(__file__).parents[2] / "samconfig.toml").read_text())
    for override in written[environment]["deploy"]["parameters"]["parameter_overrides"].split():
        name, _, value = override.partition("=")
        parameter = TEMPLATE["Parameters"][name]
        assert value in map(str, parameter.get("AllowedValues", [value]))
        if parameter["Type"] == "Number":
            assert parameter.get("MinValue", int(value)) <= int(value) <= parameter.get("MaxValue", int(value))


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
