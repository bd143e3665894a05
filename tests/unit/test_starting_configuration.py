"""A burst of functions that start: SSM lets some forty a second read the configuration."""

import heapq
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from conductor_loop.errors import Throttled
from conductor_loop.storage.parameters import retry_throttled


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "Rate exceeded"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetParameter",
    )


@dataclass
class Ssm:
    """A clock, and a service that takes so many reads a second; what it takes is remembered."""

    per_second: float = 40
    now: float = 0.0
    tokens: float = 40
    seen_at: float = 0.0

    def read(self) -> str:
        self.tokens = min(self.per_second, self.tokens + (self.now - self.seen_at) * self.per_second)
        self.seen_at = self.now
        if self.tokens < 1:
            raise client_error("ThrottlingException")
        self.tokens -= 1
        return "the configuration"


def starts(ssm: Ssm, number: int, seconds: float) -> Iterator[tuple[float, object]]:
    """Play so many starts in one moment, one after the other; when each was over, and how."""
    order, waits = count(), [[random.Random(seed).random() for _ in range(99)] for seed in range(number)]  # noqa: S311
    due = [(0.0, next(order), start, 0) for start in range(number)]
    while due:
        now, _, start, attempt = heapq.heappop(due)
        outcome = _step(ssm, waits[start], attempt, now, seconds)
        if isinstance(outcome, float):
            heapq.heappush(due, (outcome, next(order), start, attempt + 1))
        else:
            yield now, outcome


def _step(ssm: Ssm, waits: list[float], attempt: int, now: float, seconds: float) -> object:
    """Play one read of a start whose earlier ones were throttled: when the next one is due, or what became of it."""
    failed, jitter = count(), iter(waits)
    waited: list[float] = []

    def read() -> str:
        if next(failed) < attempt:
            raise client_error("ThrottlingException")
        ssm.now = now
        return ssm.read()

    def wait(backoff: float) -> None:
        waited.append(backoff)
        if len(waited) > attempt:
            raise StopIteration

    try:
        return retry_throttled(read, seconds, lambda: sum(waited), wait, lambda: next(jitter))
    except StopIteration:
        return sum(waited)
    except Throttled as error:
        return error


@pytest.mark.parametrize("number", [1, 40, 400])
def test_every_one_of_a_burst_has_its_configuration_within_a_minute(number: int) -> None:
    ends = list(starts(Ssm(), number, seconds=60))
    assert [outcome for _, outcome in ends] == ["the configuration"] * number
    assert max(now for now, _ in ends) <= 60


def test_what_ssm_refuses_for_longer_is_throttled() -> None:
    ends = list(starts(Ssm(per_second=0, tokens=0), 10, seconds=60))
    assert {type(outcome) for _, outcome in ends} == {Throttled}
    assert all(50 <= now <= 60 for now, _ in ends)


@pytest.mark.parametrize(
    ("error", "reads"),
    [
        (client_error("ThrottlingException"), 3),
        (client_error("InternalServerError", 500), 3),
        (ConnectTimeoutError(endpoint_url="https://ssm"), 3),
        (client_error("AccessDeniedException"), 1),
    ],
)
def test_only_what_may_pass_is_waited_for(error: Exception, reads: int) -> None:
    answers: list[Exception | str] = [error, error, "the configuration"]
    made: list[int] = []

    def read() -> str:
        made.append(1)
        answer = answers[len(made) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    with suppress(ClientError):
        retry_throttled(read, 60, lambda: 0.0, lambda _: None, lambda: 1.0)
    assert len(made) == reads
