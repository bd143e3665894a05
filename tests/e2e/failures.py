"""Failures to inject into a stack, each of one kind, and what ends them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from dev.stack import STACK_NAME
from tests.e2e.watching import ONCE, Watched

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# What would be measured after hours, or after almost a timeout: namespace, metric, what it is of, and the least value
# that is too much. A stack of 60 s is near its timeout after 57.
SLOW = {
    "OldestHighAlarm": ("ConductorLoop", "OldestUnanswered", "high", 901),
    "OldestNormalAlarm": ("ConductorLoop", "OldestUnanswered", "normal", 3601),
    "OldestLowAlarm": ("ConductorLoop", "OldestUnanswered", "low", 21_601),
    "OverdueAlarm": ("ConductorLoop", "OverdueHandoffs", "", 1),
    "SweepFailureAlarm": ("ConductorLoop", "SweepFailures", "", 1),
    "ConductorDurationAlarm": ("AWS/Lambda", "Duration", "ConductorFunction", 57_001),
    "AuditLagAlarm": ("AWS/Lambda", "IteratorAge", "AuditFunction", 3_600_001),
}
_MINUTES = 15  # that an alarm looks back, at most; but that on sweeps


@dataclass
class Failures:
    """Every failure that an alarm is for; those that take hours by the numbers that they would make."""

    watched: Watched

    def measure(self, alarm: str) -> None:
        """Put what would be measured, for each of the last minutes."""
        deployed = self.watched.deployed
        namespace, metric, of, value = SLOW[alarm]
        dimensions = {"environment": STACK_NAME} | ({"priority": of} if of else {})
        if namespace == "AWS/Lambda":
            dimensions = {"FunctionName": deployed.outputs[of]}
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        datum = {"MetricName": metric, "Dimensions": named, "Value": value}
        now = time.time()
        data: list[Any] = [datum | {"Timestamp": now - 60 * minute - 1} for minute in range(_MINUTES)]
        self.watched.cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)

    @contextmanager
    def left_in(self, queue: str) -> Iterator[None]:
        """Leave a message in a queue without a consumer."""
        deployed = self.watched.deployed
        deployed.sqs.send_message(QueueUrl=deployed.outputs[queue], MessageBody="unprocessed")
        with self.emptied(queue):
            yield

    @contextmanager
    def emptied(self, queue: str) -> Iterator[None]:
        """Purge a queue in the end."""
        yield
        self.watched.deployed.sqs.purge_queue(QueueUrl=self.watched.deployed.outputs[queue])

    def send(self, kind: str, number: int = 1, **fields: Any) -> None:
        """Send intents for targets by whose name porch goes; over when they are answered."""
        files = [f"intent-{kind}-alarm-{one}.json" for one in range(number)]
        for file in files:
            self.watched.deployed.put(file, target=f"{kind}-alarm", **fields)
        self.watched.deployed.wait_for(*files, seconds=240)

    def send_with_a_row_without_sense(self) -> None:
        """Send an intent whose row says nothing."""
        deployed, file = self.watched.deployed, "intent-row.json"
        row = {"pk": {"S": f"intent#{file}"}}
        with deployed.deaf():
            version = deployed.put(file)
            deployed.dynamodb.put_item(TableName=deployed.outputs["StateTable"], Item=row | {"sk": {"S": version}})
        deployed.invoke(file, version)

    @contextmanager
    def denied(self, function: str, action: str) -> Iterator[None]:
        """Take a permission from a function."""
        deployed = self.watched.deployed
        reported = deployed.functions.get_function_configuration(FunctionName=deployed.outputs[function])
        role = reported["Role"].rpartition("/")[2]
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        deployed.iam.put_role_policy(RoleName=role, PolicyName="broken", PolicyDocument=policy)
        yield
        deployed.iam.delete_role_policy(RoleName=role, PolicyName="broken")

    @contextmanager
    def wrongly_configured(self) -> Iterator[None]:
        """Push a configuration that cannot be used."""
        self._push('{"mode": "fast"}')
        yield
        self._push(json.dumps(self.watched.deployed.stack.configuration))

    def ask(self) -> None:
        """Ask the API for what it cannot answer."""
        assert self.watched.caller.get("/intents").status == HTTPStatus.SERVICE_UNAVAILABLE

    def crash(self, function: str) -> None:
        """Let a function fail as a whole."""
        assert self._invoke(function, b'{"Records": [{"eventSource": "aws:s3"}]}')

    def crash_api(self) -> None:
        """Let the function of the API not even start."""
        deployed = self.watched.deployed
        name = deployed.outputs["ApiFunction"]
        handler = deployed.functions.get_function_configuration(FunctionName=name)["Handler"]
        deployed.functions.update_function_configuration(FunctionName=name, Handler="conductor_loop.no.such")
        self.crash("ApiFunction")
        deployed.functions.update_function_configuration(FunctionName=name, Handler=handler)

    def throttle(self, function: str) -> None:
        """Ask a function for something that has no place to run."""
        with self.paused(function), suppress(self._functions.exceptions.TooManyRequestsException):
            self._invoke(function, b"{}")
            raise AssertionError(f"{function} has run")

    @contextmanager
    def paused(self, function: str) -> Iterator[None]:
        """Leave a function no place to run."""
        functions, name = self._functions, self.watched.deployed.outputs[function]
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        yield
        functions.delete_function_concurrency(FunctionName=name)

    def sweep(self) -> bool:
        """Sweep now, not within a minute; whether that failed."""
        return self._invoke("SweeperFunction", b"{}")

    def is_over(self) -> bool:
        """Let what has failed pass; whether all alarms are off."""
        assert not self.sweep()
        self.watched.let_pass(900)
        return set(self.watched.states().values()) == {"OK"}

    def _push(self, value: str) -> None:
        deployed = self.watched.deployed
        ssm = deployed.stack.session().client("ssm", endpoint_url=deployed.stack.endpoint)
        ssm.put_parameter(Name=deployed.outputs["ConfigParameter"], Value=value, Overwrite=True)

    @cached_property
    def _functions(self) -> "LambdaClient":
        deployed = self.watched.deployed
        return deployed.stack.session().client("lambda", endpoint_url=deployed.stack.endpoint, config=ONCE)

    def _invoke(self, function: str, payload: bytes) -> bool:
        """Call a function; whether it failed."""
        answer = self._functions.invoke(FunctionName=self.watched.deployed.outputs[function], Payload=payload)
        return "FunctionError" in answer
