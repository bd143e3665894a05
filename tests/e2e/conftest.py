import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner, Result

from conductor_loop.cli import main
from conductor_loop.storage import sdk
from dev.stack import LOCAL, ROOT, Stack, free_port
from tests.statuses import read_status

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass
class Deployed:
    """The deployed template, used as an operator would: `aws s3 cp` in, objects out."""

    stack: Stack
    outputs: dict[str, str]

    @property
    def bucket(self) -> str:
        return self.outputs["HandoffBucket"]

    @cached_property
    def s3(self) -> "S3Client":
        return self.stack.session().client("s3", endpoint_url=self.stack.endpoint)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self.stack.session().client("dynamodb", endpoint_url=self.stack.endpoint)

    @cached_property
    def iam(self) -> "IAMClient":
        return self.stack.session().client("iam", endpoint_url=self.stack.endpoint)

    @cached_property
    def sqs(self) -> "SQSClient":
        return self.stack.session().client("sqs", endpoint_url=self.stack.endpoint)

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        return self.stack.session().client("cloudwatch", endpoint_url=self.stack.endpoint)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        return self.stack.session().client("logs", endpoint_url=self.stack.endpoint)

    @cached_property
    def functions(self) -> "LambdaClient":
        return self.stack.session().client("lambda", endpoint_url=self.stack.endpoint)

    def copy(self, *files: Path) -> None:
        """Drop files as the documentation says: `aws s3 cp`."""
        for file in files:
            command = [str(LOCAL / "bin/aws"), "s3", "cp", "--only-show-errors", str(file), f"s3://{self.bucket}/"]
            subprocess.run(command, env=self.stack.aws_environment, check=True)

    def put(self, file: str, **fields: Any) -> str:
        """Drop an intent for a Deployment of its own; the version that it became."""
        intent = {"intent_type": "scaling", "target": file.removesuffix(".json"), "namespace": "e2e", "replicas": 2}
        return self.s3.put_object(Bucket=self.bucket, Key=file, Body=json.dumps(intent | fields).encode())["VersionId"]

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def status(self, file: str) -> dict[str, Any]:
        return read_status(self.read(f"status/{file}.status"))

    def answered(self, file: str) -> bool:
        return f"status/{file}.status" in self.keys("status/") and file not in self.keys("intent-")

    def wait_for(self, *files: str, seconds: float = 90) -> None:
        statuses = {f"status/{file}.status" for file in files}
        until(lambda: not {*files} & {*self.keys("intent-")} and statuses <= {*self.keys("status/")}, seconds)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Lose the events of what is put meanwhile: the function takes none, and the embedded AWS gives up on them."""
        name = self.outputs["ConductorFunction"]
        self.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        yield
        time.sleep(1.5)  # until it has given up
        self.functions.delete_function_concurrency(FunctionName=name)

    def invoke(self, key: str, version: str, time: str = "2026-11-23T03:00:00.000Z") -> dict[str, Any]:
        """Hand the function the event of a version, put at a time; its answer, or its error."""
        put = {"key": key, "versionId": version}
        record = {
            "eventName": "ObjectCreated:Put",
            "eventTime": time,
            "s3": {"bucket": {"name": self.bucket}, "object": put},
        }
        answer = self.functions.invoke(
            FunctionName=self.outputs["ConductorFunction"], Payload=json.dumps({"Records": [record]}).encode()
        )
        document: dict[str, Any] = json.loads(answer["Payload"].read())
        return document

    def cli(self, *arguments: str) -> Result:
        """Run the command line, in this process: to start one takes a second."""
        of_others: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("AWS_", "SAM_"))}
        environment = of_others | self.stack.aws_environment | {"HANDOFF_BUCKET": self.bucket}
        _forget_clients()
        result = CliRunner(env=environment).invoke(main, arguments)
        _forget_clients()
        return result

    def push(self, **changes: Any) -> None:
        """Push the stack's configuration with these changes."""
        document = self.stack.home / "pushed.json"
        document.write_text(json.dumps({**self.stack.configuration, **changes}))
        done = self.cli("config", "push", str(document))
        assert done.exit_code == 0, done.output

    def configure(self, **changes: Any) -> None:
        """Push the stack's configuration with these changes, and start the function anew with it."""
        self.push(**changes)
        self.restart("ConductorFunction")

    def restart(self, function: str = "ApiFunction") -> None:
        """Start a function anew, so that it reads configuration and tokens now."""
        with self.variables(function, RESTARTED="1"):
            pass

    @contextmanager
    def variables(self, function: str = "ApiFunction", **changes: str) -> Iterator[None]:
        """Change the variables of a function for a while; its copies start anew each time."""
        name = self.outputs[function]
        before = self.functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | changes})
        try:
            yield
        finally:
            self.functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})

    def grant(self, name: str, *statements: dict[str, Any]) -> None:
        """Give the function a policy of this name, or take it away where there is no statement."""
        function = self.functions.get_function_configuration(FunctionName=self.outputs["ConductorFunction"])
        role = function["Role"].rpartition("/")[2]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)
        else:
            self.iam.delete_role_policy(RoleName=role, PolicyName=name)

    def logged(self, text: str, about: str) -> bool:
        """Say whether the functions have logged a line with both texts."""
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=self.outputs["ConductorLogGroup"])
        lines = (event["message"] for page in pages for event in page["events"])
        return any(text in line and about in line for line in lines)

    def unanswered_events(self) -> list[dict[str, Any]]:
        """Take the messages of the queue of unanswered events."""
        queue = self.outputs["UnansweredQueue"]
        messages = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


def _forget_clients() -> None:
    """Forget the SDK's sessions and clients: those of the embedded AWS are not moto's, which other tests use."""
    boto3.DEFAULT_SESSION = None
    for one in vars(sdk).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    environment = {
        "PYTHONPATH": str(ROOT / "tests/e2e/chaos"),
        "CHAOS_MARKERS": str(tmp_path_factory.mktemp("chaos")),
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.3",  # a minute on AWS
    }
    port = free_port()
    porch = Stack(port).home / "porch"
    parameters = {"PorchPath": str(porch / "porch"), "MaxReceives": "12", "FunctionTimeout": "60"}
    parameters |= {"ApiRateLimit": "2000", "ApiBurstLimit": "2000"}  # each test is a caller, and one is a flood
    parameters |= {"AuditLock": "governance", "OutcomeEvents": "true"}
    configuration = {"processing": {"sweep_after": "20s", "retry_delay": "1s"}}
    stack = Stack(port, parameters=parameters, configuration=configuration, environment=environment)
    shutil.copytree(ROOT / "tests/e2e/porch", porch)
    (porch / "bundled-porch").symlink_to(stack.home / "build/PorchLayer/bin/porch")
    try:
        yield Deployed(stack, stack.up())
    finally:
        if os.environ.get("KEEP_STACK") != "1":
            stack.down()
