"""Files that are no JSON: what they are is said, and what to do instead."""

import gzip
import io
import json
import zipfile

import pytest

from conductor_loop.errors import Cause
from conductor_loop.validation import inspect
from tests.unit.validation.intents import body

TEXT = body().decode()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("intent-a.json"), TEXT)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "rule", "said", "remedy"),
    [
        (gzip.compress(TEXT.encode(), mtime=0), "require_utf8", "gzip", "unpack it"),
        (zipped(), "require_utf8", "zip archive", "unpack it"),
        (TEXT.encode("utf-16"), "require_utf8", "UTF-16, with a byte order mark", "save the file as UTF-8"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "require_utf8", "UTF-16, with a byte order mark", "as UTF-8"),
        (TEXT.encode("utf-16-le"), "require_utf8", "UTF-16, without a byte order mark", "save the file as UTF-8"),
        (TEXT.encode("utf-16-be"), "require_utf8", "UTF-16, without a byte order mark", "save the file as UTF-8"),
        (TEXT.encode("utf-32"), "require_utf8", "UTF-32, with a byte order mark", "save the file as UTF-8"),
        (TEXT.encode("utf-32-be"), "require_utf8", "UTF-32, without a byte order mark", "save the file as UTF-8"),
        (TEXT.encode("utf-8-sig"), "require_utf8", "byte order mark", "without a byte order mark"),
        (TEXT.replace(" ", "\u00a0", 1).encode(), "json", "line 1, column 16 holds U+00A0 NO-BREAK SPACE", "delete it"),
        (TEXT.replace("{", "{\u200b").encode(), "json", "line 1, column 2 holds U+200B ZERO WIDTH SPACE", "delete it"),
        (TEXT.replace(",", "\ufeff,", 1).encode(), "json", "U+FEFF ZERO WIDTH NO-BREAK SPACE", "delete it"),
        (TEXT.replace("3", "3\u3164").encode(), "json", "U+3164 HANGUL FILLER", "delete it"),
        (TEXT.replace("web", "w\tb").encode(), "json", "U+0009 TAB", "delete it"),
        (TEXT.replace('"', "\u201c").encode(), "json", "not U+201C LEFT DOUBLE QUOTATION MARK", "JSON linter"),
        (json.dumps(TEXT).encode(), "json", "a string that holds the text of a JSON object", "send the object itself"),
        (json.dumps(f"\n {TEXT}" + " " * 20_000).encode(), "json", "written as JSON twice", "send the object itself"),
    ],
)
def test_what_a_file_is_instead_is_named_with_what_to_do(content: bytes, rule: str, said: str, remedy: str) -> None:
    report = inspect(content)
    assert report.cause is Cause.INVALID_FORMAT
    (violation,) = report.violations
    assert violation.rule == rule
    assert said in violation.message
    assert remedy in violation.message
    assert violation.message.isprintable()


@pytest.mark.parametrize("content", [b'{"a"\n}', b'{"a": 1,\n}', b"[1 2]", b'{"a": "b" "c"}', b"{", b'"', b"nul"])
def test_an_error_at_a_character_that_shows_names_no_other(content: bytes) -> None:
    (violation,) = inspect(content).violations
    assert "does not show" not in violation.message
    assert "line " in violation.message


@pytest.mark.parametrize("content", [b'"a {b}"', b'"{b}"', b'"\\"{"'])
def test_any_other_string_is_no_json_in_a_string(content: bytes) -> None:
    assert {violation.rule for violation in inspect(content).violations} >= {"type"}
