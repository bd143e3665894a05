"""S3's event notifications → handoffs."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from conductor_loop.intent import Handoff


def handoffs(event: Mapping[str, Any]) -> Iterator[Handoff]:
    """Give each object that was put into the root and is meant to be an intent: its name begins and ends like one.

    S3's filter knows prefixes and suffixes only, so its events also name objects in folders, ``intent-archive/a.json``.
    S3's test event has no records; other keys and other kinds of events are none of ours.
    """
    for record in event.get("Records", []):
        key = unquote_plus(record["s3"]["object"]["key"])  # keys come form-encoded
        if record["eventName"].startswith("ObjectCreated:") and _is_ours(key):
            yield _handoff(record, key)


def _is_ours(key: str) -> bool:
    return "/" not in key and key.startswith("intent-") and key.endswith(".json")


def _handoff(record: Mapping[str, Any], key: str) -> Handoff:
    put = record["s3"]["object"]
    return Handoff(
        bucket=record["s3"]["bucket"]["name"],
        key=key,
        version_id=put.get("versionId", ""),
        size=put.get("size", 0),
        sequencer=put.get("sequencer", ""),
        event_time=record.get("eventTime", ""),
        principal=record.get("userIdentity", {}).get("principalId", ""),
        address=record.get("requestParameters", {}).get("sourceIPAddress", ""),
    )
