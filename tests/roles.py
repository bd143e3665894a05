"""The roles of the template: whose they are, and what they allow, as IAM decides it."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from dev.template import RESOURCES

FUNCTIONS: Mapping[str, Any] = {
    name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"
}


def many(value: Any) -> list[Any]:
    """Give a list of what may be written as one value."""
    return value if isinstance(value, list) else [value]


def role_of(function: str) -> str:
    """Give the role of a function."""
    return str(FUNCTIONS[function]["Role"]).removesuffix(".Arn")


def statements(role: str) -> Iterator[dict[str, Any]]:
    """Give the statements of a role, those of policies that are attached to it included."""
    for policy in RESOURCES[role]["Properties"].get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]
    for one in RESOURCES.values():
        if one["Type"] == "AWS::IAM::Policy" and role in one["Properties"]["Roles"]:
            yield from one["Properties"]["PolicyDocument"]["Statement"]


def granted(role: str) -> set[tuple[str, str]]:
    """List what a role allows: action and resource."""
    return {
        (action, plain(resource))
        for statement in statements(role)
        if statement["Effect"] == "Allow"
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    }


def may(role: str, action: str, resource: str, **context: str) -> bool:
    """Decide as IAM does: a statement allows it, and none denies it. ``context`` has the keys of conditions."""
    matching = [one for one in statements(role) if _matches(one, action, resource, context)]
    return {one["Effect"] for one in matching} == {"Allow"}


def plain(resource: str) -> str:
    """Write a resource as its logical name and what follows: ``HandoffBucket/intent-*``."""
    return re.sub(r"\$\{(\w+)(\.Arn)?\}", r"\1", resource).removesuffix(".Arn")


def _matches(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    conditions = [pair for operator in statement.get("Condition", {}).values() for pair in operator.items()]
    return (
        any(fnmatchcase(action, pattern) for pattern in many(statement["Action"]))
        and any(fnmatchcase(resource, plain(pattern)) for pattern in many(statement["Resource"]))
        and all(
            any(fnmatchcase(context.get(key.partition(":")[2], ""), pattern) for pattern in many(patterns))
            for key, patterns in conditions
        )
    )
