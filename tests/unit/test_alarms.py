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


def test_no_alarm_is_on_for_want_of_data() -> None:
    assert {alarm["TreatMissingData"] for alarm in ALARMS.values()} == {"notBreaching"}


def test_the_composite_alarm_names_alarms_of_the_template_only() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", COMPOSITE["AlarmRule"])) < set(ALARMS)


def test_everything_that_is_to_be_watched_is() -> None:
    watched = {(alarm["Namespace"], alarm["MetricName"]) for alarm in ALARMS.values()}
    ours = ("ValidationErrors", "ConfigurationErrors", "ResourceErrors", "Errors", "OverdueHandoffs", "SweepFailures",
            "ConfigurationsRefused", "AuditFailures", "ApiFailures")  # fmt: skip
    assert watched == {
        *((NAMESPACE, name) for name in ours),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        *(("AWS/Lambda", name) for name in ("Errors", "Throttles", "Duration", "IteratorAge")),
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


def test_the_specifications_groups_have_its_thresholds() -> None:
    found: dict[str, Any] = {
        name: (ALARMS[name]["Threshold"], ALARMS[name]["Period"])
        for name in ("ValidationErrorAlarm", "ConfigurationErrorAlarm", "ResourceErrorAlarm")
    }
    assert list(found.values()) == [(5, 300), (0, 300), (0, 300)]


def test_near_its_timeout_is_a_twentieth_before_it() -> None:
    timeouts = TEMPLATE["Mappings"]["FunctionTimeouts"]
    assert all(one["NearMs"] == int(seconds) * 950 for seconds, one in timeouts.items())
