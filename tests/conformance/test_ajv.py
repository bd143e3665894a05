"""``ajv validate -s schemas/intent.schema.json`` and the schema stage accept the same documents."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from conductor_loop.validation import Rules
from conductor_loop.validation.schema import findings

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schemas" / "intent.schema.json"
FOLDER = ROOT / ".local" / "ajv"
PACKAGE = "ajv-cli@5.0.0"

ANY = ["null", "true", "3", '"web"', "[]", "{}", '""', "2.5"]
NAMES = [
    *('"a"', '"0"', '"a-b"', '"-a"', '"a-"', '"A"', '"a.b"', '"a_b"', '"a\\n"', '"a\\u0000"', '"\\u00e4"', '"\\u00b2"'),
    *(f'"{"a" * length}"' for length in (63, 64, 253, 254)),
    f'"{"a" * 5000}!"',
]
VALUES = {
    "intent_type": [*ANY, '"scaling"', '"Scaling"', '"scaling "', '["scaling"]'],
    "target": [*ANY, *NAMES],
    "namespace": [*ANY, *NAMES],
    "replicas": [
        *ANY,
        *("0", "-0", "-0.0", "100", "101", "-1", "3.0", "1e1", "1e2", "1e3", "1.5e1", "25e-1", '"3"', "100.0", "1E+1"),
        *("100.00000000000000001", "100.0000001", "18446744073709551615", "1e300"),
    ],
    "reason": [*ANY, *(f'"{char * length}"' for char in ("a", "\\n", "😀", "e\\u0301") for length in (256, 512, 513))],
    "source": [*ANY, '"user"', '"planner"', '"test"', '"automation"', '"User"', '"user\\n"'],
    "correlation_id": [*ANY, '"a-B_9"', '"a b"', '"a\\n"', '"ä"', '"\\uff11"', f'"{"a" * 64}"', f'"{"a" * 65}"'],
    "priority": [*ANY, '"low"', '"normal"', '"high"', '"critical"', '"urgent"'],
    "timeout": [*ANY, '"30s"', '"0s"', '"5m"', '"1h"', '"1d"', '"30"', '"s"', '"٣s"', '"30s\\n"', '" 30s"', '"1.5s"'],
    "metadata": [*ANY, '{"a": {"b": [1]}}', '{"": null}'],
    "colour": ANY,
    "__proto__": ANY,
    "constructor": ANY,
}
VALID = {"intent_type": '"scaling"', "target": '"web"', "namespace": '"shop"', "replicas": "3"}
WHOLE = [*ANY, "-1", "[[]]", "{}"]


def documents() -> list[str]:
    """A valid intent with one field given each value, and with each required field left out; and no intents at all."""
    changed = [VALID | {field: value} for field, values in VALUES.items() for value in values]
    missing = [{field: value for field, value in VALID.items() if field != gone} for gone in VALID]
    return [*WHOLE, *map(written, [*changed, *missing])]


def written(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{field}": {value}' for field, value in fields.items()) + "}"


def go_without(reason: str) -> NoReturn:
    """Skip the test, and say why; in CI it fails."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(reason)


@pytest.fixture(scope="module")
def ajv() -> Path:
    """ajv-cli from npm, kept in .local/ajv."""
    command = FOLDER / "node_modules" / ".bin" / "ajv"
    if not command.exists():
        npm = shutil.which("npm")
        if npm is None:
            go_without("npm is missing: it would bring ajv")
        quick = ["--no-save", "--no-audit", "--no-fund", "--fetch-retries=0"]
        install = [npm, "install", "--prefix", str(FOLDER), *quick, PACKAGE]
        result = subprocess.run(install, capture_output=True, text=True, check=False)
        if result.returncode:
            go_without(f"npm cannot install {PACKAGE}: {' '.join(result.stderr.split())[:200]}")
    return command


def accepted_by_ajv(ajv: Path, folder: Path) -> dict[str, bool]:
    command = [str(ajv), "validate", "-s", str(SCHEMA), "-d", f"{folder}/*.json", "--errors=no"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = [line.rsplit(" ", 1) for line in (result.stdout + result.stderr).splitlines()]
    return {Path(line[0]).name: line[1] == "valid" for line in lines if line[-1] in {"valid", "invalid"}}


def is_valid(document: str) -> bool:
    return next(findings(json.loads(document), Rules()), None) is None


def test_ajv_agrees_on_every_question_of_the_schema(ajv: Path, tmp_path: Path) -> None:
    ours = {}
    for number, document in enumerate(documents()):
        name = f"{number:03}.json"
        (tmp_path / name).write_text(document, "utf-8")
        ours[name] = is_valid(document)
    theirs = accepted_by_ajv(ajv, tmp_path)
    print(f"{len(ours)} documents, of which {sum(ours.values())} valid")
    assert {
        (tmp_path / name).read_text("utf-8"): theirs.get(name) for name in ours if ours[name] != theirs.get(name)
    } == {}
    assert len(ours) - sum(ours.values()) > sum(ours.values()) > 40
