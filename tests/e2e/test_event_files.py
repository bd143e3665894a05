"""The files in events/, handed to the deployed functions."""

import json
from pathlib import Path

import pytest

from dev.stack import ROOT, write_env
from dev.template import RESOURCES
from tests.e2e.conftest import Deployed

CONTAINERS = "http://host.docker.internal"
FUNCTIONS = {  # by the first word; all others are ConductorFunction's
    "api": "ApiFunction",
    "audit": "AuditFunction",
    "sweep": "SweeperFunction",
}


@pytest.mark.parametrize("file", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_an_event_is_answered(deployed: Deployed, file: Path) -> None:
    function = FUNCTIONS.get(file.stem.partition("-")[0], "ConductorFunction")
    answer = deployed.functions.invoke(FunctionName=deployed.outputs[function], Payload=file.read_bytes())
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer


def test_a_function_in_a_container_has_every_variable_of_the_deployed_one(deployed: Deployed, tmp_path: Path) -> None:
    write_env(deployed.stack, deployed.outputs, tmp_path)
    written = json.loads((tmp_path / "env.local.json").read_text())
    templates = {name: one for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
    assert written.keys() == templates.keys()
    for name, one in templates.items():
        assert written[name].keys() == one["Properties"]["Environment"]["Variables"].keys()
        assert written[name]["AWS_ENDPOINT_URL"] == f"{CONTAINERS}:{deployed.stack.port}"
    assert written["AuditFunction"]["CONDUCTOR_AUDIT_LOG"] == deployed.outputs["AuditLogGroup"]
    assert written["ConductorFunction"]["CONDUCTOR_ACCESS_CONTROL_PRIORITY_PRINCIPALS"] == "*", "as on the stack"
    assert written["ConductorFunction"]["CONDUCTOR_PORCH_PATH"] == "/opt/bin/porch"
