import json

import pytest

from conductor_loop.errors import Cause, Rejected
from conductor_loop.validation import Rules, check_name, check_size, inspect, validate
from tests.unit.validation.intents import body, broken_rules


def rejection(content: bytes, rules: Rules | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        validate(content, rules or Rules())
    return caught.value


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "json"),
        (b" \n", "json"),
        (b'{"replicas": 3', "json"),
        (b'{"replicas": 3,}', "json"),
        (b"{'replicas': 3}", "json"),
        (b'{"replicas": 03}', "json"),
        (b'{"reason": "a\nb"}', "json"),
        (b'{"replicas": NaN}', "json"),
        (b'{"replicas": -Infinity}', "json"),
        (b'{"a": 1, "a": 1}', "unique_keys"),
        (b'{"a": 1, "\\u0061": 1}', "unique_keys"),
        ('{"\u00e9": 1, "e\u0301": 1}'.encode(), "unique_keys"),
        (b'\xef\xbb\xbf{"replicas": 3}', "require_utf8"),
        ('{"reason": "a"}'.encode("utf-16"), "require_utf8"),
        (b'{"reason": "\xff"}', "require_utf8"),
        (b'{"reason": "\xc0\xaf"}', "require_utf8"),
        (b'{"reason": "\xed\xa0\x80"}', "require_utf8"),
        (b'{"reason": "\xf4\x90\x80\x80"}', "require_utf8"),
        (b'{"reason": "\\ud800"}', "require_utf8"),
        (b'{"reason": "\\udc00\\ud800"}', "require_utf8"),
        (b'{"\\udead": 1}', "require_utf8"),
        (b'{"replicas": 1e400}', "number_range"),
        (b'{"replicas": 18446744073709551616}', "number_range"),
        (b'{"replicas": -9223372036854775809}', "number_range"),
        (b'{"replicas": ' + b"1" * 10_000 + b"}", "number_range"),
        (b'{"replicas": 0.' + b"1" * 10_000 + b"}", "number_range"),
        (b"[" * 100_000, "max_nesting_depth"),
        (b'{"a":' * 11 + b"1" + b"}" * 11, "max_nesting_depth"),
        (b"[" + b"[]," * 100_000 + b"[]]", "max_values"),
        (b'["' + b'","' * 300_000 + b'"]', "max_values"),
        (b'{"reason": "' + b"a" * 100_000 + b'"}', "max_field_length"),
        (b'{"reason": "' + b"\\\\" * 1_025 + b'"}', "max_field_length"),
        (b'{"' + b"a" * 1_025 + b'": 1}', "max_field_length"),
        (b'{"metadata": [' + b"1," * 100 + b"1]}", "max_array_length"),
        ('{"reason": "' + "\u0301" * 31 + '"}', "combining_marks"),
        ('{"reason": "' + "\u0f73" * 31 + '"}', "combining_marks"),
    ],
)
def test_what_is_not_a_document_that_can_be_parsed_safely_is_e001(content: bytes | str, rule: str) -> None:
    error = rejection(content if isinstance(content, bytes) else content.encode())
    assert error.cause is Cause.INVALID_FORMAT
    assert error.cause.code == "E001"
    assert rule in {violation.rule for violation in error.violations}


@pytest.mark.parametrize(
    "metadata",
    [
        {"nanoseconds": 1_723_718_400_000_000_000, "largest": 2**64 - 1, "smallest": -(2**63)},
        {"tiny": 5e-324, "large": 1.7e308, "minus_zero": -0.0},
        {"brackets": "<" * 100, "quotes": '"' * 100, "deep": [[[[[[[[1]]]]]]]]},
        {"elements": list(range(100))},
        {"longest": "a" * 1024, "longest in escapes": "\U0001f600" * 1024},
        {"a": {"a": {"a": 1}}, "A": 1},
        {"umlauts": "Käse", "chinese": "扩容", "emoji": "👍🏽 ❤️", "marks": "e" + "\u0323\u0301" * 15},
    ],
)
def test_the_nearest_harmless_document_is_valid(metadata: dict[str, object]) -> None:
    for ascii_only in (True, False):
        content = json.dumps(json.loads(body(metadata=metadata)), ensure_ascii=ascii_only).encode()
        assert inspect(content).violations == ()


def test_brackets_and_quotes_inside_a_string_do_not_count_as_structure() -> None:
    content = body().replace(b'"web"', b'"' + b'\\"[{\\\\' * 20 + b'"')
    assert {rule for _, rule in broken_rules(content)} == {"pattern", "blocked_characters", "max_depth"}


def test_ten_levels_are_accepted_and_eleven_are_not() -> None:
    def nested(levels: int) -> bytes:
        return body().replace(b"3", b'3, "metadata": ' + b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1))

    assert broken_rules(nested(10)) == set()
    assert broken_rules(nested(11)) == {("$", "max_nesting_depth")}


def test_everything_that_a_parsed_document_breaks_is_reported_with_its_path() -> None:
    content = body(reason="\ud800").replace(b"3", b'1e999, "target": "Web"')
    assert broken_rules(content) == {
        ("$.target", "unique_keys"),
        ("$.replicas", "number_range"),
        ("$.reason", "require_utf8"),
        ("$.target", "pattern"),
    }


def test_a_grammatical_error_names_its_line_and_column() -> None:
    error = rejection(b'{\n  "replicas": 3,\n  "target" "web"\n}')
    assert "line 3, column 12" in error.violations[0].message


LONG = b"a" * 100_000


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b'{"reason": "' + LONG + b'"}', "$.reason"),
        (b'{"target": "w\\"eb\\\\", "reason": "' + LONG + b'"}', "$.reason"),
        (b'{"metadata": {"a": [1, {"b": "}"}, ["x", "' + LONG + b'"]]}}', "$.metadata.a[2][1]"),
        (b'{"a": {"b": [1, 2]}, "c": {}, "metadata": {"note": "' + LONG + b'"}}', "$.metadata.note"),
        (b'{"metadata": {"' + LONG + b'": 1}}', f'$.metadata["{"a" * 48}..."]'),
        (b'"' + LONG + b'"', "$"),
    ],
)
def test_a_string_that_is_far_too_long_is_named_by_its_path(content: bytes, path: str) -> None:
    assert (path, "max_field_length") in broken_rules(content)


def test_a_number_out_of_range_is_to_be_another_number() -> None:
    (violation,) = rejection(body().replace(b"3", b"1e400")).violations
    assert violation.message.endswith("; write a number in that range")


def test_nesting_too_deeply_says_nothing_of_fields_that_are_not_there() -> None:
    (violation,) = rejection(b"[" * 100_000).violations
    assert "metadata" not in violation.message
    assert violation.message.endswith("levels deep; an intent needs two or three")


def test_a_file_is_as_large_as_the_limit_at_most() -> None:
    content = body()
    assert inspect(content, Rules(max_file_bytes=len(content))).valid
    error = rejection(content, Rules(max_file_bytes=len(content) - 1))
    assert error.cause is Cause.FILE_TOO_LARGE
    assert error.cause.code == "E002"
    assert error.violations[0].rule == "max_file_size"


def test_an_object_is_refused_by_its_size_before_it_is_read() -> None:
    check_size(10 * 1024 * 1024)
    with pytest.raises(Rejected) as caught:
        check_size(10 * 1024 * 1024 + 1)
    assert caught.value.cause is Cause.FILE_TOO_LARGE


@pytest.mark.parametrize(
    "key", ["intent-a.json", "intent-scale-up-001.json", "intent-_.json", f"intent-{'a' * 188}.json"]
)
def test_a_key_that_follows_the_naming_convention_is_accepted(key: str) -> None:
    check_name(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "intent-.json",
        "intent-a.json\n",
        "intent-a.JSON",
        "a/intent-a.json",
        "intent-ä.json",
        "intent-a b.json",
        f"intent-{'a' * 189}.json",
    ],
)
def test_a_key_that_breaks_the_naming_convention_is_e001(key: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_name(key)
    assert caught.value.cause is Cause.INVALID_NAME
    assert caught.value.violations[0].message.isprintable()


def test_a_file_of_a_good_name_is_the_intent_that_it_holds() -> None:
    assert validate(body(), Rules(), "intent-a.json") == validate(body())


@pytest.mark.parametrize(
    ("content", "rules"),
    [(body(), ["name"]), (body(replicas="3"), ["name", "type"]), (b"", ["name", "json"])],
)
def test_a_file_of_a_wrong_name_is_refused_for_that_and_for_its_content(content: bytes, rules: list[str]) -> None:
    with pytest.raises(Rejected) as caught:
        validate(content, Rules(), "a.json")
    assert caught.value.cause is Cause.INVALID_NAME
    assert [violation.rule for violation in caught.value.violations] == rules


def test_a_file_that_is_too_large_is_refused_for_its_name_as_well() -> None:
    with pytest.raises(Rejected) as caught:
        validate(body(), Rules(max_file_bytes=1), "a.json")
    assert [violation.rule for violation in caught.value.violations] == ["name", "max_file_size"]


def test_limits_outside_their_bounds_are_all_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"max_array_length is 0.*max_replicas is 1001"):
        Rules(max_array_length=0, max_replicas=1001)
