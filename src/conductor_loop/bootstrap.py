"""Config → App: the only place that picks adapters."""

import os
import random
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor_loop.app import App, Measured
from conductor_loop.aws import sdk
from conductor_loop.aws.census import Census
from conductor_loop.aws.dynamodb import StateTable
from conductor_loop.aws.functions import Conductor
from conductor_loop.aws.kubeconfigs import EksCluster, KubeconfigSecret
from conductor_loop.aws.measuring import StateMeasures
from conductor_loop.aws.parameters import ConfigParameter
from conductor_loop.aws.ratelimits import RateLimits
from conductor_loop.aws.s3 import Bucket
from conductor_loop.aws.sdk import (
    dynamodb_client,
    eks_client,
    end_at,
    lambda_client,
    s3_client,
    secretsmanager_client,
    sqs_client,
    ssm_client,
    sts_client,
)
from conductor_loop.aws.secretsmanager import TokensSecret
from conductor_loop.aws.sqs import Queues
from conductor_loop.aws.trails import Trails
from conductor_loop.config import Config, InvalidConfig, Live, changes
from conductor_loop.config.sources import parsed
from conductor_loop.config.typed import TokenSource, load
from conductor_loop.counting import ACTIVE_WORKERS, MAX_WORKERS, Counted
from conductor_loop.intent import Intent
from conductor_loop.porch import Credentials, Limits, Porch
from conductor_loop.tokens import Tokens
from conductor_loop.tokens.vault import VaultTokens
from conductor_loop.turns import Turns

__all__ = ["build", "config_trail", "end_at", "live", "measure", "tokens"]

_turns = Turns()  # of this process

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def live(environment: Mapping[str, str], refused: Callable[[InvalidConfig], None]) -> Live:
    """Give the configuration of a function.

    Args:
        environment: Of the function.
        refused: Called once for each version of the document that is broken.

    """
    parameter = ConfigParameter(ssm_client, environment.get("CONDUCTOR_CONFIG_PARAMETER", ""))
    return Live(environment, parameter.newest, parameter.earlier, refused, time.monotonic)


def build(
    config: Config,
    observe: Callable[[Measured], None],
    note: Callable[[Counted], None],
    trace: Callable[[Intent], None],
    worker: str,
) -> App:
    """Put the real parts together.

    Args:
        config: The configuration in force.
        observe: Called once for each decision, and for each attempt that is made again.
        note: Called with what else is counted.
        trace: Called with each intent that is read.
        worker: Name of this execution environment; its log stream, on Lambda.

    """
    porch = Porch(
        path=config.porch_path,
        mode=config.mode,
        work_root=config.work_root,
        environment=config.porch_environment,
        limits=Limits(memory_bytes=config.porch_memory_bytes, file_descriptors=config.porch_descriptors),
        cleans=_tmp_of_lambda(),
        credentials=_credentials(config),
    )
    return App(
        config=config,
        bucket=Bucket(s3_client()),
        state=StateTable(
            dynamodb_client(), config.state_table, config.cleanup_after_seconds, random.random, config.audit_seconds
        ),
        queues=Queues(sqs_client(), config.queues),
        take=RateLimits(dynamodb_client(), config.state_table).take,
        redeliver=Conductor(lambda_client, config.conductor_function).redeliver,
        run_porch=porch.run,
        observe=observe,
        note=note,
        trace=trace,
        clock=time.time,
        wait=time.sleep,
        turn=_turns.turn,
        jitter=random.random,
        new_owner=lambda: uuid.uuid4().hex,
        worker_id=zlib.crc32(worker.encode()),
    )


def _tmp_of_lambda() -> Path | None:
    """Give /tmp where it is this function's alone.

    Not where something else runs our code: there, /tmp is everybody's, and variables of the environment are copied
    easily. Lambda's own Python is in /var/lang, and its user is not root.
    """
    on_lambda = sys.base_prefix == "/var/lang" and Path("/var/runtime").is_dir() and os.geteuid() != 0
    return Path("/tmp") if on_lambda else None  # noqa: S108 - all of it is meant


def measure(config: Config, overdue: int, now: float) -> Mapping[str, float]:
    """Count on the files of the directories, a page of each, and say how busy the workers are.

    Args:
        config: The configuration in force.
        overdue: Inputs that a sweep has just found waiting for too long; kept beside the files.
        now: Epoch seconds.

    """
    Census(s3_client(), dynamodb_client(), config.state_table).go_on(config.handoff_bucket, overdue)
    active = StateMeasures(dynamodb_client(), config.state_table).active_workers(now)
    most = config.serving.max_workers
    return {ACTIVE_WORKERS: active} | ({} if most is None else {MAX_WORKERS: most})


def config_trail(environment: Mapping[str, str]) -> Callable[[Config], None]:
    """Give what notes new versions of the configuration in the audit trail, whoever has made them, and however."""
    parameter = ConfigParameter(ssm_client, environment.get("CONDUCTOR_CONFIG_PARAMETER", ""))
    last: list[str | None] = [None]  # version that is noted for certain

    def good(text: str) -> bool:
        try:
            load(parsed(text), environment)
        except InvalidConfig:
            return False
        return True

    def note(config: Config) -> None:
        if not parameter.name or (newest := parameter.newest().version) == last[0]:
            return
        trails = Trails(dynamodb_client(), config.state_table, config.audit_seconds)
        trail = changes.ConfigTrail(good, trails.note_config, time.time)
        if trail.note(parameter.revisions(), trails.config()):
            last[0] = newest

    return note


def tokens(source: TokenSource, client: "Callable[[], SecretsManagerClient]" = sdk.secretsmanager_client) -> Tokens:
    """Give what verifies the API's tokens. Keep it as long as the source stays equal: it has a copy of them.

    Vault's own token, where ``auth_method`` is ``token``, lies beside the tokens in Secrets Manager, as
    ``vault_token``: a variable of the function would show it to whoever may look at functions.
    """
    secret = TokensSecret(client, source.secret)
    if source.vault is None:
        return Tokens(secret.read, time.monotonic)
    vault = VaultTokens(source.vault, sdk.identity, lambda: str(secret.read().content["vault_token"]))
    return Tokens(vault.read, time.monotonic)


def _credentials(config: Config) -> Credentials[Any] | None:
    if config.kubeconfig_secret:
        secret = KubeconfigSecret(secretsmanager_client, config.kubeconfig_secret)
        return Credentials(secret.read, lambda kubeconfig: kubeconfig)
    if config.eks_cluster:
        cluster = EksCluster(eks_client, sts_client, config.eks_cluster)
        return Credentials(cluster.read, cluster.kubeconfig)
    return None
