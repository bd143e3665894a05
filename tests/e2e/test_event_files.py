"""The files in events/, handed to the deployed functions with `sam remote invoke`, as events/README.md says."""

import json
import subprocess
from pathlib import Path

import pytest

from dev.stack import LOCAL, ROOT
from tests.e2e.conftest import Deployed

FUNCTIONS = {"api": "ApiFunction", "sweep": "SweeperFunction"}  # by the first word; all others are ConductorFunction's


@pytest.mark.parametrize("file", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_an_event_is_answered(deployed: Deployed, file: Path) -> None:
    function = FUNCTIONS.get(file.stem.partition("-")[0], "ConductorFunction")
    command = [str(LOCAL / "bin/sam"), "remote", "invoke", function, "--stack-name", "conductor-loop"]
    done = subprocess.run(
        [*command, "--event-file", str(file), "--output", "json"],
        env=deployed.stack.aws_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
