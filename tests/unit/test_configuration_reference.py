"""docs/configuration-reference.md, and what the schema says of the template."""

import re
from typing import Any

import pytest

from conductor_loop.config.schema import leaves
from dev import configuration
from tests.unit.test_template import RESOURCES, TEMPLATE

VARIABLES: dict[str, Any] = RESOURCES["ConductorFunction"]["Properties"]["Environment"]["Variables"]
KEYS = {leaf.variable: leaf for leaf in leaves()}
PARAMETERS = [
    (name, parameter)
    for name, text in VARIABLES.items()
    for parameter in {str(text), *re.findall(r"\$\{(\w+)\}", str(text))} & TEMPLATE["Parameters"].keys()
    if name in KEYS
]


def test_the_reference_is_that_of_the_schema() -> None:
    """After a change: `python -m dev.configuration`."""
    assert configuration.DOCUMENT.read_text() == configuration.document()


@pytest.mark.parametrize(("variable", "parameter"), sorted(PARAMETERS))
def test_a_key_that_the_template_sets_names_the_parameter(variable: str, parameter: str) -> None:
    """Without a value the parameter leaves it to the document; with one, the document has no effect."""
    leaf = KEYS[variable]
    if TEMPLATE["Parameters"][parameter]["Default"] == "":
        assert f"Template parameter {parameter} beats it" in leaf.schema["description"]
    else:
        assert parameter in (leaf.governed_by or "")


def test_a_key_whose_default_is_of_the_template_names_the_parameter() -> None:
    text, own = VARIABLES["CONDUCTOR_DEFAULTS"]
    assert own == {"Strict": ["IsStrict", "true", "false"]}  # of SecurityMode
    parameters = {*re.findall(r"\$\{(\w+)\}", text), "SecurityMode"} - own.keys()
    said = " ".join(leaf.schema["description"] for leaf in leaves())
    assert parameters
    assert all(f"Its default is the template parameter {parameter}" in said for parameter in parameters)
