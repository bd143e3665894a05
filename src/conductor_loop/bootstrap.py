"""Config → App: the only place that picks adapters."""

import os
import random
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conductor_loop.app import App, Measured
from conductor_loop.aws.dynamodb import StateTable
from conductor_loop.aws.functions import Conductor
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
from conductor_loop.aws.sqs import Queues
from conductor_loop.config import Config, InvalidConfig, Live
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.porch import Credentials, Limits, Porch
from conductor_loop.turns import Turns

__all__ = ["build", "end_at", "live"]

_turns = Turns()  # of this process


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
    jitter = random.SystemRandom().random  # the kernel's: copies of one snapshot (SnapStart) share Python's own numbers
    return App(
        config=config,
        bucket=Bucket(s3_client(), config.kms_key),
        state=StateTable(
            dynamodb_client(), config.state_table, config.cleanup_after_seconds, jitter, config.audit_seconds
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
        jitter=jitter,
        new_owner=lambda: uuid.uuid4().hex,
        worker_id=zlib.crc32(worker.encode()),
    )


def _tmp_of_lambda() -> Path | None:
    """Give /tmp where it is this function's alone.

    Not where something else runs our code: there, /tmp is everybody's, and variables of the environment are copied
    easily. Lambda's own Python is in /var/lang, and its user is not root. Nor where a layer brings an extension: that
    writes there, too, as our user, and no file says whose it is.
    """
    on_lambda = sys.base_prefix == "/var/lang" and Path("/var/runtime").is_dir() and os.geteuid() != 0
    return Path("/tmp") if on_lambda and not _has_extensions() else None  # noqa: S108 - all of it is meant


def _has_extensions() -> bool:
    external = Path("/opt/extensions")
    return external.is_dir() and any(external.iterdir())


def _credentials(config: Config) -> Credentials[Any] | None:
    if not (config.kubeconfig_secret or config.eks_cluster):
        return None
    from conductor_loop.aws.kubeconfigs import EksCluster, KubeconfigSecret  # noqa: PLC0415 - a start without is faster

    if config.kubeconfig_secret:
        secret = KubeconfigSecret(secretsmanager_client, config.kubeconfig_secret)
        return Credentials(secret.read, lambda kubeconfig: kubeconfig)
    cluster = EksCluster(eks_client, sts_client, config.eks_cluster)
    return Credentials(cluster.read, cluster.kubeconfig)
