"""Quoted texts: readers of YAML 1.1 and of YAML 1.2 see exactly the text that was meant."""

from typing import Any

import pytest
import ruamel.yaml
import yaml
from hypothesis import given
from hypothesis import strategies as st

from porch.package import quote

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = [
    "yes",
    "1e3",
    "0o17",
    "~",
    "",
    " spaces ",
    "- item",
    "# comment",
    "---",
    "...",
    "\n---\nkind: Secret\n",
    "a: b",
    "{{ .Values.x }}",
    "${HOME} $(id)",
    "!!python/object/apply:os.system ['id']",
    "&anchor *alias",
    "'single' \"double\" \\ / back`tick",
    "tab\tbell\x07null\x00delete\x7f",
    "next\x85line\u2028paragraph\u2029mark\ufeff",
    "reversed \u202e text",
    "astral \U0001f600 \U0010ffff",
    "nonchar \ufffe \uffff",
    "%YAML 1.1",
]


def as_yaml_1_1(text: str) -> object:
    return yaml.safe_load(text)


def as_yaml_1_2(text: str) -> object:
    reader = ruamel.yaml.YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    return reader.load(text)


READERS = pytest.mark.parametrize("read", [as_yaml_1_1, as_yaml_1_2])


@READERS
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_string_is_read_back_as_itself(read: Any, text: str) -> None:
    assert read(f"key: {quote(text)}\nnext: 1\n") == {"key": text, "next": 1}


@READERS
@given(text=ANY_TEXT)
def test_any_string_is_read_back_as_itself_and_never_leaves_its_line(read: Any, text: str) -> None:
    assert read(f"key: {quote(text)}") == {"key": text}
    assert len(quote(text).splitlines()) == 1


def test_a_character_that_reorders_what_a_reviewer_sees_is_written_out() -> None:
    assert quote("\u202e") == '"\\u202E"'
    assert quote("\U0001f600") == '"\U0001f600"'
