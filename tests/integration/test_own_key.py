"""A KMS key that cannot be used: the site's own is waited for, with a key of the sender the intent fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse
from moto.s3.models import s3_backends

from conductor_loop.app import Message
from conductor_loop.errors import KeyUnavailable
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred
from conductor_loop.intents.outcome import Answer
from tests.factories import BUCKET, World, intent
from tests.integration import conftest
from tests.integration.conftest import MotoBucket, conditional
from tests.long import first

OWN = "arn:aws:kms:us-east-1:111122223333:key/1111-own"
FOREIGN = "arn:aws:kms:us-east-1:444455556666:key/4444-foreign"
ROLE = "User: arn:aws:sts::111122223333:assumed-role/conductor/x is not authorized to perform"
# As S3 writes them; {key} is the key that it could not use, {call} what it wanted of it.
DENIALS = {
    "disabled": ("KMS.DisabledException", "{key} is disabled."),
    "pending deletion": ("KMS.KMSInvalidStateException", "{key} is pending deletion."),
    "deleted": ("KMS.NotFoundException", "Key '{key}' does not exist"),
    "for signing": ("KMS.InvalidKeyUsageException", "{key} key usage is SIGN_VERIFY"),
    "refused by KMS": ("KMS.AccessDeniedException", ROLE + ": {call} on resource: {key}"),
    "denied": ("AccessDenied", ROLE + ": {call} on resource: {key} because no policy allows it"),
    "denied, unnamed": ("AccessDenied", ROLE + ": {call} on the resource associated with this ciphertext"),
    "elsewhere": (
        "AccessDenied",
        "The ciphertext refers to a customer master key that does not exist, or you are not allowed to access.",
    ),
}


@dataclass
class Keys:
    """Keys by ARN, and why S3 cannot use them; every object that is written is encrypted with the site's own."""

    refused: dict[str, str] = field(default_factory=dict)

    def send(self, event_name: str, request: Any, **more: Any) -> AWSResponse | None:
        for key, call in self._needed(request):
            if key in self.refused:
                code, text = DENIALS[self.refused[key]]
                said = f"<Error><Code>{code}</Code><Message>{text.format(key=key, call=call)}</Message></Error>"
                status = 403 if code == "AccessDenied" else 400
                return AWSResponse(request.url, status, HTTPHeaders(), MockRawResponse(said.encode()))
        return conftest.send(event_name, request, **more)

    def _needed(self, request: Any) -> Iterator[tuple[str, str]]:
        given = {name.lower(): value for name, value in request.headers.items()}
        path = unquote(urlsplit(request.url).path).strip("/")
        source = given.get("x-amz-copy-source", b"")
        source = unquote(source.decode() if isinstance(source, bytes) else source).partition("?")[0]
        if source:
            yield self._key(source.removeprefix(f"{BUCKET}/")), "kms:Decrypt"
        if request.method == "PUT":
            yield OWN, "kms:GenerateDataKey"
        if request.method == "GET" and path not in {"", BUCKET}:
            yield self._key(path.removeprefix(f"{BUCKET}/")), "kms:Decrypt"

    def _key(self, name: str) -> str:
        found: Any = s3_backends["123456789012"]["aws"].get_object(BUCKET, name)
        return (found and found.kms_key_id) or OWN


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def site(aws: boto3.session.Session, world: World, keys: Keys) -> World:
    """Give a site with a key of its own."""
    client = conditional(aws.client("s3"))
    client.meta.events.unregister("before-send", conftest.send)
    client.meta.events.register("before-send", keys.send)
    world.bucket = MotoBucket(client, OWN)
    world.__post_init__()
    return world


def drop(world: World, key: str) -> Handoff:
    """Put an intent that its sender encrypts with a key."""
    answer = world.bucket.client.put_object(
        Bucket=BUCKET, Key="intent-a.json", Body=intent(), ServerSideEncryption="aws:kms", SSEKMSKeyId=key
    )
    return Handoff(BUCKET, "intent-a.json", answer["VersionId"], len(intent()), "2027-01-15T08:00:00.000Z", "0A")


@pytest.mark.parametrize("why", DENIALS)
def test_an_intent_waits_while_the_sites_own_key_cannot_be_used_and_goes_on_when_it_can(
    site: World, keys: Keys, why: str
) -> None:
    handoff = drop(site, OWN)
    keys.refused = {OWN: why}
    for _ in range(30):  # far more than there are attempts
        assert isinstance(admit.work(site.app, Message(handoff), site.deadline), Deferred)
    with pytest.raises(KeyUnavailable):  # so the event is delivered again, or the sweeper hands it over
        admit.answer(site.app, handoff, site.deadline)
    keys.refused = {}
    assert site.listing() == ["intent-a.json"]
    assert admit.work(site.app, Message(handoff), site.deadline) is Answer.SETTLED
    assert site.status()["status"] == "success"
    assert site.status()["attempt"] == 1


@pytest.mark.parametrize("why", first(*DENIALS))
def test_an_intent_under_a_key_of_its_sender_that_cannot_be_used_fails_and_stays(
    site: World, keys: Keys, why: str
) -> None:
    handoff = drop(site, FOREIGN)
    keys.refused = {FOREIGN: why}
    assert admit.work(site.app, Message(handoff), site.deadline) is Answer.LEFT
    assert site.status()["status"] == "failed"
    assert "cannot be read" in site.status()["message"]
    assert "intent-a.json" in site.listing()


@pytest.mark.parametrize("why", first(*DENIALS))
def test_without_a_key_of_its_own_a_site_waits_for_none(site: World, keys: Keys, why: str) -> None:
    handoff = drop(site, FOREIGN)
    site.bucket = MotoBucket(site.bucket.client)
    keys.refused = {FOREIGN: why}
    assert admit.work(site.app, Message(handoff), site.deadline) is Answer.LEFT


@pytest.mark.parametrize("why", first(*(why for why in DENIALS if why not in {"denied, unnamed", "elsewhere"})))
@pytest.mark.parametrize("used", [OWN, FOREIGN])
def test_what_cannot_be_written_for_want_of_the_sites_own_key_is_written_later(
    site: World, keys: Keys, used: str, why: str
) -> None:
    handoff = drop(site, used)
    site.porch.on_run = lambda: keys.refused.update({OWN: why})
    assert isinstance(admit.work(site.app, Message(handoff), site.deadline), Deferred)
    site.porch.on_run = lambda: None
    keys.refused = {}
    site.clock.wait(60)
    assert admit.work(site.app, Message(handoff), site.deadline) is Answer.SETTLED
    assert site.status()["status"] == "success"


def test_a_decided_input_is_moved_once_the_sites_own_key_can_be_used_again(site: World, keys: Keys) -> None:
    handoff = drop(site, FOREIGN)
    put_status = site.bucket.put_status

    def and_then_the_key_is_gone(*given: Any, **more: Any) -> Any:
        name = put_status(*given, **more)
        keys.refused = {OWN: "disabled"}
        return name

    site.bucket.put_status = and_then_the_key_is_gone
    assert isinstance(admit.work(site.app, Message(handoff), site.deadline), Deferred)
    site.bucket.put_status, keys.refused = put_status, {}
    assert admit.work(site.app, Message(handoff), site.deadline) is Answer.SETTLED
    assert "processed/intent-a.json" in site.listing()
