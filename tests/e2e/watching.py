"""What a stack reports of itself: its metric lines, its alarms, /metrics."""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from tests.e2e.calling import Caller, make_token
from tests.e2e.conftest import Deployed

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient

ONCE = Config(retries={"total_max_attempts": 1})  # for what a second try would do twice
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass
class Subscribed:
    """A queue that the alarms' topic sends to."""

    sqs: "SQSClient"
    url: str
    ever: set[str] = field(default_factory=set)  # notified, and expected
    _alarms: set[str] = field(default_factory=set)

    def alarms(self) -> set[str]:
        """Return the alarms that were notified so far, by their logical ids."""
        while found := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
            for message in found:
                notice = json.loads(json.loads(message["Body"])["Message"])
                assert notice["NewStateValue"] == "ALARM"
                assert "Runbook: docs/operations.md#" in notice["AlarmDescription"]
                self._alarms.add(notice["AlarmName"].split("-")[-2])
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return self._alarms

    def expect(self, *alarms: str) -> None:
        """Wait until exactly these were notified since the last time; then begin anew."""
        deadline = time.monotonic() + 60
        while not self.alarms() >= {*alarms} and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.alarms() == {*alarms}, f"notified: {sorted(self._alarms)}, expected: {sorted(alarms)}"
        self.ever |= self._alarms
        self._alarms.clear()


@dataclass
class Watched:
    """A stack, and a hand to watch it with."""

    deployed: Deployed

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        return self.deployed.stack.session().client("cloudwatch", endpoint_url=self.deployed.stack.endpoint)

    @cached_property
    def caller(self) -> Caller:
        scopes = ("metrics", "intents:read", "intents:write")
        return Caller(self.deployed, "198.51.100.8", make_token(self.deployed, "watcher", *scopes))

    def metric_lines(self) -> list[dict[str, Any]]:
        """Give every metric line (EMF) that the functions have written."""
        groups = [f"/conductor-loop/conductor-loop/{name}" for name in ("conductor", "sweeper", "api")]
        paginator = self.deployed.logs.get_paginator("filter_log_events")
        pages = (page for group in groups for page in paginator.paginate(logGroupName=group))
        messages = (event["message"] for page in pages for event in page["events"])
        return [json.loads(message) for message in messages if '"_aws"' in message]

    def sums(self) -> tuple[Mapping[tuple[str, ...], float], Mapping[tuple[str, ...], float]]:
        """Add up the metric lines: values, and how many there were, by name and dimensions but for the stack."""
        total: Counter[tuple[str, ...]] = Counter()
        times: Counter[tuple[str, ...]] = Counter()
        for line in self.metric_lines():
            for way in line["_aws"]["CloudWatchMetrics"]:
                (names,) = way["Dimensions"]
                for metric in way["Metrics"]:
                    key = (metric["Name"], *(line[name] for name in names[1:]))
                    total[key] = round(total[key] + line[metric["Name"]], 3)
                    times[key] += 1
        return total, times

    def scrape(self) -> dict[str, float]:
        """Give every sample of /metrics, labels as they are written."""
        text = self.caller.get("/metrics").text
        return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in SAMPLE.findall(text)}

    def subscribe(self) -> "Subscribed":
        """Let a queue have what goes to the alarms' topic, as an operator's paging service would."""
        sqs, session, endpoint = self.deployed.sqs, self.deployed.stack.session(), self.deployed.stack.endpoint
        url = sqs.create_queue(QueueName="pager")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [allowed | {"Resource": arn}]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        (topic,) = {
            action for one in self.cloudwatch.describe_alarms()["MetricAlarms"] for action in one["AlarmActions"]
        }
        session.client("sns", endpoint_url=endpoint).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return Subscribed(sqs, url)

    def states(self) -> dict[str, str]:
        """Give the states of the alarms, by their logical ids."""
        found = self.cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        alarms: list[Any] = [*found["MetricAlarms"], *found["CompositeAlarms"]]
        return {one["AlarmName"].split("-")[-2]: one["StateValue"] for one in alarms}

    def let_pass(self, seconds: float) -> None:
        """Let time pass for the metrics, and so for the alarms; for nothing else."""
        datum: Any = {"MetricName": "SecondsPassed", "Value": seconds}
        client = self.deployed.stack.session().client(
            "cloudwatch", endpoint_url=self.deployed.stack.endpoint, config=ONCE
        )
        client.put_metric_data(Namespace="EmulatedTime", MetricData=[datum])
