"""Config → Parts: the only place of the API that picks adapters."""

import secrets
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from conductor_loop.api.auditing import Recorder
from conductor_loop.api.encryption_status import AtRest
from conductor_loop.api.local import local
from conductor_loop.api.parts import Known, Measures, Parts
from conductor_loop.aws.inbox import Inbox
from conductor_loop.aws.parameters import ConfigParameter, Waiting, first_then, retry_throttled
from conductor_loop.aws.trails import Trails
from conductor_loop.config import Config, InvalidConfig, Live, Stored
from conductor_loop.config.access import TokenSource
from conductor_loop.counting import AUDIT_FAILURES, Counted
from conductor_loop.errors import NotAnswering
from conductor_loop.intent import Intent
from conductor_loop.storage import sdk
from conductor_loop.storage.listing import Listing
from conductor_loop.storage.measures import QueueDepths, StateMeasures
from conductor_loop.storage.ratelimits import RateLimits
from conductor_loop.storage.state import EXPIRES_AFTER_SECONDS
from conductor_loop.tokens import Tokens, TokensUnavailable
from conductor_loop.tokens.secretsmanager import TokensSecret
from conductor_loop.tokens.vault import VaultTokens

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, in lower case: as in a ULID
_RANDOM_BITS = 80
_STARTING_SECONDS = 0.5  # after which a start reads the configuration no more: /readyz has 2 s, and a read 1.5


def live(environment: Mapping[str, str], refused: Callable[[InvalidConfig], None]) -> Live:
    """Give the configuration, as ``bootstrap.live`` does, and wait less for it once there is one."""
    clients = (partial(sdk.client, "ssm", sdk.API_STARTING), partial(sdk.client, "ssm", sdk.API_CONFIGURATION))
    first, later = (ConfigParameter(one, environment.get("CONDUCTOR_CONFIG_PARAMETER", "")) for one in clients)

    def start() -> Stored:
        return retry_throttled(
            first.newest, _STARTING_SECONDS, Waiting(time.monotonic, time.sleep, secrets.SystemRandom().random)
        )

    return Live(environment, first_then(start, later.newest), first.earlier, refused, time.monotonic)


def build(config: Config, note: Callable[[Counted], None], trace: Callable[[Intent], None]) -> Parts:
    """Put the real parts together. What they remember outlives a change of the configuration where it may.

    Args:
        config: The configuration in force.
        note: Called with what the API itself counts.
        trace: Called with each intent that is read.

    """

    def record(request_id: str, fields: Mapping[str, object], now: float) -> None:
        if waiting := recorder(request_id, fields, now):
            note(Counted({AUDIT_FAILURES: waiting}))

    table, client = config.state_table, sdk.client("dynamodb", sdk.API)
    listing = Listing(client, table, config.cleanup_after_seconds + EXPIRES_AFTER_SECONDS)
    state, recorder = StateMeasures(client, table), _recorder(table, config.audit_seconds)
    tokens, depths = _tokens(config.token_source), QueueDepths(sdk.client("sqs", sdk.API), _urls(config))
    return Parts(
        config=config,
        verify=lambda presented, now: _verified(tokens, presented, now),
        take=_limits(table).take,
        intents=Inbox(sdk.client("s3", sdk.API_UPLOAD), config.handoff_bucket, listing),
        measures=Measures(
            queue_size=depths.size,
            queue_depths=depths.each,
            active_workers=state.active_workers,
            counts=state.counts,
            table_size=state.table_size,
            encryption=_encryption(table).status,
        ),
        local=local(),
        note=note,
        record=record,
        trace=trace,
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
def _recorder(table: str, keep_seconds: float) -> Recorder:
    return Recorder(Trails(sdk.client("dynamodb", sdk.API), table, keep_seconds).note_call)


@lru_cache(maxsize=1)
def _encryption(table: str) -> AtRest:
    return AtRest(partial(sdk.client, "dynamodb", sdk.API), table, time.monotonic)


@lru_cache(maxsize=1)
def _tokens(source: TokenSource) -> Tokens:
    """Give what verifies the tokens; it is kept as long as the source stays equal, since it has a copy of them.

    Vault's own token, where ``auth_method`` is ``token``, lies beside the tokens in Secrets Manager, as
    ``vault_token``: a variable of the function would show it to every caller who may read functions.
    """
    secret = TokensSecret(partial(sdk.client, "secretsmanager", sdk.API), source.secret)
    if source.vault is None:
        return Tokens(secret.read, time.monotonic)
    vault = VaultTokens(source.vault, sdk.credentials, lambda: str(secret.read().content["vault_token"]))
    return Tokens(vault.read, time.monotonic)


def _verified(tokens: Tokens, presented: str, now: float) -> Known | None:
    try:
        return tokens.verify(presented, now)
    except TokensUnavailable as error:
        raise NotAnswering(str(error)) from error


def _new_id() -> str:
    """Make an id like a ULID: milliseconds, then randomness; 26 characters that sort by time."""
    value = int(time.time() * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
