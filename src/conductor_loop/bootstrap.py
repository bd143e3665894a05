"""Config → App: the only place that picks adapters."""

import os
import random
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conductor_loop.app import App, Measured
from conductor_loop.config import Config, InvalidConfig, Live
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.porch import PACKAGE, Credentials, Limits, Porch, Slots, sources
from conductor_loop.storage import parameters
from conductor_loop.storage.bucket import S3Bucket
from conductor_loop.storage.queues import SQSQueues
from conductor_loop.storage.ratelimits import RateLimits
from conductor_loop.storage.sdk import MESSAGES, STARTING, WORKER, client, end_at, seconds_left
from conductor_loop.storage.state import DynamoDBStateTable

__all__ = ["build", "end_at", "jitter", "live", "queues"]

_STARTING_SECONDS = 60.0  # to wait for the configuration, or half of what the invocation has: the rest is for its work

_slots = Slots()  # of this process


def live(environment: Mapping[str, str], refused: Callable[[InvalidConfig], None]) -> Live:
    """Return the configuration of a function, as ``parameters.live`` does."""
    profiles = (STARTING, WORKER, WORKER)
    return parameters.live(environment, refused, profiles, lambda: min(_STARTING_SECONDS, seconds_left() / 2))


def jitter() -> float:
    """Give a number from 0 to 1, of the kernel's: copies of one snapshot (SnapStart) share Python's own."""
    return random.SystemRandom().random()


def queues(config: Config) -> SQSQueues:
    """Give the queues of a configuration."""
    return SQSQueues(client("sqs", MESSAGES), config.queues)


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
    limits = RateLimits(client("dynamodb"), config.state_table)
    return App(
        config=config,
        bucket=S3Bucket(client("s3"), config.kms_key),
        state=DynamoDBStateTable(
            client("dynamodb"), config.state_table, config.cleanup_after_seconds, jitter, config.audit_seconds
        ),
        queues=queues(config),
        take=limits.take,
        peek=limits.peek,
        run_porch=_porch(config).run,
        observe=observe,
        note=note,
        trace=trace,
        clock=time.time,
        slot=_slots.slot,
        jitter=jitter,
        worker_id=zlib.crc32(worker.encode()),
    )


def _porch(config: Config) -> Porch:
    return Porch(
        path=config.porch_path,
        mode=config.mode,
        work_root=config.work_root,
        environment=config.porch_environment,
        limits=Limits(memory_bytes=config.porch_memory_bytes, file_descriptors=config.porch_descriptors),
        cleans=_tmp_of_lambda(),
        credentials=_credentials(config),
        delivery=config.delivery,
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
    if config.delivery == PACKAGE or not (config.kubeconfig_secret or config.eks_cluster):
        return None
    if name := config.kubeconfig_secret:
        return Credentials(partial(sources.read_secret, partial(client, "secretsmanager"), name), lambda found: found)
    name = config.eks_cluster
    read = partial(sources.read_cluster, partial(client, "eks"), name)
    return Credentials(read, partial(sources.sign_in, partial(client, "sts"), name))
