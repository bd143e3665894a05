"""The parts that the pipeline is told with, and what it needs of each; ``bootstrap`` makes an ``App``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from conductor_loop.config import Config
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Refusal, Row, Target
from conductor_loop.porch import Request, Result
from conductor_loop.validation import Rules


class Bucket(Protocol):
    """The handoff bucket; ``aws.s3.Bucket`` says what each method does."""

    def read(self, handoff: Handoff, max_bytes: int) -> tuple[Handoff, bytes | None]: ...  # noqa: D102
    def leftovers(self, handoff: Handoff, prefix: str) -> Mapping[str, str]: ...  # noqa: D102
    def publish(self, handoff: Handoff, files: Mapping[str, bytes], replacing: Mapping[str, str]) -> None: ...  # noqa: D102
    def put_status(self, handoff: Handoff, key: str, document: bytes) -> None: ...  # noqa: D102
    def archive(self, handoff: Handoff, key: str) -> None: ...  # noqa: D102
    def remove(self, handoff: Handoff) -> None: ...  # noqa: D102


class StateTable(Protocol):
    """The state table; ``aws.dynamodb.StateTable`` says what each method does."""

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None: ...  # noqa: D102
    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None: ...  # noqa: D102
    def decide_unclaimed(  # noqa: D102
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None
    ) -> Refusal | None: ...
    def mark_settled(self, handoff: Handoff, now: float) -> None: ...  # noqa: D102
    def find(self, handoff: Handoff) -> Row | None: ...  # noqa: D102
    def target(self, name: str) -> Target: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Measured:
    """What one decision looked like, for logs and metrics. Durations are in seconds."""

    handoff: Handoff
    outcome: Outcome
    seconds: float  # from reading the input to the decision
    porch_seconds: float | None = None  # None: porch was never started


@dataclass(frozen=True, slots=True)
class App:
    """Everything with an effect, passed in; so that the story can be told with other parts."""

    config: Config
    rules: Rules
    bucket: Bucket
    state: StateTable
    run_porch: Callable[[Request], Result]
    observe: Callable[[Measured], None]
    clock: Callable[[], float]  # epoch seconds
    wait: Callable[[float], None]  # seconds
    jitter: Callable[[], float]  # evenly spread from 0 to 1
    new_owner: Callable[[], str]  # a name that nobody else has, ever
    worker_id: int  # of this execution environment
