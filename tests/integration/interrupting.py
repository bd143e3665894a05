"""Calls of the SDK that are interrupted: the worker is killed, or AWS fails in one of its ways."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from tests.integration.conftest import send

_S3_ERROR = b"<Error><Code>%s</Code><Message>injected</Message></Error>"
_JSON_ERROR = b'{"__type": "com.amazonaws#%s", "message": "injected"%s}'
_REASONS = b', "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "ThrottlingError"}, {"Code": "None"}]'


class Killed(BaseException):
    """The process is gone: nothing catches it."""


def _killed(_: str, request: Any) -> AWSResponse:
    raise Killed(request.url)


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


@dataclass(frozen=True)
class Fault:
    """How a call is interrupted."""

    answer: Callable[[str, Any], AWSResponse]
    after: bool = False  # it has had its effect by then
    lasting: bool = False  # and so is every call after it; the SDK gives up

    @property
    def passes(self) -> bool:
        """Whether the call is made again, by the SDK or the adapter, and has an answer then."""
        return not self.lasting and self.answer is not _killed


FAULTS = {
    "killed before": Fault(_killed),
    "killed after": Fault(_killed, after=True),
    "throttled": Fault(_throttled),
    "500 after": Fault(_broken, after=True),
    "cancelled": Fault(_cancelled),
    "resets for good": Fault(_reset, lasting=True),
    "timeouts for good": Fault(_timed_out, after=True, lasting=True),
    "cancelled for good": Fault(_cancelled, lasting=True),
}


@dataclass
class Interrupter:
    """Stands between some clients and moto: the call that is number ``at``, from 1, is interrupted."""

    fault: Fault | None = None
    at: int = 0
    calls: list[str] = field(default_factory=list)
    struck: bool = False

    def watch(self, client: Any) -> Any:
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send", self._send)
        return client

    def reset(self, fault: Fault | None = None, at: int = 0) -> None:
        self.calls.clear()
        self.fault, self.at, self.struck = fault, at, False

    def _send(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        self.calls.append(operation)
        if self.fault is None or not self._strikes(self.fault):
            return send(event_name, request)
        self.struck = True
        if self.fault.after:
            send(event_name, request)
        return self.fault.answer(service, request)

    def _strikes(self, fault: Fault) -> bool:
        number = len(self.calls)
        return number >= self.at if fault.lasting else number == self.at
