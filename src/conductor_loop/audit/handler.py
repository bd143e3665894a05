"""The Lambda entry point that publishes the audit trail, and counts."""

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import metrics
from conductor_loop.audit.publishing import Auditor
from conductor_loop.aws.auditlog import AuditExport, AuditLog
from conductor_loop.aws.counters import Counters
from conductor_loop.config.typed import Metering
from conductor_loop.counting import AUDIT_FAILURES, Counted
from conductor_loop.storage.sdk import client, end_at

SERVICE = "conductor-loop"
_ANSWER: Mapping[str, Any] = {"state": {}}  # which Lambda asks for, since the event names its shard


def auditor(event: Mapping[str, Any], context: LambdaContext) -> Mapping[str, Any]:
    """Publish and count what a batch of the state table's stream has added.

    Raises:
        Exception: some of it may not have arrived; Lambda hands the batch over again, whole or in parts, for as long as
            the stream keeps it.

    """
    end_at(time.time() + context.get_remaining_time_in_millis() / 1000)
    shard, records, now = event["shardId"], event["Records"], time.time()
    try:
        batch = _auditor(context.log_stream_name).take(shard, records, now)
    except Exception:
        metrics.emit(Counted({AUDIT_FAILURES: len(records)}), _metering(), now)
        _logger().exception("audit entries are not published: they are tried again", records=len(records))
        raise
    if batch is not None and not batch.before.sequence:
        _fold(now)
    return _ANSWER


def _fold(now: float) -> None:
    """Add up the shards that are over, as a new one begins; what fails waits for the next one."""
    try:
        _counters().fold(now)
    except Exception:  # noqa: BLE001 - nothing is lost: their rows are read one by one
        _logger().exception("the counters of shards that are over are not added up")


def _metering() -> Metering:
    """Say what is written without the configuration, which is not read here: an alarm watches what this counts."""
    return Metering(environment=os.environ["CONDUCTOR_STACK"])


@cache
def _auditor(writer: str) -> Auditor:
    log = AuditLog(client("logs"), os.environ["CONDUCTOR_AUDIT_LOG"], writer.replace(":", "-").replace("*", "-"))
    bucket = os.environ.get("CONDUCTOR_AUDIT_BUCKET", "")
    export = AuditExport(client("s3"), bucket).put if bucket else None
    return Auditor(_counters().read, log.publish, export, _counters().advance)


@cache
def _counters() -> Counters:
    keep_seconds = int(os.environ["CONDUCTOR_AUDIT_RETENTION_DAYS"]) * 86_400
    return Counters(client("dynamodb"), os.environ["CONDUCTOR_STATE_TABLE"], keep_seconds)


@cache
def _logger() -> Logger:
    return Logger(service=SERVICE, level="INFO", utc=True, serialize_stacktrace=False)
