"""Handing a handoff to ConductorFunction again, as S3 would."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from conductor_loop.intent import Handoff

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class Conductor:
    """The deployed function that answers events."""

    def __init__(self, client: Callable[[], "LambdaClient"], name: str) -> None:
        self._client = client  # made when it is needed: only the sweeper needs it, and only without queues
        self._name = name

    def redeliver(self, handoff: Handoff) -> None:
        """Invoke the function asynchronously with the event of a handoff."""
        event = {"Records": [_record(handoff)]}
        self._client().invoke(FunctionName=self._name, InvocationType="Event", Payload=json.dumps(event))


def _record(handoff: Handoff) -> dict[str, object]:
    return {
        "eventName": "ObjectCreated:Put",
        "eventTime": handoff.event_time,
        "userIdentity": {"principalId": handoff.principal},
        "s3": {
            "bucket": {"name": handoff.bucket},
            "object": {
                "key": quote_plus(handoff.key),
                "versionId": handoff.version_id,
                "size": handoff.size,
                "sequencer": handoff.sequencer,
            },
        },
    }
