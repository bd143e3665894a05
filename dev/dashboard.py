"""Draw the dashboard of the template from a load on the embedded stack, into docs/pictures."""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3

from conductor_loop.catalogue import CATALOGUE, NAMESPACE
from dev.catalogue import OF_AWS
from dev.load import Load
from dev.pictures import Drawn, EmptyWidgetError, Widget, draw
from dev.stack import REGION, ROOT, STACK_NAME, Stack, free_port, read_port
from dev.widgets import Buckets, metrics, of_lines, searches

PICTURES = ROOT / "docs/pictures"
_PICTURES = {
    "dashboard-health": (0, 14),
    "dashboard-flow": (14, 32),
    "dashboard-failures": (32, 48),
}  # rows of the grid
RED = {"ValidationError", "ConfigurationError", "ResourceError", "ConfigRefused"}
"""The alarms that the load sets off; README says why."""
_BUCKETS = 36  # that the time of the load is cut into
_MOST_BYTES = 150_000


def main() -> None:
    """Run the load, draw; exit 1 if a widget shows nothing, or something that the catalogue does not have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", help="of the embedded AWS; a free one by default")
    given = parser.parse_args().port
    stack = Stack(
        read_port(given) if given else free_port(),
        {"CriticalPrincipals": "AWS:none", "FunctionTimeout": "60"},
        {"processing": {"retry_delay": "1s", "retry_attempts": 2, "high_per_minute": 4}},
        porch=ROOT / "tests/e2e/porch/porch",
    )
    if stack.running:
        sys.exit(f"a stack runs on port {stack.port}, and this would end it: choose another port, or none")
    try:
        _draw(stack, stack.up())
    finally:
        stack.down()


def _draw(stack: Stack, outputs: Mapping[str, str]) -> None:
    session, began = stack.session(), time.time()
    load = Load(session, stack.endpoint, outputs)
    sent = load.run()
    lasted = time.time() - began
    widgets = _definition(session, stack.endpoint)
    problems = [f"{name}: is not in the catalogue" for name in unknown(widgets)]
    events = list(_events(session, stack.endpoint))
    lines = [json.loads(text) for _, _, text in events if '"_aws"' in text]
    points = of_lines(lines) | _of_aws(session, stack.endpoint, widgets, began)
    first = min(line["_aws"]["Timestamp"] for line in lines) / 1000
    width = (began + lasted - first) / (_BUCKETS - 1)
    buckets = Buckets(first - width, width, _BUCKETS)
    note = (
        f"Drawn by `make dashboard` from {len(lines)} metric lines of {sent} intents on the embedded AWS: a point is "
        f"{buckets.seconds:.0f} seconds here, 5 minutes on AWS."
    )
    drawn = Drawn(points, buckets, events, _states(session, stack.endpoint), note)
    on = {name for name, state in drawn.alarms.values() if state == "ALARM"}
    problems += [f"{name}: red where README says green, or green where it says red" for name in sorted(on ^ RED)]
    PICTURES.mkdir(exist_ok=True)
    for name, (top, bottom) in _PICTURES.items():
        path = PICTURES / f"{name}.png"
        try:
            draw([one for one in widgets if top <= one["y"] < bottom], drawn, path)
        except EmptyWidgetError as error:
            problems.append(str(error))
            continue
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
        if path.stat().st_size > _MOST_BYTES:
            problems.append(f"{path.name}: is larger than {_MOST_BYTES // 1000} kB")
    if problems:
        sys.exit("\n".join(problems))
    print(
        f"{sum(1 for one in widgets for _ in metrics(one))} metrics of {len(widgets)} widgets, each known and with data"
    )


def unknown(widgets: Sequence[Widget]) -> Iterator[str]:
    """Name the metrics of a dashboard that the catalogue does not have, with these dimensions."""
    ours = {(one.emf, one.label, value) for one in CATALOGUE if one.emf for value in one.values}
    of_aws = {(one.namespace, one.name, one.dimension) for one in OF_AWS}
    for widget in widgets:
        for one in metrics(widget):
            namespace, name, dimensions = one.source
            reported = dict(dimensions)
            reported.pop("environment", None)
            ((label, value),) = reported.items() or [("", "")]
            if (name, label, value) not in ours if namespace == NAMESPACE else (namespace, name, label) not in of_aws:
                yield f"{namespace} {name} {label}={value}"
        for found in searches(widget):
            if not any(found[3] == one.emf and found[2] == f"environment,{one.label}" for one in CATALOGUE):
                yield found[0]


def _definition(session: boto3.session.Session, endpoint: str) -> list[Widget]:
    cloudwatch = session.client("cloudwatch", endpoint_url=endpoint)
    body = cloudwatch.get_dashboard(DashboardName=f"{STACK_NAME}-{REGION}")["DashboardBody"]
    return list(json.loads(body)["widgets"])


def _states(session: boto3.session.Session, endpoint: str) -> dict[str, tuple[str, str]]:
    """Give the alarms' logical ids, without what they all end with, and states."""
    found = session.client("cloudwatch", endpoint_url=endpoint).describe_alarms(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    alarms: list[Any] = [*found["MetricAlarms"], *found["CompositeAlarms"]]
    return {
        one["AlarmArn"]: (
            re.sub(r"^.*-(\w+?)(Alarm)?-\w+$", r"\1", one["AlarmName"]),
            one["StateValue"],
        )
        for one in alarms
    }


def _events(session: boto3.session.Session, endpoint: str) -> Iterator[tuple[float, str, str]]:
    logs = session.client("logs", endpoint_url=endpoint)
    for name in ("conductor", "sweeper", "api", "auditor"):
        group = f"/conductor-loop/{STACK_NAME}/{name}"
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            yield from ((event["timestamp"] / 1000, group, event["message"].strip()) for event in page["events"])


def _of_aws(
    session: boto3.session.Session, endpoint: str, widgets: list[Widget], began: float
) -> dict[Any, list[tuple[float, float]]]:
    """Ask the embedded AWS for what it measures itself: by the second."""
    cloudwatch: Any = session.client("cloudwatch", endpoint_url=endpoint)
    wanted = {one.source: one.stat for widget in widgets for one in metrics(widget) if one.source[0] != NAMESPACE}
    points = {}
    for source, stat in wanted.items():
        found = cloudwatch.get_metric_statistics(
            Namespace=source[0], MetricName=source[1], StartTime=began, EndTime=time.time() + 1, Period=1,
            Dimensions=[{"Name": name, "Value": value} for name, value in source[2]], Statistics=[stat],
        )["Datapoints"]  # fmt: skip
        points[source] = [(one["Timestamp"].timestamp(), one[stat]) for one in found]
    return points


if __name__ == "__main__":
    main()
