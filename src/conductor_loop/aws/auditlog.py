"""Where audit entries are kept: a log group of their own and, if there is one, a bucket that refuses every delete."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from conductor_loop.audit.chain import read

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef
    from mypy_boto3_s3 import S3Client

_MOST_BYTES = 900_000  # of one call; CloudWatch takes 1,048,576 with 26 for each event
_EVENT_BYTES = 26
_MOST_EVENTS = 10_000  # of one call


class NotTaken(Exception):  # noqa: N818 - reads as what it is
    """CloudWatch has refused some of the entries; which, its answer says."""


class AuditLog:
    """Publishes to a log group.

    Args:
        client: Of CloudWatch Logs.
        group: The log group.
        stream: The log stream in it; one for each writer, made when it is first written to.

    """

    def __init__(self, client: "CloudWatchLogsClient", group: str, stream: str) -> None:
        self._client, self._group, self._stream = client, group, stream

    def publish(self, entries: Sequence[str], now: float) -> None:
        """Write the entries, oldest first; of one chain, each at a time of its own, so that their order can be read.

        Raises:
            NotTaken: not all of them are written; nor may they be where the SDK raises.

        """
        for batch in _batches(_timed(entries, int(now * 1000))):
            try:
                self._put(batch)
            except self._client.exceptions.ResourceNotFoundException:
                self._make_stream()
                self._put(batch)

    def _put(self, batch: "list[InputLogEventTypeDef]") -> None:
        answer = self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=batch)
        if rejected := answer.get("rejectedLogEventsInfo"):
            raise NotTaken(str(rejected))

    def _make_stream(self) -> None:
        try:
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return  # by a call whose answer was lost


class AuditExport:
    """Puts entries into a bucket, a batch to an object of lines."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def put(self, entries: Sequence[str], name: str, now: float) -> None:
        """Put a batch under a name that no other batch has; the same batch again is another version of it."""
        day = time.strftime("%Y/%m/%d", time.gmtime(now))
        body = "".join(f"{entry}\n" for entry in entries).encode()
        self._client.put_object(
            Bucket=self._bucket,
            Key=f"audit/{day}/{name}.jsonl",
            Body=body,
            ContentType="application/jsonl",
            ChecksumAlgorithm="SHA256",  # S3 wants one of what is locked
        )


def _timed(entries: Sequence[str], now: int) -> "list[InputLogEventTypeDef]":
    """Give events as CloudWatch takes them, sorted by time (epoch milliseconds)."""
    places = Counter[str]()
    events: list[InputLogEventTypeDef] = []
    for entry in entries:
        found = read(entry)
        chain = found.chain if found else ""
        events.append({"timestamp": now + places[chain], "message": entry})
        places[chain] += 1
    return sorted(events, key=lambda event: event["timestamp"])


def _batches(events: "Sequence[InputLogEventTypeDef]") -> "Iterator[list[InputLogEventTypeDef]]":
    batch: list[InputLogEventTypeDef] = []
    size = 0
    for event in events:
        bytes_ = len(event["message"]) + _EVENT_BYTES  # entries are ASCII
        if batch and (size + bytes_ > _MOST_BYTES or len(batch) == _MOST_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += bytes_
    if batch:
        yield batch
