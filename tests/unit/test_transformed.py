"""The template as SAM transforms it: what a second stack, a second try and `sam deploy --guided` meet."""

import json
import subprocess
import tomllib
from dataclasses import dataclass
from typing import Any

import pytest

from dev.stack import LOCAL, ROOT

TEXT = (ROOT / "template.yaml").read_text()
NOT_OF_THE_ACCOUNT = {  # names that may be the same in every stack
    ("AWS::ApiGateway::Stage", "StageName"),  # one of its API
    ("AWS::CloudWatch::Alarm", "MetricName"),  # what it watches
    ("AWS::IAM::Policy", "PolicyName"),  # one of its role
    ("AWS::SNS::Topic", "DisplayName"),  # the sender that an e-mail shows
}


PARTS = {  # what is taken out, to see that it is missed
    "OmitName": "            OmitName: true",
    "Auth": "      Auth:",
    "LayerName": "      LayerName: !Sub ${AWS::StackName}-porch",
}


@dataclass(frozen=True)
class View:
    """What SAM makes of a template: see tests/sam_view.py."""

    made: dict[str, Any]
    asked: list[str]

    @property
    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = self.made["Resources"]
        return found

    @property
    def names(self) -> dict[tuple[str, str], str]:
        """Physical names, as JSON, by resource and property."""
        return {
            (name, key): json.dumps(value)
            for name, one in self.resources.items()
            for key, value in one.get("Properties", {}).items()
            if key.endswith("Name") and (one["Type"], key) not in NOT_OF_THE_ACCOUNT
        }

    @property
    def of_every_stack(self) -> set[tuple[str, str]]:
        """Names that a second stack could not have: neither the user's choice nor with the stack's name in them."""
        return {place for place, value in self.names.items() if '"Ref"' not in value and "AWS::StackName" not in value}


def without(line: str) -> str:
    """Return the template without the one line that begins so, and without what is indented below it."""
    lines = TEXT.splitlines()
    first = next((at for at, one in enumerate(lines) if one.startswith(line)), None)
    if first is None:
        return TEXT  # the template lacks it: the test of the template itself says so
    depth = len(line) - len(line.lstrip())
    below = next(at for at in range(first + 1, len(lines)) if len(lines[at]) - len(lines[at].lstrip()) <= depth)
    return "\n".join(lines[:first] + lines[below:])


@pytest.fixture(scope="module")
def views() -> dict[str, View]:
    """Give the template as it is, and as it would be without a part."""
    texts = {"": TEXT} | {part: without(line) for part, line in PARTS.items()}
    command = [str(LOCAL / "tools/bin/python"), str(ROOT / "tests/sam_view.py")]
    done = subprocess.run(command, input=json.dumps([*texts.values()]), capture_output=True, text=True, check=True)
    return {part: View(**view) for part, view in zip(texts, json.loads(done.stdout), strict=True)}


def test_every_physical_name_has_the_stacks_name_in_it(views: dict[str, View]) -> None:
    assert {("AuditLogs", "LogGroupName"), ("TokensSecret", "Name")} <= views[""].names.keys()
    assert views[""].of_every_stack == set()


def test_a_name_that_sam_itself_gives_is_found(views: dict[str, View]) -> None:
    assert views["OmitName"].of_every_stack == {("SweeperFunctionEveryMinute", "Name")}
    ((layer, key),) = views["LayerName"].of_every_stack
    assert (layer.startswith("PorchLayer"), key) == (True, "LayerName")


def test_sam_deploy_guided_asks_about_no_path(views: dict[str, View]) -> None:
    assert views[""].asked == []


def test_without_auth_it_asks_about_each_path_and_deploys_the_same(views: dict[str, View]) -> None:
    assert views["Auth"].asked == ["ApiFunction"] * 9
    assert views["Auth"].made == views[""].made


def test_the_stage_that_writes_access_logs_waits_for_the_accounts_role(views: dict[str, View]) -> None:
    resources = views[""].resources
    assert resources["Apiv1Stage"]["Properties"]["RestApiId"] == {"Ref": "Api"}
    assert resources["Api"]["DependsOn"] == "ApiAccount"


def test_a_first_deploy_that_is_rolled_back_leaves_no_name_behind_that_the_next_one_needs(
    views: dict[str, View],
) -> None:
    kept = {name for name, one in views[""].resources.items() if one.get("DeletionPolicy") == "Retain"}
    assert kept & {name for name, _ in views[""].names} == set()
    assert "StateTable" in kept, "it refuses to be deleted, and a rollback must not fail for that"


@pytest.mark.parametrize("environment", ["default", "dev", "prod"])
def test_a_first_deploy_that_fails_is_removed(environment: str) -> None:
    """CloudFormation keeps the stack after its rollback, and it can be neither updated nor made again."""
    written = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert written[environment]["deploy"]["parameters"]["on_failure"] == "DELETE"
