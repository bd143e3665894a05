"""The template's rules and conditions, evaluated as CloudFormation does: which parameters go together."""

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


class _Tagged(yaml.SafeLoader):
    """Keeps each function's name: ``!Equals [a, b]`` is ``{"!Equals": [a, b]}``."""


def _tagged(loader: Any, suffix: str, node: Any) -> Any:
    read = {
        "scalar": loader.construct_scalar,
        "sequence": loader.construct_sequence,
        "mapping": loader.construct_mapping,
    }
    value = read[node.id](node) if node.id == "scalar" else read[node.id](node, deep=True)
    return {f"!{suffix}": value}


_Tagged.add_multi_constructor("!", _tagged)
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), _Tagged)  # noqa: S506 - a SafeLoader
DEFAULTS = {name: one.get("Default", "") for name, one in TEMPLATE["Parameters"].items()}


def value(said: Any, given: dict[str, str]) -> Any:
    """Evaluate a function of the template, under parameters."""
    if not isinstance(said, dict) or len(said) != 1 or not next(iter(said)).startswith("!"):
        return said
    ((name, inner),) = said.items()
    if name == "!Ref":
        return DEFAULTS.get(inner) if inner not in given else given[inner]
    if name == "!If":
        condition, yes, no = inner
        return value(yes if value(TEMPLATE["Conditions"][condition], given) else no, given)
    parts = [value(one, given) for one in inner]
    functions: dict[str, Callable[[], bool]] = {
        "!Equals": lambda: bool(parts[0] == parts[1]),
        "!Not": lambda: not parts[0],
        "!And": lambda: all(parts),
        "!Or": lambda: any(parts),
    }
    return functions[name]()


def broken(**given: str) -> set[str]:
    """Name the rules that these parameters break."""
    return {
        name
        for name, rule in TEMPLATE["Rules"].items()
        if value(rule.get("RuleCondition", True), given)
        and not all(value(one["Assert"], given) for one in rule["Assertions"])
    }


SECRET, EDGE = {"KubeconfigSecretArn": "arn:aws:secretsmanager:eu-central-1:1:secret:e"}, {"EksClusterName": "edge"}
PORCH = {"PorchRepository": "edge-1"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Delivery": "check", **SECRET},
        {"Delivery": "check", **EDGE},
        {"Delivery": "scale", **SECRET},
        {"Delivery": "scale", **EDGE},
        {"Delivery": "repository", **EDGE, **PORCH},
    ],
)
def test_a_delivery_with_what_it_needs_is_deployed(given: dict[str, str]) -> None:
    assert broken(**given) == set()


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ({"Delivery": "check"}, {"DeliveryHasACluster"}),
        ({"Delivery": "scale"}, {"DeliveryHasACluster"}),
        ({"Delivery": "repository", **PORCH}, {"DeliveryHasACluster"}),
        (SECRET, {"ClusterHasADelivery"}),
        (EDGE, {"ClusterHasADelivery"}),
        ({"Delivery": "scale", **SECRET, **EDGE}, {"OneCluster"}),
        ({"Delivery": "repository", **EDGE}, {"RepositoryDelivery"}),
        ({"Delivery": "scale", **EDGE, **PORCH}, {"RepositoryDelivery"}),
        (PORCH, {"RepositoryDelivery"}),
    ],
)
def test_a_delivery_without_what_it_needs_is_refused_before_anything_is_made(
    given: dict[str, str], rules: set[str]
) -> None:
    assert broken(**given) == rules


@pytest.mark.parametrize(("wanted", "reported"), [("true", {"EventBridgeEnabled": True}), ("false", None)])
def test_the_bucket_sends_events_to_eventbridge_only_where_that_is_wanted(wanted: str, reported: Any) -> None:
    bucket = TEMPLATE["Resources"]["HandoffBucket"]["Properties"]["NotificationConfiguration"]
    assert value(bucket["EventBridgeConfiguration"], {"OutcomeEvents": wanted}) == reported
    assert DEFAULTS["OutcomeEvents"] == "false"
