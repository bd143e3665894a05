"""The Lambda entry point of the API, and the only place of it that picks adapters."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import Any

import boto3  # noqa: F401 - while the function starts: with its first event, it would take a second
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import counting, metrics
from conductor_loop.api.dispatch import answer, unable
from conductor_loop.api.services import Local, Services
from conductor_loop.audit.events import Calls
from conductor_loop.config import Config, Live
from conductor_loop.config.typed import TokenSource
from conductor_loop.counting import Counted
from conductor_loop.storage import parameters, sdk
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.listing import Listing
from conductor_loop.storage.measures import Counters, QueueDepths
from conductor_loop.storage.ratelimits import RateLimits
from conductor_loop.storage.state import EXPIRES_AFTER_SECONDS
from conductor_loop.tokens import Tokens
from conductor_loop.tokens.stores import TokensSecret, VaultTokens

_STARTING_SECONDS = 0.5  # after which a start reads the configuration no more: /readyz has 2 s, and a read 1.5


def api(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request. /livez calls no service, not even for the configuration."""
    del context
    try:
        services = _built(_live().known() if event.get("resource") == "/livez" else _live().config())
    except Exception:  # noqa: BLE001 - else API Gateway answers 502, and callers cannot know whether to retry
        metrics.logger().exception("no configuration: nothing can be answered")
        metrics.emit(Counted({counting.API_FAILURES: 1}), _live().metering, time.time())
        return unable(event, time.time())
    try:
        return answer(services, event)
    finally:
        metrics.logger().thread_safe_clear_keys()


@cache
def _live() -> Live:
    return parameters.live(
        os.environ,
        lambda error: metrics.report_refused(error, _live().metering),
        (sdk.API_STARTING, sdk.API_CONFIGURATION, sdk.API_STARTING),
        lambda: _STARTING_SECONDS,
    )


@lru_cache(maxsize=2)  # of the configuration in force, and of that of the environment alone
def _built(config: Config) -> Services:
    metrics.logger().append_keys(config_version=config.version)
    logging.getLogger(metrics.SERVICE).setLevel(config.log_level)
    return build(config, lambda counted: metrics.emit(counted, config.metering, time.time()))


def build(config: Config, note: Callable[[Counted], None]) -> Services:
    """Build the services; what they remember outlives a change of the configuration where it may."""

    def record(request_id: str, fields: Mapping[str, object], now: float) -> None:
        if waiting := calls.note(request_id, fields, now):
            note(Counted({counting.AUDIT_FAILURES: waiting}))

    table, client = config.state_table, sdk.client("dynamodb", sdk.API)
    calls = _calls(table, config.audit_seconds)
    return Services(
        config=config,
        verify=_tokens(config.token_source).verify,
        take=_limits(table).take,
        intents=Inbox(sdk.client("s3", sdk.API_UPLOAD), config.handoff_bucket),
        listing=Listing(client, table, config.cleanup_after_seconds + EXPIRES_AFTER_SECONDS),
        queues=QueueDepths(sdk.client("sqs", sdk.API), _urls(config)),
        state=Counters(client, table),
        local=Local(),
        note=note,
        record=record,
        trace=metrics.trace,
        clock=time.time,
        timer=time.monotonic,
        new_id=_new_id,
    )


def _urls(config: Config) -> dict[str, str]:
    if not config.priority_queues:
        return {}
    dead = {"dead": config.dead_letters} if config.dead_letters else {}
    return {str(priority): url for priority, url in config.queues.items()} | dead


@lru_cache(maxsize=1)
def _limits(table: str) -> RateLimits:
    return RateLimits(sdk.client("dynamodb", sdk.API_LIMITER), table)


@lru_cache(maxsize=1)
def _calls(table: str, keep_seconds: float) -> Calls:
    return Calls(sdk.client("dynamodb", sdk.API), table, keep_seconds)


@lru_cache(maxsize=1)
def _tokens(source: TokenSource) -> Tokens:
    """Return what verifies the tokens; it is kept as long as the source stays equal, since it has a copy of them.

    Vault's own token, where ``auth_method`` is ``token``, lies beside the tokens in Secrets Manager, as
    ``vault_token``: a variable of the function would show it to every caller who may read functions.
    """
    secret = TokensSecret(partial(sdk.client, "secretsmanager", sdk.API), source.secret)
    if source.vault is None:
        return Tokens(secret.read, time.monotonic)
    vault = VaultTokens(source.vault, sdk.credentials, lambda: str(secret.read().content["vault_token"]))
    return Tokens(vault.read, time.monotonic)


def _new_id() -> str:
    """Make an id that sorts by time: milliseconds, then 56 random bits; 26 characters."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(7)}"
