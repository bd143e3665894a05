"""Every variable that the template gives a function is one that the configuration reads, and the other way about."""

import json

from conductor_loop.config import load
from conductor_loop.config.schema import leaves
from conductor_loop.config.sources import WIRING
from tests.unit.test_template import RESOURCES

FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction")


def test_the_configuration_knows_every_variable_of_the_template() -> None:
    given = {name for one in FUNCTIONS for name in _variables(one) if name.startswith("CONDUCTOR_")}
    assert given <= WIRING | {leaf.variable for leaf in leaves()}
    assert WIRING - given == {"CONDUCTOR_STACK"}, "the command line's own"


def test_the_defaults_of_the_template_are_a_good_configuration() -> None:
    for function in FUNCTIONS:
        text = _variables(function)["CONDUCTOR_DEFAULTS"]
        for name, value in {"LogLevel": "debug", "PriorityQueues": "false"}.items():
            text = text.replace(f"${{{name}}}", value)
        config = load({}, {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_DEFAULTS": text})
        assert (config.log_level, config.priority_queues) == ("DEBUG", False), json.loads(text)


def _variables(function: str) -> dict[str, str]:
    variables: dict[str, str] = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    return variables
