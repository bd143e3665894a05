"""S3's error for what is encrypted with its sender's own key (SSE-C); moto returns it to every caller."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.s3.models import s3_backends

_ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
_REFUSED = (
    b"<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of Server Side Encryption. The "
    b"correct parameters must be provided to retrieve the object.</Message></Error>"
)


def seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have moto refuse to read, copy or describe such objects, as S3 does: 400, and HEAD without a reason."""
    answer, sealed = BotocoreStubber.__call__, set[str]()  # version ids

    def call(stubber: BotocoreStubber, event_name: str, request: Any, **kwargs: Any) -> AWSResponse | None:
        given = {name.lower(): value for name, value in request.headers.items()}
        if _ALGORITHM not in given and sealed & _looked_at(request, given):
            headers = HTTPHeaders()
            headers["x-amz-request-id"] = "1"  # as in every answer of S3
            return AWSResponse(request.url, 400, headers, MockRawResponse(_body(request)))
        response: AWSResponse | None = answer(stubber, event_name, request, **kwargs)
        if _ALGORITHM in given and request.method == "PUT" and response is not None:
            sealed.add(response.headers["x-amz-version-id"])
        return response

    monkeypatch.setattr(BotocoreStubber, "__call__", call)


def _body(request: Any) -> bytes:
    return b"" if request.method == "HEAD" else _REFUSED


def _looked_at(request: Any, headers: Mapping[str, Any]) -> set[str]:
    """Give the version that a request reads, if it does."""
    place = urlsplit(request.url)
    source = headers.get("x-amz-copy-source", b"")
    path, _, query = (source.decode() if isinstance(source, bytes) else source).partition("?")
    if not path and request.method in {"GET", "HEAD"}:
        path, query = f"{place.netloc.partition('.s3.')[0]}{place.path}", place.query
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    known: Any = s3_backends["123456789012"]["aws"].buckets
    if bucket not in known or not key:
        return set()
    newest = known[bucket].keys.get(key)
    return set(parse_qs(query).get("versionId", [newest.version_id] if newest and not query else []))
