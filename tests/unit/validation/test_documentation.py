"""docs/validation.md says what the code does."""

import re
from pathlib import Path

from conductor_loop.validation import DEFAULT_RULES
from conductor_loop.validation.rules import BOUNDS, CHECKS, SecurityMode, ThreatLevel

TEXT = (Path(__file__).parents[3] / "docs" / "validation.md").read_text("utf-8")
OTHER_RULES = {
    "json",
    "unique_keys",
    "system_namespaces",
    "timeout",
    "max_replicas",
    "priority",
    "dns_1123",
    "name",
}


def table(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its own heading."""
    lines = TEXT[TEXT.index(f"{heading}\n") :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_every_rule_is_documented() -> None:
    documented = {row[0] for row in table("## Rules")} - {"a keyword of JSON Schema"}
    assert documented == OTHER_RULES | frozenset().union(*CHECKS.values()) - {"and_more"}


def test_every_limit_is_documented_with_its_default_and_its_bounds() -> None:
    documented = {row[0]: tuple(map(int, row[1:4])) for row in table("### Limits")}
    assert documented == {name: (getattr(DEFAULT_RULES, name), *bounds) for name, bounds in BOUNDS.items()}


def test_every_mode_and_threat_level_is_documented() -> None:
    assert {row[0].split("`")[0] for row in table("### Security modes")} == set(SecurityMode)
    assert [row[0] for row in table("### Threat levels")] == [level.name for level in ThreatLevel]


def test_every_security_check_is_documented_with_its_rules() -> None:
    documented = {row[0]: frozenset(re.findall(r"\w+", row[1])) for row in table("### Security checks")}
    assert documented == CHECKS
