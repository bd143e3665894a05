"""The role of the deployed function: everything in it is needed."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest

from tests.e2e.conftest import Deployed, until
from tests.unit.test_template import RESOURCES

POLICY = "intents"
_HELD_BY_TEST_ROLES = {
    ("BeToldWhatIsGone", "s3:ListBucket"),  # for 404: S3 asks for it, the embedded AWS does not
    ("ResetCorruptRows", "dynamodb:DeleteItem"),  # of a name's row
    ("ReadConfiguration", "ssm:GetParameterHistory"),  # of a function that starts while the newest version is broken
}


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _grants() -> list[tuple[str, str, int]]:
    """List every (statement, action, number of the resource) that the template grants."""
    statements = RESOURCES["ConductorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    return [
        (statement["Sid"], action, number)
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in _many(statement["Action"])
        for number in range(len(_many(statement["Resource"])))
        if (statement["Sid"], action) not in _HELD_BY_TEST_ROLES
    ]


class Provoked:
    """Ways to make the function use a grant, each for a name of its own."""

    def __init__(self, deployed: Deployed, name: str) -> None:
        self.deployed, self.name = deployed, name

    def good(self) -> None:
        self.deployed.put(f"intent-{self.name}.json", target=self.name)

    def bad(self) -> None:
        self.deployed.put(f"intent-{self.name}.json", replicas=-1)

    def prioritised(self, priority: str) -> None:
        self.deployed.put(f"intent-{self.name}.json", target=f"flaky-{self.name}", priority=priority)

    def gone(self) -> None:
        self.deployed.invoke(f"intent-{self.name}.json", "no-such-version")

    def older_version(self) -> None:
        file = f"intent-{self.name}.json"
        with self.deployed.deaf():
            version = self.deployed.put(file)
            self.deployed.put(file)
        self.deployed.invoke(file, version)

    def unreadable_row(self) -> None:
        with self.deployed.deaf():
            version = self.deployed.put(f"intent-{self.name}.json")
        row = {"pk": {"S": f"intent#intent-{self.name}.json"}, "sk": {"S": version}, "state": {"S": "?"}}
        self.deployed.dynamodb.put_item(TableName=self.deployed.outputs["StateTable"], Item=row)
        self.deployed.invoke(f"intent-{self.name}.json", version)


PROVOCATIONS: dict[tuple[str, str, int], Callable[[Provoked], None]] = {
    ("WriteAnswers", "s3:PutObject", 4): Provoked.bad,  # failed/
    ("SeeNewerVersions", "s3:ListBucketVersions", 0): Provoked.older_version,
    ("KnowAgain", "dynamodb:BatchGetItem", 0): Provoked.gone,
    ("ResetCorruptRows", "dynamodb:PutItem", 0): Provoked.unreadable_row,
    ("QueueIntents", "sqs:SendMessage", 0): partial(Provoked.prioritised, priority="high"),
    ("QueueIntents", "sqs:SendMessage", 1): partial(Provoked.prioritised, priority="normal"),
    ("QueueIntents", "sqs:SendMessage", 2): partial(Provoked.prioritised, priority="low"),
    ("KeepMessagesBack", "sqs:ChangeMessageVisibility", 0): partial(Provoked.prioritised, priority="high"),
    ("KeepMessagesBack", "sqs:ChangeMessageVisibility", 1): partial(Provoked.prioritised, priority="normal"),
    ("KeepMessagesBack", "sqs:ChangeMessageVisibility", 2): partial(Provoked.prioritised, priority="low"),
}

# What the line of a denial names, where that is no intent: a copy that runs is denied the document, or one that starts.
ABOUT = {"ReadConfiguration": "ConfigParameter"}  # an output of the stack


@pytest.fixture
def policy(deployed: Deployed) -> Iterator[dict[str, Any]]:
    """Give the deployed policy; it is put back afterwards."""
    document: Any = deployed.iam.get_role_policy(RoleName=_role(deployed), PolicyName=POLICY)["PolicyDocument"]
    document = json.loads(unquote(document)) if isinstance(document, str) else document
    yield json.loads(json.dumps(document))
    _put(deployed, document)


@pytest.mark.long  # each waits for the function to be denied
@pytest.mark.parametrize(("sid", "action", "number"), _grants())
def test_without_any_one_grant_the_function_is_denied(
    deployed: Deployed, policy: dict[str, Any], sid: str, action: str, number: int
) -> None:
    _put(deployed, _without(policy, sid, action, number))
    name = f"{sid.lower()}-{action.partition(':')[2].lower()}-{number}"
    PROVOCATIONS.get((sid, action, number), Provoked.good)(Provoked(deployed, name))
    about = deployed.outputs[ABOUT[sid]] if sid in ABOUT else name
    denials = (f"not authorized to perform: {action}", "(403)")
    until(lambda: any(deployed.logged(denial, about) for denial in denials), seconds=150)  # after two sweeps


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
