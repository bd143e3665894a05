"""docs/porch-contract.md says what the code does."""

import json
import re
from pathlib import Path

import pytest

from conductor_loop.errors import Reaction
from conductor_loop.porch import RESERVED, Limits
from conductor_loop.porch.process import Ended
from conductor_loop.porch.report import check_exit, parse_document, parse_text
from conductor_loop.porch.workspace import Unusable
from conductor_loop.porch_check import RULES

DOCUMENT = (Path(__file__).parents[2] / "docs/porch-contract.md").read_text()
MIB = 1024**2
THEN = {
    Reaction.GIVE_UP: "failed, no retry",
    Reaction.RETRY: "retried",
    Reaction.ALERT: "alarm, and retried",
}


def rows(heading: str) -> list[list[str]]:
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines]


def test_every_rule_of_the_suite_is_stated_and_no_other() -> None:
    named = set(re.findall(r"\*\*([a-z-]+)\*\*", DOCUMENT))
    assert named == {rule.name for rule in RULES}


def test_the_environment_is_the_one_that_is_given() -> None:
    named = {name for row in rows("How it is started") for name in re.findall(r"`([A-Z_]+)`", row[0])}
    assert named == RESERVED


def test_what_each_exit_code_leads_to_is_what_happens() -> None:
    said = {int(code): row[2] for row in rows("Exit codes")[1:] for code in re.findall(r"\d+", row[0])}
    assert said.pop(0) == "uploaded"
    assert sorted(said) == [1, 2, 3, 4, 5, 124, 125, 126, 127]
    for code, then in said.items():
        with pytest.raises(Unusable) as caught:
            check_exit(Ended(code, None, b"", b"", 0.1), Limits())
        assert then.removesuffix(", with twice the time") == THEN[caught.value.cause.reaction], code


def test_the_bounds_are_those_that_are_set() -> None:
    limits = Limits()
    for said in (
        f"{limits.memory_bytes // MIB} MiB memory (`PorchMemory` in the template)",
        f"{limits.file_bytes // MIB} MiB | each file",
        f"{limits.disk_bytes // MIB} MiB, {limits.disk_entries:,} files and directories | the work directory",
        f"{limits.tasks} processes and threads",
        f"{limits.file_descriptors:,} open files",
        f"{limits.output_bytes // MIB} MiB printed",
        f"at most {limits.package_files} files and {limits.package_bytes // MIB} MiB",
        f"first and the last {limits.kept_output_bytes // 2 // 1024} KiB of each stream",
    ):
        assert said in DOCUMENT, said
    assert limits.grace_seconds == 2.0
    assert "two seconds later SIGKILL" in DOCUMENT


def test_the_outputs_shown_are_understood() -> None:
    direct, report = re.findall(r"```(?:json)?\n((?:Package|\{).*?)```", DOCUMENT, re.DOTALL)
    intent = {"namespace": "oran-sim", "target": "cnf-simulator", "replicas": 3}
    assert parse_text(direct)["package_name"] == "cnf-simulator-v1.2.3"
    assert parse_document(report.encode(), intent) == json.loads(report)
