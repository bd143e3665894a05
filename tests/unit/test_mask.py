"""Secrets, in what a program says."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_loop.porch.report import Mask, build_mask, sanitize

TOKEN = "k8s-aws-v1.aHR0cHM6Ly9zdHMuZXUt/Y2VudHJhbC0x+LmFtYXpvbmF3cy5jb20_"  # noqa: S105 - of no cluster
LINE = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f"
KEY = f"-----BEGIN EC PRIVATE KEY-----\r\n{LINE}\r\nAwEHoUQDQgAE\r\n-----END EC PRIVATE KEY-----\r\n"
MASK = build_mask([TOKEN, KEY])


@pytest.mark.parametrize(
    "said",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        json.dumps({"token": TOKEN}),
        repr(TOKEN.encode()),
        f"https://example.com/?token={quote(TOKEN, safe='')}",
        base64.b64encode(TOKEN.encode()).decode(),
        f"{TOKEN}{TOKEN}",
    ],
)
def test_a_secret_is_masked_in_every_form_that_programs_print(said: str) -> None:
    shown = MASK.text(said)
    assert "[secret]" in shown
    assert "Y2VudHJhbC0x" not in shown
    assert base64.b64encode(TOKEN.encode()).decode() not in shown


@pytest.mark.parametrize("said", [KEY, json.dumps(KEY), KEY.replace("\r\n", "\n  | ")])
def test_a_key_is_masked_as_a_whole_and_by_its_lines(said: str) -> None:
    assert LINE not in MASK.text(said)


def test_the_beginning_of_a_secret_that_was_cut_off_is_masked() -> None:
    assert MASK.text(f"said: {TOKEN[:30]}") == "said: [secret]"
    assert MASK.text("ended with k8s-aws") == "ended with k8s-aws", "too short to be a token"


def test_characters_that_are_taken_out_cannot_hide_a_secret() -> None:
    said = "\x00".join(TOKEN).encode()
    assert sanitize(said, 1000, MASK) == "[secret]"


def test_a_secret_across_the_cut_is_masked_before_it() -> None:
    shown = sanitize(f"{'a' * 15}{TOKEN}{'b' * 1000}".encode(), 40, MASK)
    assert shown == f"{'a' * 15}[secr\n[983 bytes left out]\n{'b' * 20}"


def test_documents_are_masked_in_keys_and_values_and_keep_their_shape() -> None:
    document = {"a": [TOKEN, 3, None, True], TOKEN: {"b": f"x {TOKEN}"}}
    assert MASK.document(document) == {"a": ["[secret]", 3, None, True], "[secret]": {"b": "x [secret]"}}


def test_short_words_are_no_secrets() -> None:
    mask = build_mask(["test", "  a      "])
    assert mask.text("a test") == "a test"


def test_secrets_are_found_in_bytes() -> None:
    assert MASK.is_in(b"\xff" + TOKEN.encode())
    assert not MASK.is_in(b"kind: Kptfile")


@given(st.text())
def test_without_secrets_nothing_changes(text: str) -> None:
    assert Mask().text(text) == text


@given(st.text(min_size=8), st.text(), st.text())
def test_no_secret_survives_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    hidden = build_mask([secret]).text(f"{before}{secret}{after}")
    assert secret not in hidden.replace("[secret]", "")


@given(st.text(min_size=9), st.text(), st.data())
def test_no_beginning_of_a_secret_survives_at_the_end(secret: str, before: str, data: st.DataObject) -> None:
    begun = secret[: data.draw(st.integers(8, len(secret) - 1))]
    hidden = Mask((secret,)).text(before + begun)
    assert not hidden.endswith(begun)
