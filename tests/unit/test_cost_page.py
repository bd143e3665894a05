"""docs/cost.md is made of the template, the catalogue and the figures of the bench."""

import re

from dev import cost
from dev.stack import ROOT
from tests.unit.test_template import RESOURCES

FIGURES = (ROOT / "docs/performance.md").read_text()


def test_the_page_is_that_of_the_template_and_the_figures() -> None:
    """After a change: `python -m dev.cost`."""
    assert cost.DOCUMENT.read_text() == cost.document()


def test_everything_that_is_paid_by_the_month_is_counted() -> None:
    counted = {
        "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::Dashboard",
        "AWS::SecretsManager::Secret",
    }  # fmt: skip
    by_use = ("S3", "SQS", "SNS", "IAM", "Logs", "Lambda", "Serverless", "DynamoDB", "ApiGateway", "CloudFormation")
    others = {one["Type"] for one in RESOURCES.values()} - counted
    assert {kind for kind in others if kind.split("::")[1] not in by_use} == set(), "does it cost by the month?"
    assert all(one.count for one in cost.fixed())


def test_the_estimate_of_the_dashboard_is_that_of_the_figures() -> None:
    """All but Lambda, which it measures."""
    (parts,) = re.findall(r"^\| dollars \| queued, at .*\| at 1024 MB: (S3 .*) \|$", FIGURES, re.MULTILINE)
    dollars = dict(part.split(" ") for part in parts.split(", "))
    thousand = sum(float(value) for name, value in dollars.items() if name != "Lambda") / 1000
    assert f"/ intents + {thousand:.2f}" in str(RESOURCES["Dashboard"]["Properties"]["DashboardBody"])
    assert f"{thousand:.2f} USD for all that a thousand queued intents" in cost.document()
