"""The rules for Prometheus and the dashboard for Grafana use only what /metrics reports."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conductor_loop.catalogue import BUILD_INFO, CATALOGUE, Kind
from dev.catalogue import OF_LIBRARY
from tests import promtool
from tests.promtool import findings, needs_promtool
from tests.unit.test_alarms import headings

FOLDER = Path(__file__).parents[2] / "docs/monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SERIES = {one.prometheus: one for one in CATALOGUE if one.prometheus}
NAME = re.compile(r"\b((?:conductor|process|python)_\w+)(?:\{([^}]*)\})?")
SPECIFIED = {
    "ConductorLoopValidationErrors": ('increase(conductor_errors_total{code=~"E00[1-4]"}[5m]) > 5', "2m", "warning"),
    "ConductorLoopConfigurationErrors": (
        'increase(conductor_errors_total{code=~"E00[5-8]"}[5m]) > 0',
        "1m",
        "critical",
    ),
    "ConductorLoopResourceErrors": ('increase(conductor_errors_total{code=~"E01[0-2]"}[5m]) > 0', "2m", "warning"),
}


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in RULES), *QUERIES])
def test_a_query_uses_series_and_labels_that_there_are(query: str) -> None:
    found = NAME.findall(query)
    assert found
    for name, labels in found:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        histogram = base in SERIES and SERIES[base].kind is Kind.HISTOGRAM
        known = SERIES.get(base if histogram else name)
        assert known or name in {BUILD_INFO, *OF_LIBRARY}, name
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', labels):
            assert known is not None
            assert label == known.label
            assert any(re.fullmatch(value, one) for one in known.values), value


def test_the_specifications_rules_are_as_it_has_them() -> None:
    found = {rule["alert"]: (rule["expr"], rule.get("for"), rule["labels"]["severity"]) for rule in RULES}
    assert found.items() >= SPECIFIED.items()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    document, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert document == "docs/operations.md"
    assert anchor in headings()


def test_every_alert_is_tried() -> None:
    tests = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    tried = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert tried == {rule["alert"] for rule in RULES}


@needs_promtool
def test_promtool_takes_the_rules_and_they_pass_their_tests() -> None:
    assert not findings("check", "rules", FOLDER / "alerts.yaml")
    assert not findings("test", "rules", FOLDER / "alerts.test.yaml")


@needs_promtool
def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "5m") for query in QUERIES]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert not findings("check", "rules", tmp_path / "rules.yaml")


def test_without_promtool_its_tests_fail_where_they_are_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promtool, "PROMTOOL", tmp_path / "promtool")
    with pytest.raises(AssertionError, match="promtool is not here: install Prometheus, then `make setup`"):
        findings("check", "rules", FOLDER / "alerts.yaml")


def test_every_panel_has_a_title_a_unit_and_a_query() -> None:
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in DASHBOARD["panels"]:
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
