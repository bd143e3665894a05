"""docs/intents.md and docs/errors.md say what the code does."""

import json
import re
from pathlib import Path

from conductor_loop.cli import common
from conductor_loop.errors import Cause, Reaction
from conductor_loop.intent import Priority
from conductor_loop.intents.model import BY_STATUS
from conductor_loop.retry import Policy

ROOT = Path(__file__).parents[2]
THEN = {
    Reaction.REJECT: "rejected",
    Reaction.GIVE_UP: "failed",
    Reaction.RETRY: "retried",
    Reaction.ALERT: "retried, alarm",
}


def rows(document: str, heading: str) -> list[list[str]]:
    """Give the rows of the table whose first column is called so."""
    _, _, rest = (ROOT / "docs" / document).read_text().partition(f"| {heading} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_every_cause_is_in_the_table_with_its_code_and_what_happens_then() -> None:
    said = {
        (row[0], row[1].strip("`")): row[4].removesuffix(", with twice the time") for row in rows("errors.md", "code")
    }
    assert said == {(cause.code, cause.value): THEN[cause.reaction] for cause in Cause}


def test_the_retries_are_as_many_as_the_table_says() -> None:
    assert Policy().attempts == 3


def test_the_fields_are_those_of_the_schema() -> None:
    schema = json.loads((ROOT / "schemas/intent.schema.json").read_text())
    said = {row[0].strip("`"): row[1] for row in rows("intents.md", "field")}
    required = set(schema["required"])
    assert said == {name: "required" if name in required else "optional" for name in schema["properties"]}


def test_the_values_of_a_field_are_those_of_the_schema() -> None:
    schema = json.loads((ROOT / "schemas/intent.schema.json").read_text())
    said = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows("intents.md", "field")}
    assert said["source"] == set(schema["properties"]["source"]["enum"])
    assert said["priority"] == set(Priority)


def test_every_status_is_explained() -> None:
    said = {name for row in rows("intents.md", "status") for name in re.findall(r"`(\w+)`", row[0])}
    assert said - {"next_retry"} == set(BY_STATUS)


def test_the_exit_codes_are_those_of_the_commands() -> None:
    said = [int(row[0]) for row in rows("intents.md", "exit code")]
    assert said == [0, common.FAILED, common.USAGE, common.NOT_YET, common.NO_AWS]
