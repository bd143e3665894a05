"""The files in events/: one for each way into the functions, as their entry points read it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.api import http
from conductor_loop.api.routes import ROUTES
from conductor_loop.app import Message
from conductor_loop.audit.entries import Shard, read, unseen
from conductor_loop.intents.admit import handoffs
from tests import transcripts

ROOT = Path(__file__).parents[2]
EVENTS = {path.name: json.loads(path.read_text()) for path in (ROOT / "events").glob("*.json")}
TEXT = (ROOT / "events/README.md").read_text()
EXAMPLE = "intent-scale-up-001.json"


def test_every_file_is_in_the_table_with_a_function_of_the_template() -> None:
    rows = [line.split("|") for line in TEXT.splitlines() if line.startswith("| `")]
    named = {file: row[2].strip(" `") for row in rows for file in re.findall(r"`([\w-]+\.json)`", row[1])}
    assert named.keys() == EVENTS.keys()
    template = (ROOT / "template.yaml").read_text()
    functions = set(re.findall(r"^  (\w+):\n    Type: AWS::Serverless::Function$", template, re.MULTILINE))
    assert set(named.values()) == functions, "each function has one"


def test_an_intent_that_arrived_is_one_of_the_examples() -> None:
    (handoff,) = handoffs(EVENTS["intent-arrived.json"])
    assert handoff.key == EXAMPLE
    assert (ROOT / "examples/intents" / EXAMPLE).is_file()
    assert list(handoffs(EVENTS["s3-test-event.json"])) == []


def test_the_messages_of_a_batch_are_ours() -> None:
    (record,) = EVENTS["queue-batch.json"]["Records"]
    assert record["eventSource"] == "aws:sqs"
    assert Message.parse(record["body"]).handoff.key == EXAMPLE


def test_a_row_that_changed_has_one_entry() -> None:
    event = EVENTS["audit-row.json"]
    batch = unseen(event["shardId"], Shard(), event["Records"], 0.0)
    assert batch is not None
    (entry,) = batch.entries
    found = read(entry.text)
    assert found is not None
    assert found.sound
    assert (found.chain, found.document["event"]) == (f"intent/{EXAMPLE}/example", "queued")
    assert unseen(event["shardId"], batch.after, event["Records"], 0.0) is None


@pytest.mark.parametrize("name", [name for name in EVENTS if name.startswith("api-")])
def test_a_request_is_one_that_the_api_knows(name: str) -> None:
    event: dict[str, Any] = EVENTS[name]
    request = http.read(event, started=0.0)
    assert (request.method, request.resource) in {(route.method, route.resource) for route in ROUTES}


@pytest.mark.parametrize("shell", [name for name in ("bash", "zsh") if shutil.which(name)])
def test_the_options_of_sam_local_are_as_many_words_in_every_shell(shell: str) -> None:
    steps = [step.command for block in transcripts.blocks(ROOT / "events/README.md") for step in block.steps]
    (options,) = [step for step in steps if step.startswith("flags=(")]
    used = [step for step in steps if step.startswith("sam local")]
    assert used
    assert all('"${flags[@]}"' in step for step in used)
    script = f'AWS_ENDPOINT_URL=http://here\n{options}\nprintf "%s\\n" "${{flags[@]}}"'
    words = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == [
        "--env-vars", ".local/env.local.json", "--add-host", "host.docker.internal:host-gateway",
        "--parameter-overrides", "Architecture=x86_64", "EndpointUrl=http://here",
    ]  # fmt: skip


def test_the_api_in_a_container_is_waited_for_and_stopped() -> None:
    """It takes seconds to listen: what asks at once is refused, and curl tries that again only if it is to."""
    steps = [step.command for block in transcripts.blocks(ROOT / "events/README.md") for step in block.steps]
    at = next(at for at, step in enumerate(steps) if step.startswith("sam local start-api"))
    asked, stopped = steps[at + 1], steps[at + 2]
    assert steps[at].endswith("&")
    assert {"--retry", "--retry-connrefused"} <= set(asked.split())
    assert stopped.split()[0] == "kill"
