"""Config → App: the only place that picks adapters."""

import random
import time
import uuid
import zlib
from collections.abc import Callable

from conductor_loop.app import App, Measured
from conductor_loop.aws.dynamodb import StateTable
from conductor_loop.aws.functions import Conductor
from conductor_loop.aws.s3 import Bucket
from conductor_loop.aws.sdk import dynamodb_client, lambda_client, s3_client, sqs_client
from conductor_loop.aws.sqs import Queues
from conductor_loop.config import Config
from conductor_loop.porch import Limits, Porch


def build(config: Config, observe: Callable[[Measured], None], worker: str) -> App:
    """Put the real parts together.

    Args:
        config: The configuration in force.
        observe: Called once for each decision, and for each attempt that is made again.
        worker: Name of this execution environment; its log stream, on Lambda.

    """
    porch = Porch(
        path=config.porch_path,
        mode=config.mode,
        work_root=config.work_root,
        limits=Limits(memory_bytes=config.porch_memory_bytes),
    )
    return App(
        config=config,
        bucket=Bucket(s3_client()),
        state=StateTable(dynamodb_client(), config.state_table, config.cleanup_after_seconds, random.random),
        queues=Queues(sqs_client(), config.queues),
        redeliver=Conductor(lambda_client, config.conductor_function).redeliver,
        run_porch=porch.run,
        observe=observe,
        clock=time.time,
        wait=time.sleep,
        jitter=random.random,
        new_owner=lambda: uuid.uuid4().hex,
        worker_id=zlib.crc32(worker.encode()),
    )
