"""Requests and responses of API Gateway's proxy integration, and errors in the specification's shape."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from conductor_loop.errors import Cause, Rejected
from conductor_loop.intents.outcome import timestamp
from conductor_loop.tokens import Client, Scope

type Event = Mapping[str, Any]

SECURE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REALM = 'Bearer realm="conductor-loop"'
_RETRY_SECONDS = 30  # after which it is worth asking again (specification: "retry_after")
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


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    resource: str  # the path with its parameters' names: /intents/{name}
    method: str
    request_id: str
    address: str  # of the caller, as API Gateway saw it
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # names in lower case
    query: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the path
    certificate: str | None = None  # subject of the client certificate, checked by API Gateway
    payload: str = field(default="", repr=False)
    encoded: bool = False  # whether the payload is Base64
    started: float = 0.0  # when its processing began, in seconds of a monotonic clock
    client: Client | None = None  # the caller, once it is identified

    @property
    def size(self) -> int:
        """Bytes of the body at least, known without decoding it."""
        padding = self.payload[-2:].count("=")
        return len(self.payload) * 3 // 4 - padding if self.encoded else len(self.payload)

    def body(self) -> bytes:
        """Decode the body. Raises Problem if it cannot be."""
        if not self.encoded:
            return self.payload.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.payload, validate=True)
        except binascii.Error:
            raise invalid("The body is not Base64, although the request says so") from None

    def require(self, scope: Scope) -> None:
        """Raise Problem if the caller does not have the scope."""
        if self.client is None or scope not in self.client.scopes:
            headers = {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'}
            raise Problem(HTTPStatus.FORBIDDEN, "Access denied", {"required_scope": scope.value}, headers)


@dataclass(frozen=True, slots=True)
class Response:
    """One response; a mapping is sent as JSON."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    rejection: Rejected | None = None  # of an intent


@dataclass(eq=False)  # not frozen: Python itself sets an exception's traceback
class Problem(Exception):  # noqa: N818 - the name that RFC 9457 has for it
    """An error for the caller; the message says what to do, and nothing that helps an attacker."""

    status: int
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: int | None = None
    rejection: Rejected | None = None  # of an intent

    def response(self, request: Request, now: float) -> Response:
        """Write it in the specification's shape ("HTTP Error Responses"), with the request's id among its details."""
        error: dict[str, Any] = {
            "code": _CODES[self.status],
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
    """Report everything that is wrong with an intent, at once."""
    cause = rejection.cause
    violations = [violation.message for violation in rejection.violations]
    details = {"error_code": cause.value, "code": cause.code, "validation_errors": violations}
    if cause is Cause.FILE_TOO_LARGE:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Intent file too large", details, rejection=rejection)
    return Problem(HTTPStatus.BAD_REQUEST, _REJECTED.get(cause, "Invalid intent"), details, rejection=rejection)


def invalid(*errors: str) -> Problem:
    """Report everything that is wrong with a request, at once."""
    return Problem(HTTPStatus.BAD_REQUEST, "Invalid request", {"validation_errors": list(errors)})


def busy(message: str = "A service that this rests on does not answer; ask again", **details: Any) -> Problem:  # noqa: ANN401 - any JSON value
    """Report what may pass."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, message, details, retry_after_seconds=_RETRY_SECONDS)


def read(event: Event, started: float) -> Request:
    """Read an event; whatever a caller may leave out is empty."""
    context = event.get("requestContext") or {}
    identity = context.get("identity") or {}
    return Request(
        resource=event.get("resource") or "",
        method=str(event.get("httpMethod") or "").upper(),
        request_id=context.get("requestId") or "",
        address=identity.get("sourceIp") or "",
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        query=event.get("queryStringParameters") or {},
        parameters=event.get("pathParameters") or {},
        certificate=(identity.get("clientCert") or {}).get("subjectDN"),
        payload=event.get("body") or "",
        encoded=bool(event.get("isBase64Encoded")),
        started=started,
    )


def rendered(response: Response, request: Request) -> dict[str, Any]:
    """Write a response as API Gateway takes it; one to HEAD has no body."""
    # ASCII: half a surrogate, which a caller may have sent and is shown, is no UTF-8.
    text = response.body if isinstance(response.body, str) else json.dumps(response.body)
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": request.request_id}
    return {
        "statusCode": response.status,
        "headers": {**SECURE_HEADERS, **headers, **response.headers},
        "body": "" if request.method == "HEAD" else text,
        "isBase64Encoded": False,
    }
