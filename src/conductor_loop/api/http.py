"""Requests and responses, as API Gateway's proxy integration of REST APIs hands them over and takes them back."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from conductor_loop.errors import Rejected

type Event = Mapping[str, Any]

SECURE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Malformed(Exception):  # noqa: N818 - reads as what it is
    """The body is not what its event says it is."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``started`` is when it was begun to be answered (seconds that never go back)."""

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
    started: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of the body at least, known without decoding it."""
        padding = self.payload[-2:].count("=")
        return len(self.payload) * 3 // 4 - padding if self.encoded else len(self.payload)

    def body(self) -> bytes:
        """Decode the body.

        Raises:
            Malformed: it cannot be.

        """
        if not self.encoded:
            return self.payload.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.payload, validate=True)
        except binascii.Error as error:
            raise Malformed from error


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; a body of a mapping is sent as JSON."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    rejection: Rejected | None = None  # why an intent was refused


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
    """Write a response as API Gateway takes it; one to HEAD has no body, and one without content neither."""
    # ASCII: half a surrogate, which a caller may have sent and is shown, is no UTF-8.
    text = response.body if isinstance(response.body, str) else json.dumps(response.body)
    bodiless = request.method == "HEAD" or response.status == HTTPStatus.NO_CONTENT
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": request.request_id}
    return {
        "statusCode": response.status,
        "headers": {**SECURE_HEADERS, **headers, **response.headers},
        "body": "" if bodiless else text,
        "isBase64Encoded": False,
    }
