"""The documents of the API against the running stack: its `curl` examples, and everything that OpenAPI allows."""

import re
import subprocess
from typing import Any

import pytest

from dev.stack import LOCAL, ROOT
from tests.e2e.calling import SCOPES, make_token, variables
from tests.e2e.conftest import Deployed

EXAMPLES = re.search(r"```console\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL)
_WITHOUT_LIMITS = {
    "CONDUCTOR_HEALTH_RATE_LIMITING_ENABLED": "false",
    "CONDUCTOR_SECURITY_ACCESS_CONTROL_RATE_LIMITING": "false",
}
# A body may satisfy the schema and break a rule that JSON Schema cannot tell; `next` takes only what a page gave.
_NOT_FOR_US = "positive_data_acceptance"


def examples() -> list[tuple[str, str]]:
    """Read the commands of docs/api.md, each with how its output begins."""
    assert EXAMPLES
    found: list[tuple[str, str]] = []
    for part in EXAMPLES[1].replace("\\\n", " ").split("$ ", 1)[1].split("\n$ "):
        command, _, output = part.partition("\n")
        found.append((command, output.partition("…")[0].strip()))
    return found


def test_the_examples_with_curl_print_what_the_document_says(deployed: Deployed) -> None:
    environment = deployed.stack.aws_environment | {"API_URL": deployed.outputs["ApiUrl"]}
    environment["PATH"] = f"{LOCAL / 'bin'}:{environment['PATH']}"
    with variables(deployed, CONDUCTOR_LOG_LEVEL="warn"):  # new copies know the new token
        script = "\n".join(f"{command}\nprintf '\\n==\\n'" for command, _ in examples())
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    printed = [text.strip() for text in done.stdout.split("\n==\n")]
    for (command, begins), text in zip(examples(), printed, strict=False):
        assert _shape(text).startswith(_shape(begins)), f"{command}\n{text}\n{done.stderr}"


@pytest.fixture
def token(deployed: Deployed) -> str:
    return make_token(deployed, "schemathesis", *SCOPES)


def test_everything_that_the_document_allows_is_answered_as_it_says(deployed: Deployed, token: str) -> None:
    url = deployed.outputs["ApiUrl"]
    command = [
        str(LOCAL / "schemathesis/bin/schemathesis"), "run", str(ROOT / "docs/openapi.json"), "--url", url,
        "-H", f"Authorization: Bearer {token}", "--exclude-checks", _NOT_FOR_US,
        "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--workers", "4", "--seed", "7",
        "--suppress-health-check", "all", "--request-timeout", "30", "--no-color", "--warnings", "off",
    ]  # fmt: skip
    with variables(deployed, **_WITHOUT_LIMITS):
        done: Any = subprocess.run(command, cwd=deployed.stack.home, capture_output=True, text=True, check=False)
    print(done.stdout[-1500:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def _shape(text: str) -> str:
    """Leave out what differs each time: times and numbers."""
    return re.sub(r"[0-9.:TZ-]+", "0", text)
