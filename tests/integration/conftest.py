from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from conductor_loop.aws.dynamodb import StateTable
from conductor_loop.aws.s3 import Bucket
from conductor_loop.intent import Handoff
from tests.factories import BUCKET, World

TABLE = "state"
_KEYS = {"pk": "S", "sk": "S", "arrival_day": "S", "arrived": "S", "active": "S", "held_until": "N"}
_TYPES: Any = [{"AttributeName": name, "AttributeType": kind} for name, kind in _KEYS.items()]


class MotoBucket(Bucket):
    """The real adapter on moto, and a hand to drop and look with."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.client = client

    def drop(self, bucket: str, key: str, body: bytes) -> Handoff:
        version = self.client.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
        return Handoff(bucket, key, version, size=len(body))

    def get(self, bucket: str, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, bucket: str) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def _index(name: str, partition: str, sort: str) -> Any:
    keys = [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
    return {"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
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
                _index("active", "active", "held_until"),
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield session


@pytest.fixture
def world(aws: boto3.session.Session) -> World:
    return World(
        bucket=MotoBucket(aws.client("s3")),
        state=StateTable(aws.client("dynamodb"), TABLE, keep_seconds=3600, jitter=lambda: 0.0),
    )
