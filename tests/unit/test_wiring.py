"""Every variable that the template gives a function is one that the configuration reads, and the other way about."""

import json
import re
from pathlib import Path

from conductor_loop.config import load
from conductor_loop.config.schema import leaves
from conductor_loop.config.sources import WIRING
from tests.unit.test_template import RESOURCES

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction")


def test_the_configuration_knows_every_variable_of_the_template() -> None:
    given = {name for one in FUNCTIONS for name in _variables(one) if name.startswith("CONDUCTOR_")}
    assert given <= WIRING | {leaf.variable for leaf in leaves()}
    assert given >= WIRING


def test_the_defaults_of_the_template_are_a_good_configuration() -> None:
    for function in FUNCTIONS:
        text = _variables(function)["CONDUCTOR_DEFAULTS"]
        given = {"LogLevel": "debug", "PriorityQueues": "false", "Delivery": "repository", "PorchRepository": "edge-1"}
        for name, value in given.items():
            text = text.replace(f"${{{name}}}", value)
        variables = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER": "edge"}
        config = load({}, variables | {"CONDUCTOR_DEFAULTS": text})
        assert (config.log_level, config.priority_queues) == ("DEBUG", False), json.loads(text)
        assert (config.delivery, config.porch_environment) == ("repository", {"PORCH_REPOSITORY": "edge-1"})


def test_every_function_judges_a_configuration_by_the_same_cluster() -> None:
    names = ("CONDUCTOR_PORCH_CLUSTER_KUBECONFIG_SECRET", "CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER", "CONDUCTOR_DEFAULTS")
    (known,) = {tuple(_variables(function)[name] for name in names) for function in FUNCTIONS}
    assert known[:2] == ("KubeconfigSecretArn", "EksClusterName")


def test_the_layer_carries_a_description_of_every_service_that_is_called() -> None:
    makefile = (ROOT / "layers/library/Makefile").read_text()
    carried = set(re.findall(r"^SERVICES := (.*)$", makefile, re.MULTILINE)[0].split())
    sources = [(ROOT / "src/conductor_loop/aws" / name).read_text() for name in ("sdk.py", "quick.py")]
    assert {name for source in sources for name in re.findall(r'client_of\("([a-z0-9]+)"', source)} == carried


def _variables(function: str) -> dict[str, str]:
    variables: dict[str, str] = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    return variables
