"""Alarms watch metrics that exist, say what they mean, and lead to a section of the runbook."""

import re
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.catalogue import ENVIRONMENT, NAMESPACE, OF_AWS, billed
from tests.unit.test_template import RESOURCES, TEMPLATE

RUNBOOK = Path(__file__).parents[2] / "docs/operations.md"
ALARMS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
COMPOSITE = RESOURCES["NotAnsweringAlarm"]["Properties"]
ALL = {**ALARMS, "NotAnsweringAlarm": COMPOSITE}
MOST_CHARACTERS = 1024  # of a description
LINK = re.compile(r"Runbook: docs/operations\.md#([a-z0-9-]+)$")


def headings() -> dict[str, str]:
    """Give the sections of the runbook by their anchors, as GitHub makes them."""
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    titles, texts = parts[::2], parts[1::2]
    return {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): text
        for title, text in zip(titles, texts, strict=True)
    }


@pytest.mark.parametrize("name", ALL)
def test_a_description_says_what_it_means_and_leads_to_a_section_that_names_the_alarm(name: str) -> None:
    description = ALL[name]["AlarmDescription"]
    found = LINK.search(description)
    assert found, description
    assert f"`{name}`" in headings()[found[1]]
    assert 80 < len(description) <= MOST_CHARACTERS


@pytest.mark.parametrize("name", ALL)
def test_an_alarm_goes_to_the_topics_of_the_parameters(name: str) -> None:
    assert ALL[name]["AlarmActions"][0] == "MakesAlarmTopic"


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_a_metric_that_exists_with_these_dimensions(name: str) -> None:
    alarm = ALARMS[name]
    dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    if alarm["Namespace"] == NAMESPACE:
        assert dimensions.pop(ENVIRONMENT) == "AWS::StackName"
        assert (alarm["MetricName"], *(dimensions.values() or [""])) in set(billed())
    else:
        (known,) = [one for one in OF_AWS if (one.namespace, one.name) == (alarm["Namespace"], alarm["MetricName"])]
        assert set(dimensions) == {known.dimension}


def test_no_alarm_is_on_for_want_of_data_but_that_on_sweeps_that_do_not_run() -> None:
    assert {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] != "notBreaching"} == {
        "SweepsStoppedAlarm"
    }


def test_the_composite_alarm_is_on_where_intents_are_not_answered() -> None:
    rule = re.sub(r'ALARM\("\$\{(\w+)Alarm\}"\)', r"\1", " ".join(COMPOSITE["AlarmRule"].split()))
    assert rule == (
        "OldestHigh OR OldestNormal OR OldestLow OR Overdue OR SweepsStopped OR DeadLetter OR ConductorThrottle OR "
        "(ConductorError AND SweeperError)"
    )


def said(alarm: dict[str, Any]) -> str:
    """Say when an alarm goes off: statistic, metric, what it is of, threshold, periods."""
    of = [one["Value"].removesuffix(".QueueName") for one in alarm["Dimensions"] if one["Name"] != ENVIRONMENT]
    bound = alarm["Threshold"][-1] if isinstance(alarm["Threshold"], list) else alarm["Threshold"]
    sign = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[alarm["ComparisonOperator"]]
    all_of, some_of = alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    metric = " of ".join([alarm["Statistic"], alarm["MetricName"], *of])
    return f"{metric} {sign} {bound}, {some_of} of {all_of} times {alarm['Period']} s"


def test_an_alarm_goes_off_as_it_is_meant_to() -> None:
    """The first three are the specification's groups."""
    assert {name: said(alarm) for name, alarm in ALARMS.items()} == {
        "ValidationErrorAlarm": "Sum of ValidationErrors > 5, 1 of 1 times 300 s",
        "ConfigurationErrorAlarm": "Sum of ConfigurationErrors > 0, 1 of 1 times 300 s",
        "ResourceErrorAlarm": "Sum of ResourceErrors > 0, 1 of 1 times 300 s",
        "UnreadableRowAlarm": "Sum of Errors of E009 > 0, 1 of 1 times 300 s",
        "OldestHighAlarm": "Maximum of OldestUnanswered of high > 900, 1 of 1 times 300 s",
        "OldestNormalAlarm": "Maximum of OldestUnanswered of normal > 3600, 1 of 1 times 300 s",
        "OldestLowAlarm": "Maximum of OldestUnanswered of low > 21600, 1 of 1 times 300 s",
        "OverdueAlarm": "Maximum of OverdueHandoffs > 0, 3 of 3 times 300 s",
        "DeadLetterAlarm": "Maximum of ApproximateNumberOfMessagesVisible of DeadLetterQueue > 0, 1 of 1 times 60 s",
        "UnansweredAlarm": "Maximum of ApproximateNumberOfMessagesVisible of UnansweredQueue > 0, 1 of 1 times 300 s",
        "ConductorErrorAlarm": "Sum of Errors of ConductorFunction > 0, 2 of 3 times 300 s",
        "SweeperErrorAlarm": "Sum of Errors of SweeperFunction > 0, 3 of 3 times 300 s",
        "ApiErrorAlarm": "Sum of Errors of ApiFunction > 0, 1 of 1 times 300 s",
        "AuditErrorAlarm": "Sum of Errors of AuditFunction > 0, 1 of 1 times 300 s",
        "ApiFailureAlarm": "Sum of ApiFailures > 0, 2 of 3 times 300 s",
        "SweepFailureAlarm": "Sum of SweepFailures > 0, 3 of 3 times 300 s",
        "AuditFailureAlarm": "Sum of AuditFailures > 0, 1 of 1 times 300 s",
        "ConfigRefusedAlarm": "Sum of ConfigurationsRefused > 0, 1 of 1 times 300 s",
        "ConductorThrottleAlarm": "Sum of Throttles of ConductorFunction > 0, 2 of 3 times 300 s",
        "SweeperThrottleAlarm": "Sum of Throttles of SweeperFunction > 0, 2 of 3 times 300 s",
        "ApiThrottleAlarm": "Sum of Throttles of ApiFunction > 0, 2 of 3 times 300 s",
        "AuditThrottleAlarm": "Sum of Throttles of AuditFunction > 0, 2 of 3 times 300 s",
        "ConductorDurationAlarm": "Maximum of Duration of ConductorFunction > NearMs, 1 of 1 times 300 s",
        "SweeperDurationAlarm": "Maximum of Duration of SweeperFunction > 53000, 3 of 3 times 300 s",
        "ApiDurationAlarm": "Maximum of Duration of ApiFunction > 22500, 1 of 1 times 300 s",
        "AuditLagAlarm": "Maximum of IteratorAge of AuditFunction > 3600000, 1 of 1 times 300 s",
        "SweepsStoppedAlarm": "Sum of Invocations of SweeperFunction < 1, 1 of 1 times 3600 s",
    }


def test_every_function_is_watched_for_errors_and_throttles() -> None:
    functions = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
    for metric in ("Errors", "Throttles"):
        watching = [alarm for alarm in ALARMS.values() if alarm["MetricName"] == metric]
        assert {alarm["Dimensions"][0]["Value"] for alarm in watching if len(alarm["Dimensions"]) == 1} >= functions


def test_every_alarm_is_on_the_dashboard() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"][0]
    assert {name for name in ALL if f'"${{{name}.Arn}}"' in body} == set(ALL)


def test_a_saved_query_does_not_take_a_field_for_a_word_of_the_language() -> None:
    queries = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::Logs::QueryDefinition"]
    for query in queries:
        assert not re.search(r"(,|\bby) by\b|\bby,", query["QueryString"]), query["Name"]


def test_near_its_timeout_is_a_twentieth_before_it() -> None:
    timeouts = TEMPLATE["Mappings"]["FunctionTimeouts"]
    assert all(one["NearMs"] == int(seconds) * 950 for seconds, one in timeouts.items())
