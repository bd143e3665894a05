"""Answers that are none: errors in the specification's shape ("HTTP Error Responses"), and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import Request, Response
from conductor_loop.errors import Cause, Rejected
from conductor_loop.intents.outcome import timestamp

RETRY_SECONDS = 30  # after which it is worth asking again (specification: "retry_after")
_CODES = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
_REJECTED = {
    Cause.INVALID_FORMAT: "Invalid intent file format",
    Cause.INVALID_NAME: "Invalid intent file name",
    Cause.SCHEMA_VIOLATION: "Schema validation failed",
    Cause.SECURITY_VIOLATION: "Security validation failed",
    Cause.POLICY_VIOLATION: "Business logic validation failed",
}


@dataclass(eq=False)  # not frozen: Python itself sets an exception's traceback
class Problem(Exception):  # noqa: N818 - reads as what it is
    """Why a request gets no answer; the message says what to do, and tells an attacker nothing."""

    status: int
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: int | None = None
    rejection: Rejected | None = None  # of an intent

    @property
    def code(self) -> str:
        """The machine-readable code."""
        return _CODES[self.status]

    def response(self, request: Request, now: float) -> Response:
        """Write it in the specification's shape, with the request's id among its details."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "details": {**self.details, "request_id": request.request_id},
            "timestamp": timestamp(now),
        }
        headers = dict(self.headers)
        if self.retry_after_seconds is not None:
            error["retry_after"] = f"{self.retry_after_seconds}s"
            headers["Retry-After"] = str(self.retry_after_seconds)
        return Response(self.status, {"error": error}, headers, self.rejection)


def rejected(rejection: Rejected) -> Problem:
    """Tell of an intent that is wrong: everything that is, at once."""
    violations = [violation.message for violation in rejection.violations]
    details = {
        "error_code": rejection.cause.value,
        "code": rejection.cause.code,
        "validation_errors": violations,
    }
    if rejection.cause is Cause.FILE_TOO_LARGE:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Intent file too large", details, rejection=rejection)
    message = _REJECTED.get(rejection.cause, "Invalid intent")
    return Problem(HTTPStatus.BAD_REQUEST, message, details, rejection=rejection)


def invalid(*errors: str) -> Problem:
    """Tell of a request that is wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, "Invalid request", {"validation_errors": list(errors)})


def busy(message: str = "A service that this rests on does not answer; ask again", **details: Any) -> Problem:  # noqa: ANN401 - any JSON value
    """Tell of what may pass."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, message, details, retry_after_seconds=RETRY_SECONDS)
