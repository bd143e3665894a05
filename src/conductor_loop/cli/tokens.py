"""``conductor-loop token``: who may use the API."""

import math
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from conductor_loop.cli import Group, aws, config, console
from conductor_loop.cli.common import Duration, WrongUsage, stack_command
from conductor_loop.tokens import Document, Scope, UnreadableTokens, mint
from conductor_loop.tokens.stores import TokensFile, TokensSecret

_document_option = click.option(
    "--document",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the tokens, for Vault or Kubernetes; the stack's secret by default.",
)


@click.group(cls=Group)
def token() -> None:
    """Make, list and revoke the tokens of the API. Only digests are kept: a token is shown once.

    \b
    Examples:
      conductor-loop token create --scope metrics --name prometheus
      conductor-loop token create --scope intents:read --scope intents:write --expires 30d
      conductor-loop token list
      conductor-loop token revoke 9f2c4d1e8a7b6c50

    To replace a token, create another, hand it out, then revoke the first: both are good until then.
    """  # noqa: D301 - click wants the control character


@token.command()
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice([*map(str, Scope)]), help="Repeatable."
)
@click.option("--name", default="unnamed", help="Who or what uses it.")
@click.option("--expires", type=Duration(most=math.inf), default="90d", help="How long it is good, e.g. 12h.")
@_document_option
@stack_command
def create(scopes: tuple[str, ...], stack: str, document: Path | None, *, as_json: bool, **about: Any) -> None:  # noqa: ANN401 - the options, by name
    """Make a token and print it, once. It is good within a minute.

    \b
    Example:
      conductor-loop token create --scope metrics --name prometheus --expires 30d
    """  # noqa: D301 - click wants the control character
    name, expires = about["name"], about["expires"]
    now = time.time()
    try:
        made, clear = mint(name, map(Scope, scopes), now, now + expires, random=secrets.token_bytes(40))
    except (ValueError, OverflowError) as error:
        raise click.UsageError(str(error)) from None
    _change(_store(stack, document), lambda found: found.added(made, now))
    if as_json:
        console.print_json({"id": made.id, "token": clear, "expires": _day(made.expires)})
    else:
        click.echo(clear)
    click.echo(f"{made.id} is good within a minute, until {_day(made.expires)}; it is not shown again", err=True)


@token.command("list")
@_document_option
@stack_command
def list_(stack: str, document: Path | None, *, as_json: bool) -> None:
    """Print the tokens: id, name, scopes, and how long they are good.

    \b
    Examples:
      conductor-loop token list
      conductor-loop token list --output json
    """  # noqa: D301 - click wants the control character
    try:
        found = _store(stack, document).read().tokens()
    except (UnreadableTokens, OSError) as error:
        raise click.ClickException(str(error)) from None
    now = time.time()
    if as_json:
        shown = [{key: value for key, value in one.entry().items() if key != "sha256"} for one in found]
        console.print_json(shown)
        return
    until = [f"{'good until' if one.expires > now else 'expired on'} {_day(one.expires)}" for one in found]
    rows = [(one.id, one.name, ",".join(sorted(one.scopes)), end) for one, end in zip(found, until, strict=True)]
    console.print_rows(("id", "name", "scopes", "until"), rows, flexible="name")


@token.command()
@click.argument("identifier", metavar="ID")
@_document_option
@stack_command
def revoke(identifier: str, stack: str, document: Path | None, *, as_json: bool) -> None:
    """Revoke the token ID, within a minute. Where there is none of this ID, the exit code is 2.

    \b
    Example:
      conductor-loop token revoke 9f2c4d1e8a7b6c50
    """  # noqa: D301 - click wants the control character
    try:
        _change(_store(stack, document), lambda found: found.revoked(identifier))
    except KeyError:
        raise WrongUsage("there is no token with this id; see conductor-loop token list") from None
    if as_json:
        console.print_json({"id": identifier, "revoked": True})
    click.echo(f"{identifier} is revoked; copies of it are believed for a minute at most", err=True)


def _store(stack: str, document: Path | None) -> TokensFile | TokensSecret:
    if document is not None:
        return TokensFile(document)
    _, known = config.in_force(config.deployed(stack))
    if known.values["secrets"]["vault"]["enabled"]:
        raise click.ClickException(
            "this stack reads its tokens from Vault: change a file with --document, and put it there"
        )
    return TokensSecret(partial(aws.client, "secretsmanager"), aws.outputs(stack)["TokensSecret"])


def _change(store: TokensFile | TokensSecret, edit: Callable[[Document], Document]) -> None:
    try:
        store.change(edit)
    except (UnreadableTokens, ValueError, OSError) as error:
        raise click.ClickException(f"{error}; nothing was changed") from None


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
