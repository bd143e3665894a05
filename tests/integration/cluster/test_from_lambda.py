"""The function with a cluster: event in, credentials of AWS, the bundled porch, a cluster over TLS, status out."""

import json
import logging
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.compat import get_current_datetime
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.eks.models import eks_backends

from bench.function import received_record
from conductor_loop import handlers, metrics
from tests.factories import BUCKET, intent
from tests.integration.cluster.apiserver import TOKEN, ApiServer
from tests.integration.cluster.porch_registry import PorchRegistry
from tests.integration.cluster.world import World, encoded
from tests.integration.conftest import MotoBucket
from tests.long import first
from tests.statuses import read_status
from tests.unit.porch_program.support import PORCH


class Context:
    log_stream_name = "2026/11/23/[$LATEST]abc"
    function_name = "conductor"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


@pytest.fixture(autouse=True)
def function(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    caches = [handlers._live, handlers._built, metrics.logger]
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-of-the-role")
    monkeypatch.setenv("CONDUCTOR_STATE_TABLE", "state")
    monkeypatch.setenv("CONDUCTOR_PORCH_PATH", str(PORCH))
    monkeypatch.setenv("CONDUCTOR_LOG_LEVEL", "debug")
    monkeypatch.setenv("CONDUCTOR_PROCESSING_PRIORITY_QUEUES", "false")
    monkeypatch.setenv("CONDUCTOR_PROCESSING_RETRY_ATTEMPTS", "0")
    monkeypatch.setenv("CONDUCTOR_QUEUE_NORMAL", aws.client("sqs").create_queue(QueueName="normal")["QueueUrl"])
    yield aws
    for cached in caches:
        cached.cache_clear()
    logger: Any = logging.getLogger(metrics.SERVICE)
    logger.handlers.clear()  # they hold this test's standard output
    logger.init = logger.powertools_handler = False  # it is set up anew by the next test


@pytest.fixture
def bucket(function: boto3.session.Session) -> MotoBucket:
    return MotoBucket(function.client("s3"))


def drop(bucket: MotoBucket, file: str, **fields: Any) -> dict[str, Any]:
    """Put an intent, hand the function its event and then its messages, and return the status."""
    handoff = bucket.drop(BUCKET, file, intent(**fields))
    stored = {"key": file, "versionId": handoff.version_id, "sequencer": f"{time.time_ns():020X}"}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-23T03:00:00.000Z",
        "s3": {"bucket": {"name": BUCKET}, "object": stored},
    }
    handlers.conductor({"Records": [record]}, Context())  # type: ignore[arg-type]
    while redeliver():
        pass
    return read_status(bucket.get(BUCKET, f"status/{file}.status"))


def redeliver() -> bool:
    """Hand the function the messages that its queue has, once they are visible; return whether there were any."""
    sqs, url = boto3.client("sqs"), os.environ["CONDUCTOR_QUEUE_NORMAL"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    for message in sqs.receive_message(QueueUrl=url, AttributeNames=["All"], WaitTimeSeconds=5).get("Messages", []):
        if not handlers.conductor({"Records": [received_record(message)]}, Context())["batchItemFailures"]:  # type: ignore[arg-type]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return any(int(count) for name, count in counts.items() if name.startswith("ApproximateNumber"))


def everything(bucket: MotoBucket, capfd: pytest.CaptureFixture[str]) -> str:
    """Return every log line, and all that lies in the bucket."""
    objects = [bucket.get(BUCKET, key).decode() for key in bucket.keys(BUCKET)]
    return "".join([*capfd.readouterr(), *objects])


@pytest.fixture
def secret(world: World, function: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the cluster's kubeconfig in a secret, and the function know of it."""
    client = function.client("secretsmanager")
    client.create_secret(Name="edge", SecretString=world.kubeconfig().read_text())
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_KUBECONFIG_SECRET", "edge")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "check")
    return client


@pytest.fixture
def cluster(world: World, function: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Have an EKS cluster that takes tokens as EKS does, and the function know of it."""
    function.client("eks").create_cluster(
        name="edge", roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={}
    )
    made = eks_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].clusters["edge"]
    made.endpoint = world.api.url
    made.certificate_authority = {"data": encoded(world.ca.cert_pem.bytes())}
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER", "edge")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "check")
    world.api.knows = lambda token: token.startswith("k8s-aws-v1.")
    return world.api


def tokens(api: ApiServer) -> list[str]:
    """Return the tokens that the cluster was shown, each once, in their order."""
    return list(dict.fromkeys(headers["Authorization"].removeprefix("Bearer ") for headers in api.headers))


@pytest.mark.usefixtures("secret")
def test_the_kubeconfig_of_a_secret_lets_porch_check_the_cluster(
    world: World, bucket: MotoBucket, capfd: pytest.CaptureFixture[str]
) -> None:
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["delivery"], status["previous_replicas"]) == ("success", "check", 1)
    assert status["message"] == "Created package cnf-simulator-v1.0.0 to scale cnf-simulator to 3 replicas"
    assert "observed_replicas" not in status
    assert "GET /apis/apps/v1/namespaces/oran-sim/deployments/cnf-simulator" in world.api.requests
    assert TOKEN not in everything(bucket, capfd)


@pytest.fixture
def scaling(secret: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "scale")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_OBSERVE", "2s")
    return secret


@pytest.mark.usefixtures("scaling")
@pytest.mark.parametrize("mode", first("structured", "direct"))
def test_an_intent_scales_the_deployment_and_the_status_is_the_clusters_answer(
    world: World, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("CONDUCTOR_MODE", mode)
    status = drop(bucket, "intent-a.json")
    assert status["message"] == "Successfully scaled cnf-simulator to 3 replicas"
    assert (status["delivery"], status["previous_replicas"], status["observed_replicas"]) == ("scale", 1, 3)
    assert world.api.deployment()["spec"]["replicas"] == 3


def plan(**fields: Any) -> Any:
    asked = {"file": "intent-a.json", "body": b64encode(intent(**fields)).decode(), "principal": "AWS:caller"}
    return handlers.conductor({"plan": asked}, Context())  # type: ignore[arg-type]


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("delivery", ["check", "scale"])
def test_a_plan_has_the_clusters_replicas_and_changes_nothing_anywhere(
    function: boto3.session.Session,
    world: World,
    bucket: MotoBucket,
    monkeypatch: pytest.MonkeyPatch,
    delivery: str,
) -> None:
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", delivery)
    before = json.dumps(world.api.deployment())
    found = plan(replicas=3)
    assert found["delivered"]["delivery"] == delivery
    assert (found["delivered"]["previous_replicas"], found["replicas"], found["applied"]) == (1, 3, None)
    assert {*found["package"]["files"]} == {"Kptfile", "kustomization.yaml"}
    assert json.dumps(world.api.deployment()) == before
    assert (bucket.keys(BUCKET), function.client("dynamodb").scan(TableName="state")["Count"]) == ([], 0)
    patches = [
        query for request, query in zip(world.api.requests, world.api.queries, strict=True) if "PATCH" in request
    ]
    assert patches == (["fieldManager=conductor-loop&dryRun=All"] if delivery == "scale" else [])


@pytest.mark.usefixtures("scaling")
def test_a_plan_says_what_the_cluster_would_refuse(world: World) -> None:
    status = {"kind": "Status", "reason": "Forbidden", "message": "admission webhook says: at most two"}
    world.api.faults.answers["/scale"] = (403, {}, json.dumps(status).encode())
    failed = plan(replicas=3)["failed"]
    assert failed["code"] == "E008"
    assert "at most two" in failed["message"]
    del world.api.objects["deployments"]["oran-sim/cnf-simulator"]
    assert plan(replicas=3)["failed"]["error_code"] == "DEPLOYMENT_NOT_FOUND"


@pytest.mark.usefixtures("scaling")
def test_a_cluster_that_has_not_answered_yet_is_not_called_scaled(world: World, bucket: MotoBucket) -> None:
    world.api.controller.stuck = True
    status = drop(bucket, "intent-a.json")
    assert (status["status"], "observed_replicas" in status) == ("success", False)
    said = "Set cnf-simulator to 3 replicas; no controller has looked at the Deployment after 2 s"
    assert status["message"] == said


@pytest.mark.usefixtures("scaling")
def test_an_exceeded_quota_is_retried_and_the_status_has_the_clusters_words(
    world: World, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_PROCESSING_RETRY_ATTEMPTS", "1")
    monkeypatch.setenv("CONDUCTOR_PROCESSING_RETRY_DELAY", "1s")
    hard = {"pods": "2"}
    world.api.add("resourcequotas", "small", spec={"hard": hard}, status={"hard": hard, "used": {"pods": "1"}})
    status = drop(bucket, "intent-a.json", replicas=5)
    assert (status["status"], status["error_details"]["code"]) == ("failed", "E015")
    assert "2 of 5 pods are there, and the cluster goes on trying: pods" in status["message"]
    assert "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2" in status["message"]
    assert "no attempt is left, of 2" in status["message"]
    assert (status["delivery"], status["observed_replicas"], status["attempt"]) == ("scale", 2, 2)
    assert status["previous_replicas"] == 1
    assert len([each for each in world.api.requests if each.startswith("PATCH")]) == 1, "the wish stands"


@pytest.mark.usefixtures("scaling")
@pytest.mark.parametrize("mode", first("structured", "direct"))
def test_the_replicas_before_are_known_to_an_attempt_after_one_that_changed_them(
    world: World, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("CONDUCTOR_MODE", mode)
    monkeypatch.setenv("CONDUCTOR_PROCESSING_RETRY_ATTEMPTS", "2")
    monkeypatch.setenv("CONDUCTOR_PROCESSING_RETRY_DELAY", "1s")

    def lose(_method: str, _path: str) -> None:  # the patch, and the next attempt
        world.api.faults.hang_up_after = number if (number := len(world.api.requests)) in {3, 4} else 0

    world.api.faults.before = lose
    status = drop(bucket, "intent-a.json")
    assert (status["message"], status["attempt"]) == (
        "Successfully scaled cnf-simulator to 3 replicas",
        3,
    )
    assert (status["previous_replicas"], status["observed_replicas"]) == (1, 3)
    assert len([each for each in world.api.requests if each.startswith("PATCH")]) == 1


@pytest.mark.usefixtures("scaling")
@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda api: api.objects.clear(), "E013"),
        (lambda api: api.faults.forbidden.add("deployments/scale"), "E008"),
        (lambda api: setattr(api.faults, "before", _meddler(api)), "E014"),
    ],
    ids=["missing", "forbidden", "late"],
)
def test_what_keeps_a_deployment_from_being_scaled_has_its_code(
    world: World, bucket: MotoBucket, act: Callable[[ApiServer], None], code: str
) -> None:
    act(world.api)
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["error_details"]["code"]) == ("failed", code)


def _meddler(api: ApiServer) -> Callable[[str, str], None]:
    return lambda method, _path: api.scale(7) if method == "PATCH" else None


@pytest.mark.usefixtures("scaling")
def test_with_delivery_package_no_cluster_and_no_credentials_are_asked(
    world: World, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "package")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_KUBECONFIG_SECRET", "no-such-secret")
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["delivery"], world.api.requests) == ("success", "package", [])


@pytest.mark.usefixtures("secret")
def test_a_package_is_brought_to_the_repository_that_the_configuration_names(
    registry: PorchRegistry, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "repository")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_REPOSITORY", "edge-1")
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_PUBLISH", "true")
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["delivery"]) == ("success", "repository")
    assert status["package_revision"]["lifecycle"] == "Published"
    name = f"default/{status['package_revision']['name']}"
    assert status["message"].endswith(f"to 3 replicas, as package revision {name} (Published)")
    specs = [revision["spec"] for revision in registry.matching("")]
    (ours,) = [spec for spec in specs if spec["workspaceName"].startswith("intent-")]
    assert (ours["repository"], ours["lifecycle"]) == ("edge-1", "Published")


def test_each_run_talks_to_an_eks_cluster_with_a_token_of_its_own(
    cluster: ApiServer, bucket: MotoBucket, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drop(bucket, "intent-a.json")["status"] == "success"
    later = get_current_datetime() + timedelta(minutes=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: later)
    assert drop(bucket, "intent-b.json")["status"] == "success"
    shown = tokens(cluster)
    assert len(shown) == 2
    said = everything(bucket, capfd)
    for token in shown:
        url = b64decode(token.removeprefix("k8s-aws-v1.") + "===", altchars=b"-_").decode()
        assert not [part for part in (token, url, "session-token-of-the-role") if part in said]


@pytest.mark.usefixtures("secret")
def test_a_cluster_that_says_the_token_back_does_not_bring_it_into_a_status(
    world: World, bucket: MotoBucket, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = world.directory / "own-porch"
    own.write_text("#!/bin/sh\nenv; cat $KUBECONFIG; cat $KUBECONFIG >&2; echo; exit 1\n")
    own.chmod(0o755)
    monkeypatch.setenv("CONDUCTOR_PORCH_PATH", str(own))
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["error_details"]["code"]) == ("failed", "E001")
    assert "[secret]" in status["error_details"]["porch_stderr"]
    assert TOKEN not in everything(bucket, capfd)
    assert "session-token-of-the-role" not in json.dumps(status), "nothing of the function's environment either"


@pytest.mark.parametrize(
    ("variable", "name", "code"),
    [
        ("KUBECONFIG_SECRET", "no-such-secret", "NO_CREDENTIALS"),
        ("EKS_CLUSTER", "no-such-cluster", "NO_CREDENTIALS"),
    ],
)
def test_credentials_that_are_not_there_are_a_status_with_the_next_step(
    bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, code: str
) -> None:
    monkeypatch.setenv(f"CONDUCTOR_PORCH_CLUSTER_{variable}", name)
    monkeypatch.setenv("CONDUCTOR_PORCH_CLUSTER_DELIVERY", "check")
    status = drop(bucket, "intent-a.json")
    assert (status["status"], status["error_details"]["error_code"]) == ("failed", code)
    assert status["error_details"]["code"] == "E021"
    assert f"{name} is missing" in status["message"]
    assert "make it, or correct porch.cluster" in status["message"]


def test_a_new_token_is_read_once_the_cluster_refuses_the_old_one(
    secret: Any, world: World, bucket: MotoBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drop(bucket, "intent-a.json")["status"] == "success"
    world.api.token = "token-" + "rotated" * 8
    secret.put_secret_value(SecretId="edge", SecretString=world.kubeconfig().read_text())
    monkeypatch.setattr("conductor_loop.porch.kubeconfig._FRESH_SECONDS", 0.0)
    assert drop(bucket, "intent-b.json")["error_details"]["error_code"] == "INSUFFICIENT_PERMISSIONS"
    assert drop(bucket, "intent-c.json")["status"] == "success"
