"""The whole pipeline at a glance: a few calls, whatever the history."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import boto3

from conductor_loop.storage.listing import Listed, Listing, Wanted
from conductor_loop.storage.measures import Counts, StateMeasures

QUEUES = {  # by what people call them: the stack's output
    "high": "HighQueue",
    "normal": "NormalQueue",
    "low": "LowQueue",
    "dead letters": "DeadLetterQueue",
    "unanswered": "UnansweredQueue",
}
_ATTRIBUTES = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_LOOK_BACK_SECONDS = 2 * 86_400.0  # for the latest intents


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue has, about."""

    visible: int = 0  # not received yet
    in_flight: int = 0  # taken, or hidden until their next attempt is due
    delayed: int = 0  # sent to be seen later


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the pipeline looks like at one moment."""

    at: float  # epoch seconds
    queues: Mapping[str, Depth] = field(default_factory=dict)  # by the names of ``QUEUES``
    working: int = 0  # claims in force
    counts: Counts = field(default_factory=Counts)
    latest: tuple[Listed, ...] = ()  # newest first


def intents(table: str, keep_seconds: float) -> Listing:
    """Give what lists the intents of a state table; no day before that is looked at."""
    return Listing(boto3.client("dynamodb"), table, keep_seconds)


class Overview:
    """Looks at a stack again and again.

    Args:
        outputs: Of the stack.

    """

    def __init__(self, outputs: Mapping[str, str]) -> None:
        self._queues = {name: outputs[output] for name, output in QUEUES.items()}
        self._sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
        self._measures = StateMeasures(dynamodb, outputs["StateTable"])
        self._listing = Listing(dynamodb, outputs["StateTable"], _LOOK_BACK_SECONDS)

    def look(self, now: float, latest: int) -> Snapshot:
        """Look once, at the newest ``latest`` intents, too. Raises NotAnswering, or an error of the SDK."""
        with ThreadPoolExecutor(max_workers=len(self._queues)) as pool:
            depths = dict(zip(self._queues, pool.map(self._depth, self._queues.values()), strict=True))
        return Snapshot(
            at=now,
            queues=depths,
            working=self._measures.active_workers(),
            counts=self._measures.counts(now),
            latest=self._listing.page(Wanted(latest), now).intents,
        )

    def _depth(self, url: str) -> Depth:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        found: Mapping[str, str] = answer["Attributes"]  # type: ignore[assignment] # names as strings
        return Depth(**{ours: int(found.get(name, 0)) for ours, name in _ATTRIBUTES.items()})
