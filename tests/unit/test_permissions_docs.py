"""docs/permissions.md: what can be said of it without a stack; tests/e2e/test_policies.py tries it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_template import RESOURCES

TEXT = (Path(__file__).parents[2] / "docs/permissions.md").read_text()
POLICIES: list[list[dict[str, Any]]] = [
    json.loads(one)["Statement"] for one in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
]
OTHERS = {"Serverless": "lambda"}  # the service of IAM, where it is not called as that of CloudFormation


@pytest.mark.parametrize("statements", POLICIES, ids=["sender", "operator"])
def test_a_policy_is_for_this_stack_alone(statements: list[dict[str, Any]]) -> None:
    assert len({one["Sid"] for one in statements}) == len(statements)
    for one in statements:
        resources = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
        actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
        assert not any("*" in action for action in actions)
        if one["Sid"] != "ListWhatHasNoArn":
            assert all("conductor-loop" in resource for resource in resources)
        else:
            assert all(re.match(r"\w+:(List|Describe)", action) for action in actions)


def test_the_services_of_a_deploy_are_those_of_the_template() -> None:
    parts = {one["Type"].split("::")[1] for one in RESOURCES.values()}
    services = {OTHERS.get(part, part.lower()) for part in parts} | {"scheduler"}  # the sweeper's ScheduleV2
    said = TEXT.partition("has resources of")[2]
    assert set(re.findall(r"`(\w+)`", said)) == services
