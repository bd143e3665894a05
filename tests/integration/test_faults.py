"""Every call to AWS fails in every way, before and after its effect: nothing is lost, and nothing is done twice."""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from conductor_loop.aws.ratelimits import RateLimits
from conductor_loop.errors import Cause, NotAnswering, Overtaken, StillHeld
from tests.factories import World
from tests.integration.beginnings import files_in_its_place, its_row_makes_no_sense
from tests.integration.conftest import TABLE, MotoBucket, send, time_passes
from tests.integration.playing import (
    MotoQueues,
    Path,
    Play,
    WatchedTable,
    counted,
)

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4})
_S3_ERROR = b"<Error><Code>%s</Code><Message>injected</Message></Error>"
_JSON_ERROR = b'{"__type": "com.amazonaws#%s", "message": "injected"%s}'
_REASONS = b', "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "ThrottlingError"}, {"Code": "None"}]'

type Answer = Callable[[str, Any], AWSResponse]


def _throttled(service: str, request: Any) -> AWSResponse:
    if service == "s3":
        return AWSResponse(request.url, 503, HTTPHeaders(), MockRawResponse(_S3_ERROR % b"SlowDown"))
    name = b"ProvisionedThroughputExceededException" if service == "dynamodb" else b"ThrottlingException"
    return AWSResponse(request.url, 400, HTTPHeaders(), MockRawResponse(_JSON_ERROR % (name, b"")))


def _broken(service: str, request: Any) -> AWSResponse:
    body = _S3_ERROR % b"InternalError" if service == "s3" else _JSON_ERROR % (b"InternalServerError", b"")
    return AWSResponse(request.url, 500, HTTPHeaders(), MockRawResponse(body))


def _timed_out(_: str, request: Any) -> AWSResponse:
    raise ReadTimeoutError(endpoint_url=request.url)


def _reset(_: str, request: Any) -> AWSResponse:
    raise ConnectionClosedError(endpoint_url=request.url)


def _cancelled(_: str, request: Any) -> AWSResponse:
    return AWSResponse(
        request.url, 400, HTTPHeaders(), MockRawResponse(_JSON_ERROR % (b"TransactionCanceledException", _REASONS))
    )


FAULTS: dict[str, tuple[Answer, bool]] = {  # how the call fails, and whether its effect has happened by then
    "throttle": (_throttled, False),
    "500": (_broken, False),
    "500 after": (_broken, True),
    "timeout": (_timed_out, False),
    "timeout after": (_timed_out, True),
    "reset": (_reset, False),
    "reset after": (_reset, True),
    "cancelled": (_cancelled, False),
}


@dataclass
class Saboteur:
    """Answers for AWS: one call fails, once or for the rest of its delivery."""

    fault: tuple[Answer, bool] | None = None
    at: int = 0  # number of the call, from 1
    lasting: bool = False
    calls: list[str] = field(default_factory=list)
    struck: int = 0

    def watch(self, client: Any) -> Any:
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        self.calls.append(operation)
        if self.fault is None or not self._strikes():
            return send(event_name, request)
        self.struck += 1
        answer, after = self.fault
        if after:
            send(event_name, request)
        return answer(service, request)

    def _strikes(self) -> bool:
        number = len(self.calls)
        return number >= self.at if self.lasting else number == self.at

    def reset(self, fault: tuple[Answer, bool] | None = None, at: int = 0, *, lasting: bool = False) -> None:
        self.calls.clear()
        self.fault, self.at, self.lasting, self.struck = fault, at, lasting, 0


class FaultyPlay(Play):
    """A delivery that fails is made again, when the fault has passed."""

    saboteur: Saboteur
    calls: tuple[str, ...] = ()  # of the worker

    def _once(self, deliver: Callable[[], object]) -> None:
        self.deliveries += 1
        with suppress(ClientError, HTTPClientError, NotAnswering, Overtaken, StillHeld):
            deliver()
        if self.saboteur.struck:
            self.saboteur.fault = None
        self.world.clock.wait(20)


@pytest.fixture
def parts(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[World, Saboteur]]:
    """Give clients with the SDK's own retries, but no waiting between them; new ones have a full quota of retries."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    url = aws.client("sqs").create_queue(QueueName="normal")["QueueUrl"]

    def make() -> tuple[World, Saboteur]:
        saboteur, looking = Saboteur(), aws.client("s3")
        s3, table, sqs = (saboteur.watch(aws.client(name, config=_CONFIG)) for name in ("s3", "dynamodb", "sqs"))
        bucket, queues = MotoBucket(s3), Quiet(sqs, aws.client("sqs"), url)
        bucket.client = looking
        given: Any = queues
        state = WatchedTable(table, TABLE, keep_seconds=3600, jitter=lambda: 0.0)
        world = World(bucket=bucket, state=state, queues=given, buckets=RateLimits(table, TABLE))
        time_passes(monkeypatch, world)
        return world, saboteur

    return make


class Quiet(MotoQueues):
    """Receives by a client of its own: taking messages is not the worker's call."""

    def __init__(self, watched: Any, client: Any, url: str) -> None:
        super().__init__(watched, url)
        self._mine = client


PATHS = {
    "inline": Path("success", queued=False),
    "queued": Path("success"),
    "rejected": Path("failed", "failed", b"{"),
    "retried": Path("success", script=(Cause.NETWORK_ERROR, None)),
    "swept": Path("success", event=False),
    "files in its place": Path("success", queued=False, before=files_in_its_place),
    "rate limited": Path("success", fields={"priority": "high"}),
    "unreadable row": Path("success", queued=False, before=its_row_makes_no_sense),
}
# These fail in all ways; the other paths share most of their calls, and fail in two: else it takes too long.
IN_ALL_WAYS = ("inline", "rejected")
IN_SOME_WAYS = ("500", "timeout after")
# Of files put side by side, none is begun after one was refused: one play may make fewer calls than another.
PLAYS = 5
OF_NO_OTHER = ("SendMessage", "ChangeMessageVisibility", "ListObjectVersions", "BatchGetItem")


@pytest.mark.parametrize("way", PATHS)
def test_a_fault_of_any_call_loses_nothing_and_doubles_nothing(
    parts: Callable[[], tuple[World, Saboteur]],
    aws: boto3.session.Session,
    way: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    numbers = iter(range(1, 10_000))
    world, saboteur = parts()
    play = FaultyPlay(world, PATHS[way], next(numbers))
    strike(play, saboteur, None, 0)
    calls, told = list(play.calls), 1
    table: dict[tuple[int, str, bool], str] = {}
    for name, fault in FAULTS.items():
        for at, call in enumerate(calls, 1):
            if name == "cancelled" and call != "TransactWriteItems":
                continue
            if not (way in IN_ALL_WAYS or name in IN_SOME_WAYS or call in OF_NO_OTHER):
                continue
            for lasting in (False, True):
                for _ in range(PLAYS):
                    world, saboteur = parts()
                    again = FaultyPlay(world, PATHS[way], next(numbers))
                    struck = strike(again, saboteur, fault, at, lasting=lasting)
                    told += 1
                    if struck:
                        break
                assert struck, f"the fault never struck call {at}, {call}"
                table[at, name, lasting] = "retried" if again.deliveries <= play.deliveries else "redelivered"
    assert counted(aws.client("dynamodb"), TABLE) == Counter({PATHS[way].ends: told})
    with capsys.disabled():
        sys.stdout.write(_printed(way, calls, table))


def strike(
    play: FaultyPlay, saboteur: Saboteur, fault: tuple[Answer, bool] | None, at: int, *, lasting: bool = False
) -> int:
    """Play one intent to its end while a call fails; how many calls did."""
    play.saboteur = saboteur
    play.prepare()
    saboteur.reset(fault, at, lasting=lasting)
    play.finish()
    play.calls, struck = tuple(saboteur.calls), saboteur.struck
    saboteur.reset()
    play.check()
    return struck


def _printed(way: str, calls: list[str], table: dict[tuple[int, str, bool], str]) -> str:
    lines = [f"\n  {way}: one fault / a fault for the rest of the delivery", f"{'':26}" + _row(list(FAULTS))]
    for at, call in enumerate(calls, 1):
        cells = [[table.get((at, name, lasting), "-") for lasting in (False, True)] for name in FAULTS]
        lines.append(f"  {at:2} {call:21}" + _row([_short(one) for one in cells]))
    kinds = Counter(table.values())
    return "\n".join([*lines, f"  {len(table)} faults: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()), "  "])


def _row(cells: list[str]) -> str:
    return "".join(f"{cell:>21}" for cell in cells)


def _short(results: list[str]) -> str:
    return "-" if results == ["-", "-"] else " / ".join(one.replace("redelivered", "redeliv.") for one in results)
