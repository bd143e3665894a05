"""Characters that do not show: where honest text needs them, and everywhere else."""

import sys

import pytest
import regex

from conductor_loop.validation import Rules, inspect
from conductor_loop.validation.rules import SecurityMode, ThreatLevel
from conductor_loop.validation.security import bare
from tests.unit.validation.intents import STANDARD, body, broken_rules

HONEST = {
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Persian, with a mark": "\u0622\u0632\u0645\u0627\u06cc\u0634\u0650\u200c\u0628\u0627\u0631",
    "Persian, after a Latin word": "API\u200c\u0647\u0627",
    "Persian, after a quotation": "\u00ab\u0633\u0631\u0648\u0631\u00bb\u200c\u0647\u0627",
    "Persian, after a number": "\u06f5\u06f0\u200c\u062f\u0631\u0635\u062f",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Sinhala": "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "Malayalam, at the end of a word": "\u0d05\u0d35\u0d28\u0d4d\u200d ",
    "Bengali, before the virama": "\u09b0\u200d\u09cd\u09af\u09be\u09ae",
    "Mongolian": "\u182f\u180b\u1820",
    "a mark in Hebrew": "\u05e9\u05d3\u05e8\u05d5\u05d2 \u05dc-C++\u200e \u05d4\u05e1\u05ea\u05d9\u05d9\u05dd",
    "a mark before Arabic": "\u200f\u0645\u0631\u062d\u0628\u0627",
    "information": "\u2139\ufe0f",
    "a key of a telephone": "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "two exclamation marks": "\u203c\ufe0f",
    "an astronaut": "\U0001f9d1\u200d\U0001f680",
    "an astronaut with a tone of skin": "\U0001f9d1\U0001f3fd\u200d\U0001f680",
    "a rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "a kiss": "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468",
    "the flag of Scotland": "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "an ideograph": "\u845b\U000e0100\u57ce",
    "an emoji that does not exist yet": "\U0001faff",
}
DISHONEST = {
    "a joiner between Latin letters": "r\u200dm",
    "a non-joiner between Latin letters": "r\u200cm",
    "a joiner between Cyrillic letters": "\u0430\u200d\u0431",
    "a joiner between ideographs": "\u4e2d\u200d\u4e2d",
    "two joiners in a row": "\u0645\u06cc\u200c\u200c\u0631\u0648\u062f",
    "two different joiners in a row": "\u0915\u094d\u200d\u200c\u0937",
    "a joiner at the start": "\u200c\u0645",
    "a joiner between a letter and an emoji": "a\u200d\U0001f680",
    "two joiners between emoji": "\U0001f9d1\u200d\u200d\U0001f680",
    "a zero-width space": "\u0645\u200b\u0645",
    "a word joiner": "\u0645\u2060\u0645",
    "a bidirectional override": "\u05d0\u202e\u05d1",
    "a bidirectional embedding": "\u05d0\u202b\u05d1",
    "a bidirectional isolate": "\u05d0\u2066\u05d1",
    "a mark beside Latin letters": "a\u200eb",
    "two marks in a row": "\u05d0\u200e\u200f\u05d1",
    "a selector after a letter": "a\ufe0f",
    "a selector after a number that is no key": "1\ufe0f2",
    "two selectors": "\u2764\ufe0f\ufe0f",
    "a selector of emoji after an ideograph": "\u6269\ufe0e",
    "two selectors of ideographs": "\u845b\U000e0100\U000e0101",
    "a tag by itself": "\U000e0041",
    "a flag with a message in tags": "\U0001f3f4\U000e0072\U000e006d\U000e007f",
    "a private character": "\ue000",
    "a code point that is no character": "\ufffe",
    "a soft hyphen": "a\u00adb",
    "a blank that is no space": "a\u2800b",
}


@pytest.mark.parametrize("rules", [Rules(), STANDARD], ids=list(SecurityMode))
@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_text_is_honest_in_prose_and_in_neither_names_nor_keys(text: str, rules: Rules) -> None:
    assert broken_rules(body(reason=text, metadata={"a": [text]}), rules) == set()
    for content in (body(target=text), body(correlation_id=text), body(metadata={text: 1})):
        assert "hidden_characters" in {rule for _, rule in broken_rules(content, rules)}


@pytest.mark.parametrize("rules", [Rules(), STANDARD], ids=list(SecurityMode))
@pytest.mark.parametrize("text", DISHONEST.values(), ids=DISHONEST.keys())
def test_everywhere_else_such_a_character_is_a_threat(text: str, rules: Rules) -> None:
    report = inspect(body(reason=text), rules)
    assert "hidden_characters" in {violation.rule for violation in report.violations}
    assert report.threat_level is ThreatLevel.HIGH


def test_an_emoji_newer_than_the_standard_library_is_an_emoji() -> None:
    assert broken_rules(body(reason="\U0001fae9 of Unicode 16", metadata={"\U0001fae9": 1})) == set()


def test_a_sign_of_category_cf_that_shows_is_not_hidden() -> None:
    assert broken_rules(body(reason="\u0600\u0661\u0662")) == set()


def test_an_unassigned_code_point_may_be_one_of_tomorrow() -> None:
    assert inspect(body(reason="\u0378")).threat_level is ThreatLevel.LOW
    assert inspect(body(reason="\u0378\u202e")).threat_level is ThreatLevel.HIGH
    assert inspect(body(target="\u0378")).threat_level is ThreatLevel.HIGH


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("r\u200dm", "blocked_keywords"),
        ("\u05d0.\u200e./\u05d0", "path_traversal"),
        ("\U0001f9d1\u200d\U0001f680; rm", "blocked_characters"),
    ],
)
def test_the_list_is_applied_to_what_is_left_without_such_characters(text: str, rule: str) -> None:
    assert ("$.reason", rule) in broken_rules(body(reason=text))


@pytest.mark.long  # every character
def test_what_programs_may_ignore_is_what_unicode_says() -> None:
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    for char in map(chr, range(sys.maxunicode + 1)):
        assert (bare(char) == "") is bool(ignorable.match(char)), hex(ord(char))
