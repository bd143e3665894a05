from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.loaders import create_loader
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber
from moto.dynamodb import comparisons
from moto.s3.models import FakeKey, s3_backends

from conductor_loop.intent import Handoff
from conductor_loop.storage import sdk
from conductor_loop.storage.bucket import S3Bucket
from conductor_loop.storage.ratelimits import RateLimits
from conductor_loop.storage.state import DynamoDBStateTable
from tests.factories import BUCKET, World
from tests.integration.streaming import Stream

TABLE = "state"
_LOADER = cache(create_loader)
_KEYS = {"pk": "S", "sk": "S", "arrival_day": "S", "arrived": "S", "clean_up": "S", "due_at": "N"}
_TYPES: Any = [{"AttributeName": name, "AttributeType": kind} for name, kind in _KEYS.items()]
_REFUSED = b"<Error><Code>PreconditionFailed</Code><Message>At least one of them did not hold</Message></Error>"


def refused_copy(request: Any) -> AWSResponse | None:
    """Refuse a copy whose condition on its destination does not hold, as S3 does and moto does not."""
    given = {name.lower(): value for name, value in request.headers.items()}
    if "x-amz-copy-source" not in given:
        return None
    key = unquote(urlsplit(request.url).path).removeprefix("/")
    there: Any = s3_backends["123456789012"]["aws"].get_object(BUCKET, key)
    seen = given.get("if-match")
    seen = seen.decode() if isinstance(seen, bytes) else seen
    if seen == (there.etag if there else None) if seen else not there or "if-none-match" not in given:
        return None
    return AWSResponse(request.url, 412, HTTPHeaders(), MockRawResponse(_REFUSED))


def conditional(client: Any) -> Any:
    """Give an S3 client whose copies are as conditional as S3's."""
    client.meta.events.unregister("before-send", botocore_stubber)  # every handler is called: none can keep others back
    client.meta.events.register("before-send", send)
    return client


def send(event_name: str, request: Any, **_: Any) -> AWSResponse | None:
    """Let moto answer, but for what S3 refuses."""
    response: AWSResponse | None = refused_copy(request) or botocore_stubber(event_name, request=request)
    return response


class MotoBucket(S3Bucket):
    """The real adapter on moto, and a hand to drop and look with."""

    def __init__(self, client: Any, key: str = "") -> None:
        super().__init__(client, key)
        self.client = client

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        version = self.client.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
        return Handoff(bucket, key, version, size=len(body))

    def lies(self, key: str) -> bool:
        """Say whether any version of a key is there, below a delete marker too."""
        versions: Any = s3_backends["123456789012"]["aws"].get_bucket(BUCKET).keys
        return any(isinstance(one, FakeKey) for one in versions.getlist(key, []))

    def withdraw(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def get(self, bucket: str, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, bucket: str) -> list[str]:
        """Look into moto itself: a listing of a bucket that many plays share takes most of their time."""
        versions: Any = s3_backends["123456789012"]["aws"].get_bucket(bucket).keys
        return sorted(name for name in versions if isinstance(versions[name], FakeKey))


def tolerant(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Values of two types are not comparable, which DynamoDB takes for false and moto for an error."""

    def expr(self: Any, item: Any) -> bool:
        try:
            return compare(self, item)
        except TypeError:
            return False

    return expr


def _index(name: str, partition: str, sort: str) -> Any:
    keys = [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
    return {"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": "KEYS_ONLY"}}


@pytest.fixture(autouse=True)
def loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the services' descriptions once: anew, they take a tenth of a second of each test."""
    monkeypatch.setattr("botocore.session.create_loader", _LOADER)
    paths = _LOADER().search_paths  # to which every session of boto3 adds its own
    paths[:] = dict.fromkeys(paths)


@pytest.fixture(autouse=True)
def _clients() -> Iterator[None]:
    """Forget the clients of a test: they know its credentials, and its moto."""
    sdk.client.cache_clear()
    yield
    sdk.client.cache_clear()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for comparison in (comparisons.OpLessThan, comparisons.OpLessThanOrEqual, comparisons.OpGreaterThan):
        monkeypatch.setattr(comparison, "expr", tolerant(comparison.expr))
    monkeypatch.setattr(comparisons.FuncBetween, "expr", tolerant(comparisons.FuncBetween.expr))
    sdk.end_at(float("inf"))  # and the invocation of the test before is over
    with mock_aws():
        session = boto3.session.Session(region_name="us-east-1")
        s3 = session.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        session.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=_TYPES,
            GlobalSecondaryIndexes=[
                _index("by-day", "arrival_day", "arrived"),
                _index("clean-up", "clean_up", "due_at"),
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield session


@pytest.fixture
def stream(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Switch the table's stream on."""
    del aws
    stream = Stream(TABLE)
    stream.switch_on(monkeypatch)
    return stream


@pytest.fixture
def world(aws: boto3.session.Session) -> World:
    return World(
        bucket=MotoBucket(conditional(aws.client("s3"))),
        state=DynamoDBStateTable(aws.client("dynamodb"), TABLE, keep_seconds=3600, jitter=lambda: 0.0),
        buckets=RateLimits(aws.client("dynamodb"), TABLE),
    )


@pytest.fixture(params=["memory", "aws"])
def parts(request: pytest.FixtureRequest) -> World:
    chosen: World = World() if request.param == "memory" else request.getfixturevalue("world")
    return chosen


@pytest.fixture
def stacks(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Stacks, by name, and their outputs: moto's CloudFormation wants half of AWS to be installed."""
    stacks: dict[str, dict[str, str]] = {}

    def describe(params: Any, **_: Any) -> Any:
        name = params["body"]["StackName"]
        if name not in stacks:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return AWSResponse("", 400, HTTPHeaders(), None), {"Error": error, "ResponseMetadata": {}}
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in stacks[name].items()]
        return AWSResponse("", 200, HTTPHeaders(), None), {"Stacks": [{"Outputs": outputs}]}

    session = boto3.session.Session()
    session.events.register("before-call.cloudformation.DescribeStacks", describe)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    del aws
    return stacks
