"""Alarms watch metrics that exist, say what they mean, and lead to a section of the runbook."""

import operator
import re
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.catalogue import CATALOGUE, ENVIRONMENT, NAMESPACE, Kind
from dev.catalogue import OF_AWS, billed
from dev.template import FUNCTIONS, MONITORING
from tests.unit.test_template import RESOURCES, TEMPLATE

RUNBOOK = Path(__file__).parents[2] / "docs/operations.md"
ALARMS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
COMPOSITE = RESOURCES["NotAnsweringAlarm"]["Properties"]
ALL = {**ALARMS, "NotAnsweringAlarm": COMPOSITE}
GIVEN = RESOURCES["Monitoring"]["Properties"]["Parameters"]
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
    assert ALL[name]["AlarmActions"] == ["HasTopics", "AlarmTopics", "AWS::NoValue"]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_a_metric_that_exists_with_these_dimensions(name: str) -> None:
    alarm = ALARMS[name]
    dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    if alarm["Namespace"] == NAMESPACE:
        assert dimensions.pop(ENVIRONMENT) == "StackName"
        assert (alarm["MetricName"], *(dimensions.values() or [""])) in set(billed())
    else:
        (known,) = [one for one in OF_AWS if (one.namespace, one.name) == (alarm["Namespace"], alarm["MetricName"])]
        assert set(dimensions) == {known.dimension}


def test_no_alarm_is_on_for_want_of_data_but_that_on_sweeps_that_do_not_run() -> None:
    assert {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] != "notBreaching"} == {
        "SweepsStoppedAlarm"
    }


def not_answering(*on: str) -> bool:
    """Evaluate the rule of the composite alarm while only these are on."""
    rule = re.sub(r'ALARM\("\$\{(\w+)\}"\)', lambda one: str(one[1] in on), " ".join(COMPOSITE["AlarmRule"].split()))
    return bool(eval(rule.replace("OR", "or").replace("AND", "and")))  # noqa: S307 - of True, False, or, and


def test_the_composite_alarm_names_alarms_that_exist() -> None:
    assert set(re.findall(r"\{(\w+)\}", COMPOSITE["AlarmRule"])) <= set(ALARMS)


@pytest.mark.parametrize(
    ("on", "wakes"),
    [
        *(((f"Oldest{priority}Alarm",), True) for priority in ("High", "Normal", "Low")),
        *(((f"{one}Alarm",), True) for one in ("Overdue", "SweepsStopped", "DeadLetter", "ConductorThrottle")),
        (("ConductorErrorAlarm", "SweeperErrorAlarm"), True),
        (("ConductorErrorAlarm",), False),  # the sweeper hands over what it left
        (("SweeperErrorAlarm",), False),
        ((), False),
    ],
)
def test_the_composite_alarm_is_on_where_intents_are_not_answered(on: tuple[str, ...], *, wakes: bool) -> None:
    assert not_answering(*on) is wakes


def test_what_keeps_no_intent_from_its_answer_does_not_set_off_the_composite_alarm() -> None:
    about_others = ("Validation", "Configuration", "Resource", "Api", "Audit", "UnreadableRow", "ConfigRefused")
    assert not not_answering(*(name for name in ALARMS if name.startswith(about_others)))


UNITS = {(NAMESPACE, one.emf): one.unit for one in CATALOGUE} | {(one.namespace, one.name): one.unit for one in OF_AWS}
NORMAL = {"Count": 0.0, "Seconds": 60.0, "Milliseconds": 1000.0}
FAILING = {"Count": 6.0, "Seconds": 86_400.0, "Milliseconds": 86_400_000.0}  # six in each period; a day
MOST_SECONDS = {"breaching": 3600, "notBreaching": 900}  # until an alarm goes off


def threshold(alarm: dict[str, Any]) -> float:
    """Give it in numbers, for the default timeout."""
    bound = alarm["Threshold"]
    if not isinstance(bound, str):
        return float(bound)
    mapping, parameter, key = GIVEN[bound]
    return float(TEMPLATE["Mappings"][mapping][str(TEMPLATE["Parameters"][parameter]["Default"])][key])


def goes_off(alarm: dict[str, Any], value: float) -> bool:
    """Say whether an alarm goes off where each period has this value."""
    is_beyond = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}[alarm["ComparisonOperator"]]
    return bool(is_beyond(value, threshold(alarm)))


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_goes_off_for_its_failure_and_not_for_what_is_normal(name: str) -> None:
    alarm = ALARMS[name]
    unit = UNITS[(alarm["Namespace"], alarm["MetricName"])]
    normal, failing = NORMAL[unit], FAILING[unit]
    if alarm["TreatMissingData"] == "breaching":  # it is for what no longer happens
        normal, failing = 60.0, 0.0
    assert (goes_off(alarm, normal), goes_off(alarm, failing)) == (False, True)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_on_within_a_quarter_of_an_hour_or_an_hour_for_want_of_data(name: str) -> None:
    alarm = ALARMS[name]
    assert 1 <= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) <= alarm["EvaluationPeriods"]
    assert alarm["EvaluationPeriods"] * alarm["Period"] <= MOST_SECONDS[alarm["TreatMissingData"]]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_adds_up_what_happens_and_takes_the_highest_of_what_is_measured(name: str) -> None:
    alarm = ALARMS[name]
    happens = {one.emf for one in CATALOGUE if one.kind is Kind.COUNTER} | {"Invocations", "Errors", "Throttles"}
    assert alarm["Statistic"] == ("Sum" if alarm["MetricName"] in happens else "Maximum")


def test_more_urgent_intents_wait_for_less_time_until_an_alarm_goes_off() -> None:
    waits = [threshold(ALARMS[f"Oldest{priority}Alarm"]) for priority in ("High", "Normal", "Low")]
    assert waits == sorted(set(waits))


@pytest.mark.parametrize("name", [name for name, one in ALARMS.items() if one["MetricName"] == "Duration"])
def test_an_invocation_that_comes_near_its_timeout_sets_off_an_alarm_before_it_ends(name: str) -> None:
    (dimension,) = ALARMS[name]["Dimensions"]
    timeout = RESOURCES[dimension["Value"]]["Properties"]["Timeout"]
    seconds = timeout if isinstance(timeout, int) else TEMPLATE["Parameters"][timeout]["Default"]
    assert 0.7 * seconds < threshold(ALARMS[name]) / 1000 < seconds


def test_every_metric_of_what_went_wrong_is_watched() -> None:
    wrong = {one.emf for one in CATALOGUE if one.emf.endswith(("Errors", "Failures", "Refused"))}
    assert wrong <= {alarm["MetricName"] for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE}


def test_every_function_is_watched_for_errors_and_throttles() -> None:
    """A sweeper that is throttled does not sweep; errors of the stream's function make it late."""
    watched = {(one["Value"], alarm["MetricName"]) for alarm in ALARMS.values() for one in alarm["Dimensions"]}
    for name in FUNCTIONS:
        assert {(name, "Errors"), (name, "IteratorAge")} & watched
        assert {(name, "Throttles"), (name, "Invocations")} & watched


def test_the_stack_gives_the_monitoring_all_that_it_needs_and_nothing_else() -> None:
    assert GIVEN.keys() == MONITORING["Parameters"].keys()
    of_resources = {name: value for name, value in GIVEN.items() if name in RESOURCES}
    assert [name for name, value in of_resources.items() if value.partition(".")[0] != name] == []


def test_every_alarm_is_on_the_dashboard() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]
    assert {name for name in ALL if f'"${{{name}.Arn}}"' in body} == set(ALL)


def test_a_saved_query_does_not_take_a_field_for_a_word_of_the_language() -> None:
    queries = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::Logs::QueryDefinition"]
    for query in queries:
        assert not re.search(r"(,|\bby) by\b|\bby,", query["QueryString"]), query["Name"]


def test_near_its_timeout_is_a_twentieth_before_it() -> None:
    timeouts = TEMPLATE["Mappings"]["FunctionTimeouts"]
    assert all(one["NearMs"] == int(seconds) * 950 for seconds, one in timeouts.items())
