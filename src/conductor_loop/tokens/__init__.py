"""Tokens of the API: made, kept as digests, verified.

A token is a bearer token and an API key alike: ``Authorization: Bearer clt_…`` and ``X-API-Key: clt_…`` take the same
one. It is shown once, when it is made; only its SHA-256 is kept.
"""

from conductor_loop.tokens.document import Document, UnreadableTokens
from conductor_loop.tokens.token import Scope, Token, mint
from conductor_loop.tokens.verifying import Client, Tokens, TokensUnavailable

__all__ = [
    "Client",
    "Document",
    "Scope",
    "Token",
    "Tokens",
    "TokensUnavailable",
    "UnreadableTokens",
    "mint",
]
