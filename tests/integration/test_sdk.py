import time

import boto3
import pytest

from conductor_loop.intent import Handoff
from conductor_loop.storage import bucket as s3
from conductor_loop.storage import sdk
from tests.factories import BUCKET


@pytest.fixture(autouse=True)
def _clients(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    del aws
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_no_call_is_begun_when_the_invocation_is_about_to_end() -> None:
    sdk.end_at(time.time() + 60)
    assert sdk.client("s3").list_buckets()["Buckets"]
    sdk.end_at(time.time() + 2)
    with pytest.raises(sdk.OutOfTime):
        sdk.client("s3").list_buckets()


def test_a_message_can_be_handed_back_a_little_longer() -> None:
    sdk.end_at(time.time() + 2)
    sdk.client("sqs", sdk.MESSAGES).list_queues()
    sdk.end_at(time.time())
    with pytest.raises(sdk.OutOfTime):
        sdk.client("sqs", sdk.MESSAGES).list_queues()


def test_an_input_too_large_for_one_copy_is_copied_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    client = sdk.client("s3")
    version = client.put_object(Bucket=BUCKET, Key="intent-a.json", Body=b"old")["VersionId"]
    client.put_object(Bucket=BUCKET, Key="intent-a.json", Body=b"new")
    monkeypatch.setattr(s3, "_COPY_LIMIT", 1)
    s3.S3Bucket(client).archive(Handoff(BUCKET, "intent-a.json", version, size=3), "failed/intent-a.json")
    assert client.get_object(Bucket=BUCKET, Key="failed/intent-a.json")["Body"].read() == b"old"
