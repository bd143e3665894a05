"""Everything that docs/openapi.json allows, asked of the running stack."""

import subprocess
from typing import Any

import pytest

from dev.stack import LOCAL, ROOT
from tests.e2e.calling import SCOPES, make_token
from tests.e2e.conftest import Deployed

_WITHOUT_LIMITS = {
    "CONDUCTOR_HEALTH_RATE_LIMITING_ENABLED": "false",
    "CONDUCTOR_SECURITY_ACCESS_CONTROL_RATE_LIMITING": "false",
}
# A body may satisfy the schema and break a rule that JSON Schema cannot express; `next` takes only what a page gave.
_NOT_FOR_US = "positive_data_acceptance"


@pytest.fixture
def token(deployed: Deployed) -> str:
    made = make_token(deployed, "schemathesis", *SCOPES)
    deployed.restart()
    return made


@pytest.mark.long  # a thousand requests
def test_everything_that_the_document_allows_is_answered_as_it_says(deployed: Deployed, token: str) -> None:
    url = deployed.outputs["ApiUrl"]
    command = [
        str(LOCAL / "schemathesis/bin/schemathesis"), "run", str(ROOT / "docs/openapi.json"), "--url", url,
        "-H", f"Authorization: Bearer {token}", "--exclude-checks", _NOT_FOR_US,
        "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--workers", "4", "--seed", "7",
        "--suppress-health-check", "all", "--request-timeout", "30", "--no-color", "--warnings", "off",
    ]  # fmt: skip
    with deployed.variables(**_WITHOUT_LIMITS):
        done: Any = subprocess.run(command, cwd=deployed.stack.home, capture_output=True, text=True, check=False)
    print(done.stdout[-1500:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
