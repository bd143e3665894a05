"""AWS as canned HTTP answers: what the SDK does is done, and the network is nothing, or a wait of a fixed length.

Every answer is what AWS says when all goes well, as S3, DynamoDB and SQS write it on the wire; the SDK parses it as
ever.
"""

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse

VERSION = "3sL4kqtJlcpXroDTDmJ"
_ETAG = '"9b2cf535f27731c974343645a3985328"'
_COPIED = f"""<?xml version="1.0" encoding="UTF-8"?>
<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LastModified>2026-11-23T03:00:00.000Z</LastModified>
<ETag>{_ETAG.replace('"', "&quot;")}</ETag></CopyObjectResult>""".encode()
_TARGET = b'{"Item": {"pk": {"S": "target#ns/name"}, "sk": {"S": "-"}, "rev": {"N": "1"}, "number": {"N": "0"}}}'
_SENT = json.dumps({"MessageId": "5fea7756-0ea4-451a-a703-a558b933e274", "MD5OfMessageBody": "0" * 32}).encode()
_STORED = {"ETag": _ETAG, "x-amz-version-id": VERSION, "x-amz-server-side-encryption": "AES256"}
_JSON = {"Content-Type": "application/x-amz-json-1.0"}


class _Raw(io.BytesIO):
    """The body of an answer, as urllib3 gives it."""

    def stream(self, amount: int = 65536, **_: object) -> Iterator[bytes]:
        while data := self.read(amount):
            yield data

    def release_conn(self) -> None:
        """Do nothing: there is no connection."""


@dataclass
class Wire:
    """Answers for some clients: ``bodies`` are the inputs by key; every call waits ``seconds``."""

    bodies: Callable[[str], bytes]
    seconds: float = 0.0
    calls: list[tuple[Any, str, dict[str, Any]]] = field(default_factory=list)
    record: bool = False

    def under(self, clients: list[Any]) -> None:
        """Put it under these clients."""
        for client in clients:
            client.meta.events.register("before-send", self._answer)
            client.meta.events.register("provide-client-params", self._note(client))

    def _note(self, client: Any) -> Callable[..., None]:  # noqa: ANN401 - any client of the SDK
        def note(params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's event
            if self.record:
                self.calls.append((client, model.name, dict(params)))

        return note

    def _answer(self, request: Any, event_name: str, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's event
        if self.seconds:
            time.sleep(self.seconds)
        status, headers, body = self._said(event_name.rpartition(".")[2], request.url)
        headers = {"x-amz-request-id": "4442587FB7D0A2F9", "Content-Length": str(len(body)), **headers}
        given: Any = headers
        return AWSResponse(request.url, status, given, _Raw(body))

    def _said(self, operation: str, url: str) -> tuple[int, dict[str, str], bytes]:
        match operation:
            case "GetObject":
                body = self.bodies(url.partition("?")[0].rpartition("/")[2])
                return 200, _STORED | {"Last-Modified": "Mon, 23 Nov 2026 03:00:00 GMT"}, body
            case "PutObject":
                return 200, _STORED, b""
            case "CopyObject":
                return 200, {"Content-Type": "application/xml", "x-amz-version-id": VERSION}, _COPIED
            case "DeleteObject":
                return 204, {"x-amz-version-id": VERSION}, b""
            case "SendMessage":
                return 200, _JSON, _SENT
            case "GetItem":
                return 200, _JSON, _TARGET
        return 200, _JSON, b"{}"
