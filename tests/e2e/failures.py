"""Failures to inject into a stack, and what ends them."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from botocore.config import Config

from tests.e2e.watching import Watched

ONCE = Config(retries={"total_max_attempts": 1})
FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction")
SLOW = {"ApproximateAgeOfOldestMessage", "Duration", "IteratorAge", "OverdueHandoffs", "SweepFailures"}
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
        deployed.functions.delete_function_concurrency(FunctionName=deployed.outputs["SweeperFunction"])
        for queue in ("DeadLetterQueue", "UnansweredQueue"):
            deployed.sqs.purge_queue(QueueUrl=deployed.outputs[queue])
        for role in self._roles.values():
            deployed.iam.delete_role_policy(RoleName=role, PolicyName="broken")
        self._put_parameter(json.dumps(deployed.stack.configuration))

    def send(self) -> None:
        """Send what is wrong, what porch fails at, and what has a row without sense; over when all are answered."""
        deployed = self.watched.deployed
        files = [f"intent-wrong-{number}.json" for number in range(7)]
        for file in files:
            deployed.put(file, replicas=-1)
        for name, fields in {"stuck": {"timeout": "1s"}, "full": {}}.items():  # takes too long; finds no space
            files.append(f"intent-{name}-0.json")
            deployed.put(files[-1], target=f"{name}-alarm", **fields)
        files.append("intent-row.json")
        row = {"pk": {"S": f"intent#{files[-1]}"}}
        with deployed.deaf():
            version = deployed.put(files[-1])
            deployed.dynamodb.put_item(TableName=deployed.outputs["StateTable"], Item=row | {"sk": {"S": version}})
        deployed.invoke(files[-1], version)
        deployed.wait_for(*files, seconds=240)

    def crash(self) -> None:
        """Let each function fail as a whole, and the API's once by itself; later it does not even start."""
        assert self.watched.caller.get("/intents").status == HTTPStatus.SERVICE_UNAVAILABLE
        handler = self._handle_api("conductor_loop.no.such")
        for function in FUNCTIONS:
            self._invoke(function, b'{"Records": [{"eventSource": "aws:s3"}]}')
        self._handle_api(handler)

    def throttle(self) -> None:
        """Leave no place for any function, and ask each of them for something."""
        deployed = self.watched.deployed
        for function in (*FUNCTIONS, "AuditFunction"):
            name = deployed.outputs[function]
            deployed.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            self._invoke(function, b"{}")
            deployed.functions.delete_function_concurrency(FunctionName=name)

    def sweep(self) -> None:
        """Sweep now, not within a minute."""
        self._invoke("SweeperFunction", b"{}")

    def pause_sweeps(self) -> None:
        """Leave the sweeper no place to run."""
        deployed = self.watched.deployed
        name = deployed.outputs["SweeperFunction"]
        deployed.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    def measure_slow(self) -> None:
        """Put what would be measured after hours, or after almost a timeout."""
        put: Any = self.watched.cloudwatch.put_metric_data
        for alarm in self.watched.cloudwatch.describe_alarms()["MetricAlarms"]:
            if alarm["MetricName"] in SLOW:
                datum = {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"]}
                put(Namespace=alarm["Namespace"], MetricData=[datum | {"Value": alarm["Threshold"] + 1}])

    def _handle_api(self, handler: str) -> str:
        """Give the API's function another handler; which it had."""
        deployed = self.watched.deployed
        name = deployed.outputs["ApiFunction"]
        before = deployed.functions.get_function_configuration(FunctionName=name)["Handler"]
        deployed.functions.update_function_configuration(FunctionName=name, Handler=handler)
        return before

    def _invoke(self, function: str, payload: bytes) -> None:
        deployed = self.watched.deployed
        functions = deployed.stack.session().client("lambda", endpoint_url=deployed.stack.endpoint, config=ONCE)
        with suppress(functions.exceptions.TooManyRequestsException):
            functions.invoke(FunctionName=deployed.outputs[function], Payload=payload)

    def _put_parameter(self, value: str) -> None:
        deployed = self.watched.deployed
        ssm = deployed.stack.session().client("ssm", endpoint_url=deployed.stack.endpoint)
        ssm.put_parameter(Name=deployed.outputs["ConfigParameter"], Value=value, Overwrite=True)
