import hashlib
import json
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_loop.tokens import Client, Document, Scope, Token, Tokens, TokensUnavailable, UnreadableTokens, mint

NOW = 1_800_000_000.0
DAY = 86400.0


def made(number: int = 1, scopes: Iterable[Scope] = (Scope.METRICS,), expires: float = NOW + DAY) -> tuple[Token, str]:
    return mint("prometheus", scopes, NOW - DAY, expires, random=number.to_bytes(40, "little"))


class Source:
    """A document that can be read, counted, and made to fail."""

    def __init__(self, *tokens: Token) -> None:
        self.document = document(*tokens)
        self.reads = 0
        self.broken = False

    def read(self) -> Document:
        self.reads += 1
        if self.broken:
            raise OSError("no answer")
        return self.document


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def document(*tokens: Token) -> Document:
    return Document({"tokens": [token.entry() for token in tokens]})


def test_a_token_is_recognisable_names_its_id_and_keeps_256_bits_to_itself() -> None:
    token, clear = mint("ci", [Scope.HEALTH], NOW, NOW + 1, random=bytes(range(40)))
    assert clear == f"clt_{token.id}_{bytes(range(8, 40)).hex()}"
    assert token.digest == hashlib.sha256(clear.encode()).hexdigest()
    assert clear.rpartition("_")[2] not in json.dumps(token.entry())


@pytest.mark.parametrize(
    ("name", "scopes", "lasts"), [("", ["health"], 1), ("a\nb", ["health"], 1), ("a", [], 1), ("a", ["health"], 0)]
)
def test_a_token_without_a_name_a_scope_or_a_life_is_not_made(name: str, scopes: list[Any], lasts: float) -> None:
    with pytest.raises(ValueError, match=r".+"):
        mint(name, scopes, NOW, NOW + lasts, random=bytes(40))


def test_a_good_token_names_its_client() -> None:
    token, clear = made(scopes=[Scope.INTENTS_READ, Scope.INTENTS_WRITE])
    client = Tokens(Source(token).read, Clock()).verify(clear, NOW)
    assert client == Client(token.id, "prometheus", frozenset({Scope.INTENTS_READ, Scope.INTENTS_WRITE}))


def test_a_wrong_secret_an_unknown_id_and_an_expired_token_authenticate_no_caller() -> None:
    token, clear = made()
    tokens = Tokens(Source(token).read, Clock())
    assert tokens.verify(clear[:-1] + "f", NOW) is None
    assert tokens.verify(made(2)[1], NOW) is None
    assert tokens.verify(clear, NOW + DAY - 1) is not None
    assert tokens.verify(clear, NOW + DAY) is None


@given(st.text() | st.from_regex(r"\A(Bearer )?clt_[0-9a-fA-F]{15,17}_?[0-9a-fA-F]{63}\n?\Z"))
def test_what_cannot_be_a_token_costs_no_call(presented: str) -> None:
    source = Source()
    assert Tokens(source.read, Clock()).verify(presented, NOW) is None
    assert source.reads == 0


@pytest.mark.parametrize("presented", ["clt_" + "0" * 16 + "_" + "٣" * 64, "clt_" + "0" * 16 + "_" + "0" * 64 + "\n"])
def test_other_digits_and_trailing_lines_are_no_token(presented: str) -> None:
    source = Source()
    assert Tokens(source.read, Clock()).verify(presented, NOW) is None
    assert source.reads == 0


def test_a_flood_of_wrong_tokens_costs_one_call() -> None:
    source = Source(made()[0])
    tokens = Tokens(source.read, Clock())
    assert not any(tokens.verify(made(number)[1], NOW) for number in range(2, 500))
    assert source.reads == 1


def test_two_tokens_are_good_at_once_and_a_change_is_known_after_a_minute() -> None:
    (first, clear), (second, other) = made(1), made(2)
    source, clock = Source(first), Clock()
    tokens = Tokens(source.read, clock)
    assert tokens.verify(clear, NOW)
    source.document = document(first, second)
    clock.seconds = 60
    assert tokens.verify(clear, NOW)
    assert tokens.verify(other, NOW)
    source.document = document(second)
    clock.seconds = 119
    assert tokens.verify(clear, NOW), "the copy is relied on"
    clock.seconds = 120
    assert tokens.verify(clear, NOW) is None
    assert tokens.verify(other, NOW)


def test_a_copy_that_cannot_be_read_again_is_relied_on_for_fifteen_minutes_and_no_longer() -> None:
    token, clear = made()
    source, clock = Source(token), Clock()
    tokens = Tokens(source.read, clock)
    tokens.verify(clear, NOW)
    source.broken = True
    clock.seconds = 899
    assert tokens.verify(clear, NOW)
    clock.seconds = 900
    with pytest.raises(TokensUnavailable):
        tokens.verify(clear, NOW)
    source.broken = False
    clock.seconds = 904
    assert tokens.verify(clear, NOW), "the attempt before was 5 seconds ago"


def test_while_nothing_can_be_read_it_is_retried_every_five_seconds_for_any_caller() -> None:
    source, clock = Source(), Clock()
    source.broken = True
    tokens = Tokens(source.read, clock)
    for tenth in range(100):
        clock.seconds = tenth / 10
        with pytest.raises(TokensUnavailable):
            tokens.verify(made()[1], NOW)
    assert source.reads == 2


def test_an_entry_without_sense_is_passed_over_without_a_word_of_its_content(caplog: pytest.LogCaptureFixture) -> None:
    token, clear = made()
    mistakes: list[Any] = [None, 7, {"sha256": clear}, token.entry() | {"created": "2026-01-01T00:00:00"}]
    mistakes += [token.entry() | {"scopes": ["all"]}, token.entry() | {"sha256": clear}, token.entry() | {"id": None}]
    source = Source()
    source.document = Document({"tokens": [*mistakes, token.entry()]})
    with caplog.at_level(logging.ERROR):
        assert Tokens(source.read, Clock()).verify(clear, NOW)
    assert "entry 6 of the tokens makes no sense" in caplog.text
    assert clear not in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokens": {}}', '{"tokens": "x"}', '{"tokens": null}', "clt_00"])
def test_a_document_without_tokens_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UnreadableTokens) as refused:
        Document.parse(text)
    assert not text or text not in str(refused.value)


def test_tokens_may_be_json_in_a_string() -> None:
    token, _ = made()
    text = json.dumps({"tokens": json.dumps([token.entry()])})
    assert Document.parse(text).tokens() == (token,)


def test_a_document_survives_being_written_and_read() -> None:
    token, _ = made(scopes=Scope)
    assert Document.parse(document(token).text()).tokens() == (token,)


def test_adding_drops_what_has_expired_and_keeps_what_it_does_not_know() -> None:
    (old, _), (good, _), (new, _) = made(1, expires=NOW - 1), made(2), made(3)
    before = Document({"tokens": [old.entry(), good.entry(), {"mine": 1}], "vault_token": "x"})
    after = before.added(new, NOW).added(new, NOW)
    assert after.content == {"tokens": [good.entry(), {"mine": 1}, new.entry()], "vault_token": "x"}


def test_revoking_removes_one_and_says_when_there_is_none() -> None:
    (first, _), (second, _) = made(1), made(2)
    assert document(first, second).revoked(first.id).tokens() == (second,)
    with pytest.raises(KeyError):
        document(first).revoked(second.id)


def test_more_tokens_than_a_secret_holds_are_refused() -> None:
    full = document(*(made(number)[0] for number in range(400)))
    with pytest.raises(ValueError, match="revoke some first"):
        full.text()
