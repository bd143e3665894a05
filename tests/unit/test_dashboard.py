"""The dashboard of the template shows metrics that exist, all of the alarms, and each thing readably."""

import json
import math
import re
from typing import Any

import pytest

from conductor_loop.catalogue import CATALOGUE, Kind
from conductor_loop.config.typed import Metering
from conductor_loop.counting import Counted
from conductor_loop.metrics import lines
from dev.dashboard import unknown
from dev.pictures import _wrapped
from dev.widgets import Buckets, metrics, of_lines, rows, searches, series
from tests.unit.test_alarms import ALL
from tests.unit.test_template import RESOURCES

BODY = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]
DASHBOARD: dict[str, Any] = json.loads(
    re.sub(r"\$\{(\w[\w:.]*)\}", lambda one: {"MemorySize": "1024", "GbSecond": "0.00002"}.get(one[1], one[1]), BODY)
    .replace("StackName", "stack")
    .replace("${!", "${")
)
WIDGETS: list[dict[str, Any]] = DASHBOARD["widgets"]
TITLED = [one for one in WIDGETS if one["type"] != "text"]
LOGS = [one for one in WIDGETS if one["type"] == "log"]


def titled(title: str) -> dict[str, Any]:
    (found,) = [one for one in WIDGETS if one["properties"].get("title") == title]
    return found


def test_every_metric_of_every_widget_is_in_the_catalogue() -> None:
    assert list(unknown(WIDGETS)) == []
    assert sum(1 for one in WIDGETS for _ in (*metrics(one), *searches(one))) > 40


@pytest.mark.parametrize("wrong", [["FilesProcesed", "environment", "stack"], ["Demotions", "environment", "stack"]])
def test_a_metric_that_is_never_written_is_found_out(wrong: list[str]) -> None:
    widget = {"properties": {"metrics": [["ConductorLoop", *wrong, {"stat": "Sum"}]]}}
    assert list(unknown([widget]))


def test_the_alarms_are_all_there() -> None:
    assert {one.removesuffix(".Arn") for one in titled("Alarms")["properties"]["alarms"]} == set(ALL)


def test_every_widget_has_a_title_and_every_axis_a_unit() -> None:
    titles = [one["properties"]["title"] for one in TITLED]
    assert len(set(titles)) == len(titles) > 15
    for one in TITLED:
        if one["type"] == "metric" and one["properties"]["view"] == "timeSeries":
            axis = one["properties"]["yAxis"]["left"]
            assert (axis["min"], bool(axis["label"])) == (0, True)
            assert all(shown.options.get("label") or not shown.options["visible"] for shown in metrics(one))


def test_no_widget_lies_over_another_or_beside_the_grid() -> None:
    cells = [
        (x, y)
        for one in WIDGETS
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(set(cells)) == len(cells)
    assert {x for x, _ in cells} == set(range(24))


def test_every_outcome_and_every_counter_with_an_alarm_is_shown() -> None:
    shown = {one.source[1] for widget in WIDGETS for one in metrics(widget)}
    shown |= {found[3] for widget in WIDGETS for found in searches(widget)}
    left_out = {"ValidationErrors", "ConfigurationErrors", "ResourceErrors"}  # errors by code show what they add up
    left_out |= {"SecurityViolations", "PorchExecutions", "SweepFailures", "ConfigurationsRefused", "AuditFailures"}
    left_out |= {"ApiFailures"}
    assert {one.emf for one in CATALOGUE if one.emf} - shown == left_out  # alarms watch those


def test_errors_are_drawn_by_code_from_metric_lines() -> None:
    written = lines(Counted({"errors_E001": 2, "errors_E014": 1}), Metering(environment="stack"), 1000.0)
    found = list(series(titled("Errors by code (docs/errors.md)"), of_lines(written), Buckets(990, 10, 3)))
    assert [one.label for one in found] == ["E001", "E014"]
    assert [math.isnan(value) for value in found[0].values] == [True, False, True]
    assert found[0].values[1] == 2


def test_what_a_thousand_intents_cost_is_calculated() -> None:
    widget = titled("Cost per thousand intents")
    values = {"milliseconds": [5000.0], "invocations": [1.0, 3.0], "intents": [1.0] * 10}
    points = {one.source: [(1.0, value) for value in values[one.options["id"]]] for one in metrics(widget)}
    (cost,) = series(widget, points, Buckets(0, 10, 1))
    assert cost.values[0] == pytest.approx(1000 * (5 * 0.00002 + 4 * 0.0000002) / 10 + 0.04)


def test_percentiles_are_of_the_samples_and_not_of_their_sum() -> None:
    widget = titled("Latency 2: porch")
    written = [
        line
        for seconds in (1.0, 2.0, 9.0)
        for line in lines(Counted({}, {"porch_": seconds}), Metering(environment="stack"), 5.0)
    ]
    found = {one.label: one.values[0] for one in series(widget, of_lines(written), Buckets(0, 9, 1))}
    assert found["p50"] == 2


@pytest.mark.parametrize("widget", LOGS, ids=lambda one: one["properties"]["title"])
def test_a_log_query_takes_the_lines_that_it_is_about_and_no_others(widget: dict[str, Any]) -> None:
    events = [
        (1.0, {"message": "decided", "status": "failed", "level": "WARNING", "status_message": "why", "handoff": "a"}),
        (2.0, {"message": "decided", "status": "success", "level": "INFO", "handoff": "b"}),
        (3.0, {"message": "tried", "status": "failed", "level": "WARNING", "attempt": 1, "handoff": "c"}),
        (4.0, {"message": "refused", "level": "ERROR", "problems": ["first", "second"], "handoff": "d"}),
    ]
    texts = [(at, "ConductorLogs", json.dumps(event)) for at, event in events]
    names, *found = rows(
        widget["properties"]["query"], [*texts, (9.0, "other", texts[0][2]), (9.0, "ConductorLogs", "no")]
    )
    (row,) = found
    wanted = {"Latest failures": "a", "Latest attempts that are made again": "c"}
    assert row[names.index("handoff")] == wanted.get(widget["properties"]["title"], "d")


def test_histograms_are_shown_as_percentiles_and_gauges_at_their_highest() -> None:
    kinds = {one.emf: one.kind for one in CATALOGUE if one.emf}
    for widget in WIDGETS:
        for one in metrics(widget):
            if one.source[0] == "ConductorLoop":
                stats = {Kind.HISTOGRAM: {"p50", "p95", "p99", "SampleCount"}, Kind.GAUGE: {"Maximum"}}
                assert one.stat in stats.get(kinds[one.source[1]], {"Sum"}), one


def test_a_message_in_a_table_of_the_pictures_is_drawn_to_its_end_where_the_advice_is() -> None:
    text = "Processing timed out after 4s: porch was ended after 4.0 s; it may need more: timeout of the intent"
    lines_of_it = _wrapped("status_message", text, width=40, number=1)
    assert " ".join(lines_of_it) == text
    assert max(map(len, lines_of_it)) < 40
