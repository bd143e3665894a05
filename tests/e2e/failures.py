"""Failures to inject into a stack, and what ends them."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.e2e.watching import Watched

FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction")
_SLOW = {"ApproximateAgeOfOldestMessage", "Duration", "IteratorAge", "OverdueHandoffs", "SweepFailures"}
_DENIED = {  # what each function is not allowed while things are broken
    "SweeperFunction": "s3:ListBucketVersions",
    "ApiFunction": "dynamodb:Query",
    "AuditFunction": "logs:PutLogEvents",
}


@dataclass
class Failures:
    """Every failure that an alarm is for; those that take hours by the numbers that they would make."""

    watched: Watched
    _roles: dict[str, str] = field(init=False)
    _api_handler: str = ""

    def __post_init__(self) -> None:
        deployed = self.watched.deployed
        told = {
            name: deployed.functions.get_function_configuration(FunctionName=deployed.outputs[name]) for name in _DENIED
        }
        self._roles = {name: one["Role"].rpartition("/")[2] for name, one in told.items()}

    def begin(self) -> None:
        """Break what stays broken until it is mended."""
        deployed = self.watched.deployed
        for queue in ("DeadLetterQueue", "UnansweredQueue"):
            deployed.sqs.send_message(QueueUrl=deployed.outputs[queue], MessageBody="nobody could")
        for name, role in self._roles.items():
            statement = {"Effect": "Deny", "Action": _DENIED[name], "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            deployed.iam.put_role_policy(RoleName=role, PolicyName="broken", PolicyDocument=policy)
        self._put_parameter('{"mode": "fast"}')

    def mend(self) -> None:
        """Mend it again."""
        deployed = self.watched.deployed
        for queue in ("DeadLetterQueue", "UnansweredQueue"):
            deployed.sqs.purge_queue(QueueUrl=deployed.outputs[queue])
        for role in self._roles.values():
            deployed.iam.delete_role_policy(RoleName=role, PolicyName="broken")
        self._handle_api(self._api_handler)
        self._put_parameter(json.dumps(deployed.stack.configuration))

    def go_on(self) -> None:
        """Let things fail once more."""
        assert self.watched.caller.get("/intents").status == HTTPStatus.SERVICE_UNAVAILABLE
        deployed, name = self.watched.deployed, uuid.uuid4().hex[:8]
        for number in range(7):
            deployed.put(f"intent-wrong-{name}-{number}.json", replicas=-1)
        deployed.put(f"intent-stuck-{name}.json", target=f"stuck-{name}", timeout="1s")  # porch takes too long
        deployed.put(f"intent-full-{name}.json", target=f"full-{name}")  # porch finds no space
        row = {"pk": {"S": f"intent#intent-row-{name}.json"}}
        with deployed.deaf():
            version = deployed.put(f"intent-row-{name}.json")
            table = deployed.outputs["StateTable"]
            deployed.dynamodb.put_item(TableName=table, Item=row | {"sk": {"S": version}})
        deployed.invoke(f"intent-row-{name}.json", version)

    def crash(self) -> None:
        """Let each function fail as a whole; that of the API does not even start."""
        if not self._api_handler:
            self._api_handler = self._handle_api("conductor_loop.no.such")
        for function in FUNCTIONS:
            self._invoke(function, b'{"Records": [{"eventSource": "aws:s3"}]}')

    def throttle(self) -> None:
        """Leave no place for any function, and ask each of them for something."""
        deployed = self.watched.deployed
        for function in (*FUNCTIONS, "AuditFunction"):
            name = deployed.outputs[function]
            deployed.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            self._invoke(function, b"{}")
            deployed.functions.delete_function_concurrency(FunctionName=name)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Put, again and again, what would be measured after hours, or after almost a timeout."""
        over = threading.Event()
        data = [
            (
                alarm["Namespace"],
                {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"]},
                alarm["Threshold"],
            )
            for alarm in self.watched.cloudwatch.describe_alarms()["MetricAlarms"]
            if alarm["MetricName"] in _SLOW
        ]
        put: Any = self.watched.cloudwatch.put_metric_data

        def measure() -> None:
            while not over.wait(0.3):
                for namespace, datum, threshold in data:
                    put(Namespace=namespace, MetricData=[datum | {"Value": threshold + 1}])

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _handle_api(self, handler: str) -> str:
        """Give the API's function another handler; which it had."""
        deployed = self.watched.deployed
        name = deployed.outputs["ApiFunction"]
        before = deployed.functions.get_function_configuration(FunctionName=name)["Handler"]
        deployed.functions.update_function_configuration(FunctionName=name, Handler=handler)
        return before

    def _invoke(self, function: str, payload: bytes) -> None:
        deployed = self.watched.deployed
        with suppress(deployed.functions.exceptions.TooManyRequestsException):
            deployed.functions.invoke(FunctionName=deployed.outputs[function], Payload=payload)

    def _put_parameter(self, value: str) -> None:
        deployed = self.watched.deployed
        ssm = deployed.stack.session().client("ssm", endpoint_url=deployed.stack.endpoint)
        ssm.put_parameter(Name=deployed.outputs["ConfigParameter"], Value=value, Overwrite=True)
