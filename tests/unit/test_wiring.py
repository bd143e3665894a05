"""Every variable that the template gives a function is one that the configuration reads, and the other way about."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conductor_loop.config import load
from conductor_loop.config.schema import leaves, schema
from conductor_loop.validation.rules import SecurityMode
from tests.unit.test_template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
STRICT = ["true", "false"]  # as JSON, in the order of SecurityMode
EKS = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER": "edge"}
FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction")


def test_the_configuration_knows_every_variable_of_the_template() -> None:
    given = {name for one in FUNCTIONS for name in _variables(one) if name.startswith("CONDUCTOR_")}
    wiring = schema()["variables"].keys()
    assert given <= wiring | {leaf.variable for leaf in leaves()}
    assert given >= wiring


def test_the_defaults_of_the_template_are_a_good_configuration() -> None:
    for function in FUNCTIONS:
        for strict, mode in zip(STRICT, SecurityMode, strict=True):
            given = {"LogLevel": "debug", "PriorityQueues": "false", "LiveTree": "false", "Strict": strict}
            text = _defaults(function, given | {"Delivery": "repository", "PorchRepository": "edge-1"})
            config = load({}, EKS | {"CONDUCTOR_DEFAULTS": text})
            found = (config.log_level, config.priority_queues, config.live_tree)
            assert found == ("DEBUG", False, False), json.loads(text)
            assert config.rules.mode is mode
            assert (config.delivery, config.porch_environment) == ("repository", {"PORCH_REPOSITORY": "edge-1"})


def test_the_documents_security_mode_has_precedence_over_the_templates() -> None:
    given = {"LogLevel": "info", "PriorityQueues": "false", "Strict": "false", "Delivery": "package"}
    text = _defaults("ConductorFunction", given | {"PorchRepository": "", "LiveTree": "true"})
    environment = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_DEFAULTS": text}
    config = load({"security": {"validation": {"strict_mode": True}}}, environment)
    assert config.rules.mode is SecurityMode.STRICT


def test_the_templates_security_modes_are_the_validations_with_the_specifications_as_default() -> None:
    parameter = TEMPLATE["Parameters"]["SecurityMode"]
    assert parameter["AllowedValues"] == list(SecurityMode)
    assert parameter["Default"] == SecurityMode.STRICT
    assert TEMPLATE["Conditions"]["IsStrict"] == ["SecurityMode", "strict"]


def test_every_function_judges_a_configuration_by_the_same_cluster() -> None:
    names = ("CONDUCTOR_PORCH_CLUSTER_KUBECONFIG_SECRET", "CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER", "CONDUCTOR_DEFAULTS")
    known, *others = [[_variables(function)[name] for name in names] for function in FUNCTIONS]
    assert others == [known] * len(others)
    assert known[:2] == ["KubeconfigSecretArn", "EksClusterName"]


def test_the_layer_carries_a_description_of_every_service_that_is_called() -> None:
    makefile = (ROOT / "layers/library/Makefile").read_text()
    carried = set(re.findall(r"^SERVICES := (.*)$", makefile, re.MULTILINE)[0].split())
    sources = [path.read_text() for path in (ROOT / "src/conductor_loop").rglob("*.py")]
    called = {name for source in sources for name in re.findall(r'\bclient(?:\(|, )"([a-z0-9]+)"', source)}
    assert carried <= called
    assert called - carried == {"cloudformation", "kms"}, "of the command line alone"


def _defaults(function: str, parameters: Mapping[str, str]) -> str:
    """The template's own document, with its parameters put in."""
    variables: Any = _variables(function)
    text, own = variables["CONDUCTOR_DEFAULTS"]
    assert own == {"Strict": ["IsStrict", *STRICT]}
    for name, value in parameters.items():
        text = text.replace(f"${{{name}}}", value)
    return str(text)


def _variables(function: str) -> dict[str, str]:
    variables: dict[str, str] = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    return variables
