"""Intents over HTTPS, as S3 takes them: on moto."""

from contextlib import nullcontext
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config as ClientConfig
from botocore.exceptions import ConnectionClosedError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from conductor_loop.errors import ConditionFailed, Illegible, NotAnswering
from conductor_loop.intents import admit
from conductor_loop.storage import sdk
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.listing import Listing
from tests.factories import BUCKET, World
from tests.integration.conftest import TABLE, send
from tests.serving import Api, body

_SENDERS_KEY = b"<Error><Code>InvalidRequest</Code><Message>Server Side Encryption with a key</Message></Error>"
_CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>At the same time</Message></Error>"


@pytest.fixture
def table(aws: boto3.session.Session) -> Any:
    return aws.client("dynamodb")


@pytest.fixture
def inbox(aws: boto3.session.Session) -> Inbox:
    return Inbox(aws.client("s3"), BUCKET)


def test_a_name_is_put_once_unless_it_is_replaced(inbox: Inbox) -> None:
    assert inbox.waiting("intent-a.json") is None
    version = inbox.put("intent-a.json", b"1", replace=False)
    with pytest.raises(ConditionFailed):
        inbox.put("intent-a.json", b"2", replace=False)
    waiting = inbox.waiting("intent-a.json")
    assert waiting is not None
    assert waiting.version_id == version
    assert inbox.put("intent-a.json", b"2", replace=True) != version


def test_an_intent_is_put_in_one_try(aws: boto3.session.Session) -> None:
    """A second one would find the object of the first one, if that arrived and only its answer was lost."""
    del aws
    s3, tries = sdk.client("s3", sdk.API_UPLOAD), []

    def lose(**_: object) -> None:
        tries.append(1)
        raise ConnectionClosedError(endpoint_url="https://s3")

    s3.meta.events.register("before-send.s3.PutObject", lose)
    with pytest.raises(NotAnswering):
        Inbox(s3, BUCKET).put("intent-a.json", b"1", replace=False)
    assert len(tries) == 1


@pytest.mark.parametrize(("conflicts", "answer"), [(3, None), (4, NotAnswering)])
def test_who_puts_in_the_same_moment_as_another_asks_again_who_was_first(
    aws: boto3.session.Session, conflicts: int, answer: type[Exception] | None
) -> None:
    """S3 refuses such a put (409, ConditionalRequestConflict) without saying that there is an object."""
    left = iter([AWSResponse("", 409, HTTPHeaders(), MockRawResponse(_CONFLICT)) for _ in range(conflicts)])

    def conflicting(event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        refused = next(left, None) if request.method == "PUT" else None
        return refused or send(event_name, request)

    s3: Any = aws.client("s3", config=ClientConfig(retries={"mode": "standard", "total_max_attempts": 1}))
    s3.meta.events.unregister("before-send", botocore_stubber)
    s3.meta.events.register("before-send", conflicting)
    inbox = Inbox(s3, BUCKET)
    with pytest.raises(answer) if answer else nullcontext():
        inbox.put("intent-a.json", b"1", replace=False)
    assert (inbox.waiting("intent-a.json") is None) == bool(answer)


def _refusing(s3: Any, *keys: str) -> Any:
    """Have S3 refuse what reads objects that are encrypted with their senders' keys; moto would give them."""

    def refuse(request: Any) -> AWSResponse | None:
        if request.method not in {"GET", "HEAD"} or not request.url.partition("?")[0].endswith(keys):
            return None
        text = b"" if request.method == "HEAD" else _SENDERS_KEY
        return AWSResponse(request.url, 400, HTTPHeaders(), MockRawResponse(text))

    s3.meta.events.unregister("before-send", botocore_stubber)
    s3.meta.events.register(
        "before-send", lambda event_name, request, **_: refuse(request) or send(event_name, request)
    )
    return s3


@pytest.mark.parametrize("plain_since", [False, True])
def test_an_input_that_is_encrypted_with_its_senders_key_has_the_state_that_its_name_has(
    world: World, aws: boto3.session.Session, table: Any, *, plain_since: bool
) -> None:
    """It is answered, and stays in the root, where it is the newest version again once a plain one is settled."""
    inbox: Any = Inbox(_refusing(aws.client("s3"), "/intent-a.json"), BUCKET)
    api = Api(intents=inbox, rows=Listing(table, TABLE, 10**9))
    api.clock.now = world.clock.now

    def state() -> tuple[str, str | None]:
        found = body(api.ask("GET", "/intents/intent-a.json", token=api.client()))
        return found["state"], found["status"] and found["status"]["status"]

    sealed = world.drop()
    assert state() == ("received", None)
    read, world.bucket.read = world.bucket.read, _illegible
    archive, world.bucket.archive = world.bucket.archive, _illegible
    admit.answer(world.app, sealed, world.deadline)
    assert state() == ("failed", "failed")
    assert api.ask("POST", "/intents/intent-a.json/retry", token="token")["statusCode"] == 409
    if plain_since:
        world.bucket.read, world.bucket.archive = read, archive
        plain = world.drop()
        assert state() == ("received", None)
        admit.answer(world.app, plain, world.deadline)
        assert state() == ("succeeded", "success")
    assert "intent-a.json" in world.listing()


def _illegible(*_: Any) -> Any:
    raise Illegible("its sender's key")


def test_answers_are_read_where_there_are_any(inbox: Inbox, aws: boto3.session.Session) -> None:
    assert (inbox.failed("intent-a.json", 10), inbox.status("intent-a.json")) == (None, None)
    s3 = aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key="failed/intent-a.json", Body=b"0123456789")
    s3.put_object(Bucket=BUCKET, Key="status/intent-a.json.status", Body=b'{"status": "failed"}')
    assert (inbox.failed("intent-a.json", 10), inbox.failed("intent-a.json", 9)) == (b"0123456789", None)
    assert inbox.status("intent-a.json") == {"status": "failed"}
    sealed = Inbox(_refusing(s3, "/intent-a.json", "/intent-a.json.status"), BUCKET)
    assert (sealed.failed("intent-a.json", 10), sealed.status("intent-a.json")) == (None, None)
    s3 = aws.client("s3")
    for nonsense in (b"{", b"[]", b"\xff"):
        s3.put_object(Bucket=BUCKET, Key="status/intent-a.json.status", Body=nonsense)
        assert inbox.status("intent-a.json") is None
