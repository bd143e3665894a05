"""Metric lines for CloudWatch (EMF), and the catalogue that they are made of."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import jsonschema
import pytest

from conductor_loop import metrics
from conductor_loop.catalogue import CATALOGUE, CODES, DIRECTORIES, MODES, NAMESPACE, PRIORITIES, STATUSES
from conductor_loop.config import load
from conductor_loop.config.schema import mistakes
from conductor_loop.config.typed import GROUPS, Metering
from conductor_loop.counting import Counted, Journey, count
from conductor_loop.errors import Cause
from conductor_loop.intent import Priority
from conductor_loop.intents.model import Outcome
from dev.catalogue import DOCUMENT, billed, document

NOW = 1_800_000_000.25
MOST_BILLED = 60
TABLE = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}
UNITS = {"Count", "Seconds", "Bytes"}
# CloudWatch's own schema of the format, "Embedded metric format specification": the parts that bind.
EMF = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "required": ["_aws"],
        "properties": {
            "_aws": {
                "type": "object",
                "required": ["Timestamp", "CloudWatchMetrics"],
                "properties": {
                    "Timestamp": {"type": "integer"},
                    "CloudWatchMetrics": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["Namespace", "Dimensions", "Metrics"],
                            "properties": {
                                "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                                "Dimensions": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "type": "array",
                                        "minItems": 1,
                                        "maxItems": 30,
                                        "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                    },
                                },
                                "Metrics": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 100,
                                    "items": {"type": "object", "required": ["Name", "Unit"]},
                                },
                            },
                        },
                    },
                },
            }
        },
    }
)


def written(counted: Counted, metering: Metering | None = None) -> list[dict[str, Any]]:
    return metrics.lines(counted, metering or Metering(), NOW)


def reported(lines: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """Read lines as CloudWatch does: name and values of dimensions to value."""
    found = {}
    for line in lines:
        EMF.validate(line)
        for way in line["_aws"]["CloudWatchMetrics"]:
            assert way["Namespace"] == NAMESPACE
            for names, metric in product(way["Dimensions"], way["Metrics"]):
                assert metric["Unit"] in UNITS
                found[(metric["Name"], *(line[name] for name in names))] = line[metric["Name"]]
    return found


def everything() -> dict[tuple[str, ...], float]:
    """Count every status, code, mode, priority and state of affairs there is; what CloudWatch makes of it."""
    found: dict[tuple[str, ...], float] = {}
    for code, status, mode, priority in product(CODES, STATUSES, MODES, Priority):
        details = {"code": code, "error_code": Cause.SECURITY_VIOLATION}
        outcome = Outcome({"status": status, "mode": mode, "error_details": details}, "failed")
        journey = Journey(1, 1, 1.0, priority, demoted=priority)
        again = replace(outcome, status={**outcome.status, "next_retry": "2026-11-23T03:00:30Z"})
        found |= reported(written(count(outcome, journey))) | reported(written(count(again, journey)))
    others = {name: 1.0 for metric in CATALOGUE for names in metric.counted.values() for name in names}
    return found | reported(written(Counted(others, {"settling_": 1.0})))


def test_what_is_billed_are_at_most_60_metrics() -> None:
    found = set(everything())
    assert found == {(name, "conductor-loop", *([value] if value else [])) for name, value in billed()}
    assert len(found) <= MOST_BILLED


def test_a_line_has_every_metric_of_a_decision_each_with_its_own_dimensions() -> None:
    error = {"code": "E013", "error_code": "DEPLOYMENT_NOT_FOUND"}
    outcome = Outcome({"status": "failed", "mode": "structured", "error_details": error}, "failed")
    lines = written(count(outcome, Journey(2.5, 2.0, 4.0, Priority.HIGH)))
    assert len(lines) == 1
    assert lines[0]["_aws"]["Timestamp"] == 1_800_000_000_250
    assert reported(lines) == {
        ("FilesProcessed", "conductor-loop", "failed"): 1,
        ("Errors", "conductor-loop", "E013"): 1,
        ("ProcessingDuration", "conductor-loop"): 2.5,
        ("QueueingDuration", "conductor-loop", "high"): 4.0,
        ("PorchExecutionDuration", "conductor-loop"): 2.0,
        ("PorchExecutions", "conductor-loop", "structured"): 1,
    }


def test_a_label_with_two_values_makes_two_lines() -> None:
    outcome = Outcome({"status": "success"}, "processed")
    lines = written(count(outcome, Journey(1, None, 4.0, Priority.NORMAL, demoted=Priority.CRITICAL)))
    assert len(lines) == 2
    assert (
        reported(lines).items()
        >= {
            ("Demotions", "conductor-loop", "critical"): 1,
            ("QueueingDuration", "conductor-loop", "normal"): 4.0,
        }.items()
    )


@pytest.mark.parametrize(
    ("code", "group"),
    [("E001", "Validation"), ("E004", "Validation"), ("E005", "Configuration"), ("E008", "Configuration"),
     ("E021", "Configuration"), ("E010", "Resource"), ("E012", "Resource"), ("E009", ""), ("E013", "")],
)  # fmt: skip
def test_an_error_counts_in_its_group_of_the_specification(code: str, group: str) -> None:
    names = {name for name, *_ in reported(written(Counted({f"errors_{code}": 1})))}
    assert names == {"Errors", *([f"{group}Errors"] if group else [])}


def test_custom_labels_are_on_every_line_and_make_no_metric() -> None:
    metering = load({"metrics": {"custom_labels": {"environment": "production"}}}, TABLE).metering
    (line,) = written(Counted({"retried": 1}), metering)
    assert line["labels"] == {"environment": "production"}
    assert reported([line]) == {("AttemptsRetried", "conductor-loop"): 1}


def test_a_stack_is_an_environment() -> None:
    metering = load({}, TABLE | {"CONDUCTOR_STACK": "staging"}).metering
    assert reported(written(Counted({"retried": 1}), metering)) == {("AttemptsRetried", "staging"): 1}


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_switched_off_is_not_written(group: str) -> None:
    metering = load({"metrics": {group: False}}, TABLE).metering
    gone = {one.emf for one in CATALOGUE if one.emf and one.group == group}
    tally = {name: 1.0 for metric in CATALOGUE for names in metric.counted.values() for name in names}
    samples = dict.fromkeys(tally, 1.0)  # by the prefixes of histograms, which are among the names
    names = {name for name, *_ in reported(written(Counted(tally, samples), metering))}
    assert names == {one.emf for one in CATALOGUE if one.emf} - gone


def test_without_metrics_nothing_is_written() -> None:
    metering = load({"metrics": {"enabled": False}}, TABLE).metering
    assert written(Counted({"retried": 1, "config_refused": 1}), metering) == []


@pytest.mark.parametrize("name", ["le", "priority", "job", "__x", "a-b", ""])
def test_a_label_that_prometheus_or_a_metric_needs_is_refused_with_the_reason(name: str) -> None:
    ((_, text),) = mistakes({"metrics": {"custom_labels": {name: "x"}}})
    assert text.startswith("$.metrics.custom_labels: ")
    assert text.endswith("write a name of a Prometheus label that no metric has already, e.g. environment")


def test_every_label_of_a_metric_is_kept_from_custom_labels() -> None:
    for label in {metric.label for metric in CATALOGUE if metric.label} | {"version", "le"}:
        assert mistakes({"metrics": {"custom_labels": {label: "x"}}})


def test_a_printed_line_is_json_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit(Counted({"retried": 1}), Metering(), NOW)
    line = json.loads(capsys.readouterr().out)
    assert line["AttemptsRetried"] == 1


def test_names_are_unique_and_every_metric_says_where_it_is_counted() -> None:
    for names in ([one.emf for one in CATALOGUE if one.emf], [one.prometheus for one in CATALOGUE if one.prometheus]):
        assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.meaning
        assert metric.source
        assert metric.emf or metric.prometheus
        assert metric.counted
        assert (set(metric.values) == {""}) == (not metric.label)
    assert {"processed", "failed"} < set(DIRECTORIES)
    assert len(PRIORITIES) == 4


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), "run .venv/bin/python -m dev.catalogue"
