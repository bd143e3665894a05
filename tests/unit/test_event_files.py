"""The files in events/: one for each way into the functions, as their entry points read it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conductor_loop import messages
from conductor_loop.api import http
from conductor_loop.api.routes import ROUTES
from conductor_loop.events import handoffs

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
    assert messages.read(record["body"]).handoff.key == EXAMPLE


@pytest.mark.parametrize("name", [name for name in EVENTS if name.startswith("api-")])
def test_a_request_is_one_that_the_api_knows(name: str) -> None:
    event: dict[str, Any] = EVENTS[name]
    request = http.read(event, started=0.0)
    assert (request.method, request.resource) in {(route.method, route.resource) for route in ROUTES}
