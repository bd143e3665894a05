"""Every row of the specification's security list: the attack, and the nearest harmless text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_loop.errors import Cause
from conductor_loop.validation import DEFAULT_RULES, Rules, inspect, security, validate
from conductor_loop.validation.rules import ThreatLevel
from conductor_loop.validation.security import is_plain
from tests.unit.validation.intents import STANDARD, body, broken_rules

ATTACKS = {
    "path_traversal": [
        "../etc/passwd",
        "..\\windows",
        "a/../b",
        "a/..",
        "..",
        "%2e%2e/x",
        "%2E%2e",
        "..%2f",
        "..%2F",
        "..%5c",
        "..%5C",
        ".%2e/",
        "%2e./",
        "..%252f",
        "..%255C",
        "%252e%252e%252f",
        "%252E%252e",
        "%25252e%25252e",
        "%u002e%u002e/",
        "%" + "25" * 8 + "41",
        "%uff0e%uff0e/",
        "%ef%bc%8e./",
        "..\u2215etc",
        "..\u2044etc",
        "..\u29f8etc",
        "..%e2%88%95etc",
        "a/.../b",
        "....//",
        "a..../b",
        "\u2025/",
        "\uff0e\uff0e\uff0f",
    ],
    "max_depth": [
        "a/b/c/d",
        "/usr/local/bin/porch",
        "a\\b\\c\\d",
        "see a%2fb%2fc%2fd",
        "https://host/a/b/c/d",
        "https:////a/b/c/d",
    ],
    "blocked_characters": [
        *";&|`$(){}[]",
        "wait; then go",
        "\u037e",
        "\uff1b",
        "\uff08",
        "\u1fef",
        "\u33c7 (x)",
        "%3b",
        "%253B",
        "%7c",
        "%u003b",
        "%ef%bc%9b",
    ],
    "blocked_keywords": [
        *("rm", "del", "format", "curl", "wget", "nc", "ncat"),
        *("rm -rf x", "RM x", "/bin/rm", "now,rm", "Format.", "x|nc", "\uff52\uff4d x"),
        *("%72%6d", "%72m -rf", "%2572%256d", "%52%4D", "x%0arm"),
    ],
    "block_null_bytes": ["\0", "a\0b"],
    "block_control_chars": ["\n", "a\tb", "\r", "\x1b[31mred", "\x7f", "\x80", "\x85", "\x9b31m"],
    "hidden_characters": [
        *("\u200b", "\u200d", "\u200e", "\u202e", "\u2066", "\u2028", "\u2029", "\ufeff", "\u00ad", "\u2060"),
        *("\U000e0041", "\U000e0101", "\ue000", "\ufffe", "\U0010ffff", "\u0378", "\u115f", "\u3164", "\ufe00"),
        *(
            "\ufe0f",
            "r\ufe0fm -rf x",
            ".\ufe0f./etc",
            "a\ufe0fb",
            "\u2764 \ufe0f",
            "\u2764\ufe0f\ufe0f",
            "\u6269\ufe0e",
        ),
    ],
    "combining_marks": ["z" + "\u0335\u0301" * 16],
}

HARMLESS = {
    "path_traversal": [
        "wait.. done",
        "and so on...",
        "2..3",
        "100%",
        "%2e",
        "a./b",
        "50%2f",
        "v1.2",
        "%252e",
        "memory.../disk",
        "a...\\b",
    ],
    "max_depth": [
        "a/b/c",
        "2024/08/15",
        "and/or",
        "https://host/a/b/c",
        "see https://grafana.example.com/d/abc/cpu",
        "C:\\a\\b\\c",
        "a/b/c d/e/f",
    ],
    "blocked_characters": [
        "a, b: c. d! e? f",
        "<x> = 'y' + #z @ ~ ^ * _ -",
        '"quoted"',
        "\u00fc\u00df",
        "1 % 2",
        "100%",
        "50% more",
        "100%25",
    ],
    "blocked_keywords": [
        *("alarm", "model", "information", "formatted", "reformat", "sync", "curly", "wgets", "ncats", "func", "nc2"),
        *("log-format", "nc-agent", "pre-del", "rm_x", "format_version", "delta", "arm"),
    ],
    "block_null_bytes": ["0", "\\0", "u0000"],
    "block_control_chars": [" ", "a b", "\u00a0", "~", "\\n"],
    "hidden_characters": [
        "K\u00e4se",
        "\u6269\u5bb9",
        "\u0645\u0631\u062d\u0628\u0627",
        "\u2764\ufe0f",
        "\u2764\ufe0e\u2764\ufe0f!",
        "\U0001f44d\U0001f3fd",
    ],
    "combining_marks": ["Vi\u1ec7t Nam", "e\u0301", "\u0915\u094d\u0937", "z" + "\u0335\u0301" * 15],
}


def cases(texts: dict[str, list[str]]) -> list[Any]:
    return [pytest.param(rule, text, id=f"{rule}-{text!a}") for rule, row in texts.items() for text in row]


@pytest.mark.parametrize(("rule", "text"), cases(ATTACKS))
def test_an_attack_is_refused_in_prose_and_deep_in_metadata_and_in_keys(rule: str, text: str) -> None:
    assert ("$.reason", rule) in broken_rules(body(reason=text))
    assert ("$.metadata.a[1].b", rule) in broken_rules(body(metadata={"a": [1, {"b": text}]}))
    assert rule in {broken for _, broken in broken_rules(body(metadata={"a": [{text: 1}]}))}


@pytest.mark.parametrize(("rule", "text"), cases(HARMLESS))
def test_the_nearest_harmless_text_is_accepted(rule: str, text: str) -> None:
    assert rule in ATTACKS
    assert broken_rules(body(reason=text, metadata={"note": [text]})) == set()


@pytest.mark.parametrize(("rule", "text"), cases(ATTACKS))
def test_in_standard_mode_the_list_is_for_names_ids_and_keys_and_not_for_prose(rule: str, text: str) -> None:
    listed = rule in {"path_traversal", "max_depth", "blocked_characters", "blocked_keywords"}
    prose = broken_rules(body(reason=text, metadata={"note": text}), STANDARD)
    assert prose == (set() if listed else {("$.reason", rule), ("$.metadata.note", rule)})
    for content in (body(correlation_id=text), body(target=text), body(metadata={text: 1})):
        assert rule in {broken for _, broken in broken_rules(content, STANDARD)}


@pytest.mark.parametrize("text", ["K\u00e4se", "\u6269\u5bb9", "\U0001f44d", "Stra\u00dfe, caf\u00e9"])
def test_honest_text_of_any_language_is_accepted_unchanged(text: str) -> None:
    assert validate(body(reason=text)).document["reason"] == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("r\ufe0fm -rf x", "blocked_keywords"),
        ("r\ufe0f\ufe0em x", "blocked_keywords"),
        (".\ufe0f./etc", "path_traversal"),
        ("..\ufe0e/", "path_traversal"),
    ],
)
def test_the_list_is_searched_without_variation_selectors(text: str, rule: str) -> None:
    assert broken_rules(body(reason=text)) == {("$.reason", rule), ("$.reason", "hidden_characters")}


@pytest.mark.parametrize("rules", [Rules(), STANDARD])
def test_a_variation_selector_has_no_place_in_names_and_keys(rules: Rules) -> None:
    assert {rule for _, rule in broken_rules(body(metadata={"\u2764\ufe0f": 1}), rules)} == {"hidden_characters"}
    assert ("$.target", "hidden_characters") in broken_rules(body(target="\u2764\ufe0f"), rules)


def test_text_is_normalised_to_nfc_before_every_other_rule() -> None:
    decomposed = "e\u0301" * 512
    intent = validate(body(reason=decomposed, metadata={"cafe\u0301": [decomposed]}))
    assert intent.document["reason"] == "\u00e9" * 512
    assert intent.document["metadata"] == {"caf\u00e9": ["\u00e9" * 512]}


def test_text_that_normalisation_makes_too_long_is_refused() -> None:
    assert ("$.metadata.a", "max_field_length") in broken_rules(body(metadata={"a": "\ufb2d" * 400}))


def test_a_longer_path_can_be_allowed() -> None:
    assert broken_rules(body(reason="a/b/c/d/e"), Rules(max_path_depth=5)) == set()


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, ThreatLevel.NONE),
        ({"replicas": 101}, ThreatLevel.NONE),
        ({"reason": "scale up (again)"}, ThreatLevel.LOW),
        ({"namespace": "kube-system"}, ThreatLevel.MEDIUM),
        ({"target": "web;x"}, ThreatLevel.HIGH),
        ({"reason": "../x"}, ThreatLevel.HIGH),
        ({"reason": "(\x1b[0m)"}, ThreatLevel.HIGH),
    ],
)
def test_the_threat_level_is_the_highest_of_the_violations(fields: dict[str, Any], level: ThreatLevel) -> None:
    assert inspect(body(**fields)).threat_level is level


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("../", "path_traversal"),
        ("a/b/c/d", "path_traversal"),
        (";", "command_injection"),
        ("curl x", "command_injection"),
        ("a" * 1025, "size_limits"),
        ("\0", "block_null_bytes"),
        ("\n", "block_control_chars"),
        ("\u202e", "normalize_unicode"),
    ],
)
def test_each_security_check_of_the_specification_says_whether_it_passed(text: str, check: str) -> None:
    checks = inspect(body(reason=text)).security_checks
    assert [name for name, passed in checks.items() if not passed] == [check]


def test_a_security_check_that_did_not_run_has_not_passed() -> None:
    assert not any(inspect(b"\xff").security_checks.values())
    assert [name for name, passed in inspect(b"{").security_checks.items() if passed] == ["require_utf8"]


def test_a_violation_names_field_rule_and_character_and_says_how_to_relax_the_rule() -> None:
    report = inspect(body(reason="scale up (again)"))
    assert report.cause is Cause.SECURITY_VIOLATION
    assert report.violations[0].message == (
        '$.reason breaks blocked_characters: "scale up (again)" holds "(" and ")"; '
        "reword it, or use the security mode standard (template parameter SecurityMode, or "
        "security.validation.strict_mode: false in the configuration), which allows it in reason and metadata"
    )


@given(st.text(st.characters(max_codepoint=126, min_codepoint=9)) | st.sampled_from(["..", "a..b", "x rm y", "..."]))
def test_what_a_look_takes_for_harmless_is_harmless_however_it_is_read(text: str) -> None:
    if is_plain(text):
        assert not list(security.listed(text, DEFAULT_RULES))
