"""AuditFunction: from the state table's stream to the audit log and the counters, every record once, in order."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import boto3  # noqa: F401 - while the function starts: with its first event, it would take a second
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import metrics
from conductor_loop.audit.entries import Batch, unseen
from conductor_loop.config.typed import Metering
from conductor_loop.counting import AUDIT_FAILURES, Counted
from conductor_loop.errors import NotAnswering
from conductor_loop.storage.measures import Counters
from conductor_loop.storage.sdk import client, end_at

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef
    from mypy_boto3_s3 import S3Client

type Publish = Callable[[Batch, float], None]
"""Publishes a batch now (epoch seconds), or raises: some of its entries may not have arrived."""


def auditor(event: Mapping[str, Any], context: LambdaContext) -> Mapping[str, Any]:
    """Publish and count what a batch of the state table's stream has added.

    Where it raises, Lambda hands the batch over again, whole or in parts, for as long as the stream keeps it.
    """
    end_at(time.time() + context.get_remaining_time_in_millis() / 1000)
    count, now = len(event["Records"]), time.time()
    try:
        batch = take(_counters(), _publishers(context.log_stream_name), event, now)
    except Exception:
        # Without the configuration, which is not read here: an alarm watches this.
        metrics.emit(Counted({AUDIT_FAILURES: count}), Metering(environment=os.environ["CONDUCTOR_STACK"]), now)
        metrics.logger().exception("audit entries are not published: they are tried again", records=count)
        raise
    if batch is not None and not batch.before.sequence:
        try:  # as a new shard begins, others are over
            _counters().fold(now, int(os.environ["CONDUCTOR_AUDIT_RETENTION_DAYS"]) * 86_400)
        except Exception:  # noqa: BLE001 - nothing is lost: their rows are read one by one
            metrics.logger().exception("the counters of shards that are over are not added up")
    return {"state": {}}  # which Lambda asks for, since the event names its shard


def take(counters: Counters, publish: Sequence[Publish], event: Mapping[str, Any], now: float) -> Batch | None:
    """Publish and count the records of a shard, of which any may have been before; ``None`` where all have.

    read ── publish ── advance         killed before the advance: delivered again, the same lines
                          |            killed behind it: the records are counted, and passed over

    Raises what these do: the advance where the shard is not as it was read.
    """
    batch = unseen(event["shardId"], counters.read(event["shardId"]), event["Records"], now)
    if batch is not None:
        for one in publish if batch.entries else ():
            one(batch, now)
        counters.advance(batch)
    return batch


@dataclass(frozen=True, slots=True)
class AuditLog:
    """A log group; each writer has a log stream of its own, made when it is first written to."""

    client: "CloudWatchLogsClient"
    group: str
    stream: str

    def publish(self, batch: Batch, now: float) -> None:
        """Write the entries; of one chain, each at a time of its own, so that their order can be read.

        A hundred of them are far less than the megabyte that a call may have; were they not, Lambda halves the batch.
        Raises NotAnswering, or what the SDK raises: not all of them are written.
        """
        places, events = Counter[str](), list["InputLogEventTypeDef"]()
        for entry in batch.entries:
            events.append({"timestamp": int(now * 1000) + places[entry.chain], "message": entry.text})
            places[entry.chain] += 1
        events.sort(key=itemgetter("timestamp"))
        put = partial(self.client.put_log_events, logGroupName=self.group, logStreamName=self.stream, logEvents=events)
        try:
            answer = put()
        except self.client.exceptions.ResourceNotFoundException:
            with suppress(self.client.exceptions.ResourceAlreadyExistsException):  # by a call whose answer was lost
                self.client.create_log_stream(logGroupName=self.group, logStreamName=self.stream)
            answer = put()
        if rejected := answer.get("rejectedLogEventsInfo"):
            raise NotAnswering(f"CloudWatch Logs has refused entries: {rejected}")


def export(client: "S3Client", bucket: str, batch: Batch, now: float) -> None:
    """Put a batch into a bucket, as an object of lines; the same batch again is another version of it."""
    client.put_object(
        Bucket=bucket,
        Key=f"audit/{time.strftime('%Y/%m/%d', time.gmtime(now))}/{batch.name}.jsonl",
        Body="".join(f"{entry.text}\n" for entry in batch.entries).encode(),
        ContentType="application/jsonl",
        ChecksumAlgorithm="SHA256",  # S3 wants one of what is locked
    )


def _publishers(writer: str) -> list[Publish]:
    log = AuditLog(client("logs"), os.environ["CONDUCTOR_AUDIT_LOG"], writer.replace(":", "-").replace("*", "-"))
    bucket = os.environ.get("CONDUCTOR_AUDIT_BUCKET", "")
    return [partial(export, client("s3"), bucket), log.publish] if bucket else [log.publish]


def _counters() -> Counters:
    return Counters(client("dynamodb"), os.environ["CONDUCTOR_STATE_TABLE"])
