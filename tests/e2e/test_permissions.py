"""The role of the deployed function: everything in it is needed, and what is missing loses nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from dev.stack import ROOT
from tests.e2e.conftest import Deployed, until

POLICY = "intents"


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _grants() -> list[tuple[str, str, int]]:
    """List every (statement, action, number of the resource) that the template grants."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda loader, _, node: getattr(loader, f"construct_{node.id}")(node))  # type: ignore[attr-defined]
    template = yaml.load((ROOT / "template.yaml").read_text(), loader)  # noqa: S506 - a SafeLoader
    statements = template["Resources"]["ConductorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    return [
        (statement["Sid"], action, number)
        for statement in statements
        for action in _many(statement["Action"])
        for number in range(len(_many(statement["Resource"])))
    ]


@pytest.fixture
def policy(deployed: Deployed) -> Iterator[dict[str, Any]]:
    """Give the deployed policy; it is put back afterwards."""
    document: Any = deployed.iam.get_role_policy(RoleName=_role(deployed), PolicyName=POLICY)["PolicyDocument"]
    document = json.loads(unquote(document)) if isinstance(document, str) else document
    yield json.loads(json.dumps(document))
    _put(deployed, document)


@pytest.mark.parametrize(("sid", "action", "number"), _grants())
def test_without_any_one_grant_some_intent_waits_unanswered_and_is_not_lost(
    deployed: Deployed, policy: dict[str, Any], sid: str, action: str, number: int
) -> None:
    _put(deployed, _without(policy, sid, action, number))
    name = f"{sid.lower()}-{action.partition(':')[2].lower()}-{number}"
    files = [f"intent-{name}.json", f"intent-{name}-bad.json", f"intent-kill-before-8-{name}.json"]
    deployed.put(files[0])
    deployed.put(files[1], replicas=-1)
    deployed.put(files[2], timeout="1s")  # dies before it decides, so that a second attempt is made
    until(lambda: _unanswered(deployed, files), seconds=60)
    assert any(file in deployed.keys("intent-") for file in files) or action == "s3:DeleteObjectVersion"


def _unanswered(deployed: Deployed, files: list[str]) -> bool:
    """Say whether Lambda has given up on one of these files."""
    events = deployed.unanswered_events()
    return any(event["requestPayload"]["Records"][0]["s3"]["object"]["key"] in files for event in events)


def _without(policy: dict[str, Any], sid: str, action: str, number: int) -> dict[str, Any]:
    statements = []
    for statement in policy["Statement"]:
        actions, resources = _many(statement["Action"]), _many(statement["Resource"])
        if statement["Sid"] != sid:
            statements.append(statement)
            continue
        for other in actions:
            left = [resource for at, resource in enumerate(resources) if (other, at) != (action, number)]
            if left:
                statements.append(statement | {"Sid": f"{sid}{len(statements)}", "Action": other, "Resource": left})
    return policy | {"Statement": statements}


def _put(deployed: Deployed, policy: dict[str, Any]) -> None:
    deployed.iam.put_role_policy(RoleName=_role(deployed), PolicyName=POLICY, PolicyDocument=json.dumps(policy))


def _role(deployed: Deployed) -> str:
    function = deployed.functions.get_function(FunctionName=deployed.outputs["ConductorFunction"])
    return function["Configuration"]["Role"].rpartition("/")[2]
