"""The Lambda entry point that publishes the audit trail."""

from conductor_loop import starting  # isort: split

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import metrics
from conductor_loop.audit.publishing import Publisher, fresh, name_of
from conductor_loop.aws.auditlog import AuditExport, AuditLog
from conductor_loop.aws.sdk import end_at, logs_client, s3_client
from conductor_loop.config.metering import Metering
from conductor_loop.counting import AUDIT_FAILURES, Counted

starting.over()

SERVICE = "conductor-loop"


def auditor(event: Mapping[str, Any], context: LambdaContext) -> dict[str, int]:
    """Publish what a batch of the state table's stream has added.

    Raises:
        Exception: some of it may not have arrived; Lambda hands the whole batch over again, for as long as the stream
            keeps it.

    """
    end_at(time.time() + context.get_remaining_time_in_millis() / 1000)
    records = event["Records"]
    entries = fresh(records)
    try:
        _publisher(context.log_stream_name).publish(entries, name_of(records), time.time())
    except Exception:
        metrics.emit(Counted({AUDIT_FAILURES: len(entries)}), _metering(), time.time())
        _logger().exception("audit entries are not published: they are tried again", entries=len(entries))
        raise
    return {"entries": len(entries)}


def _metering() -> Metering:
    """Say what is written without the configuration, which is not read here: an alarm watches what this counts."""
    return Metering(environment=os.environ["CONDUCTOR_STACK"])


@cache
def _publisher(writer: str) -> Publisher:
    log = AuditLog(logs_client(), os.environ["CONDUCTOR_AUDIT_LOG"], writer.replace(":", "-").replace("*", "-"))
    bucket = os.environ.get("CONDUCTOR_AUDIT_BUCKET", "")
    return Publisher(log.publish, AuditExport(s3_client(), bucket).put if bucket else None)


@cache
def _logger() -> Logger:
    return Logger(service=SERVICE, level="INFO", utc=True, serialize_stacktrace=False)
