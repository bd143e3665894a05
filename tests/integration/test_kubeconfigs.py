"""Where porch's kubeconfig comes from: the adapters on moto, and what each failure of theirs leads to."""

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64decode
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch import Kubeconfig, sources, with_token
from conductor_loop.porch.sources import read_cluster, read_secret, sign_in

WRITTEN = with_token("https://edge.example.com", "Q0E=", "the-token-of-edge").content
CLUSTER = ("https://ABC.gr7.us-east-1.eks.amazonaws.com", "Q0E=")


@pytest.fixture
def secrets(aws: boto3.session.Session) -> Any:
    return aws.client("secretsmanager")


@pytest.fixture
def eks(aws: boto3.session.Session) -> Any:
    return aws.client("eks")


@pytest.fixture(autouse=True)
def signing(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/token+of=the role")
    return aws


def credentials_error(read: Any) -> NoCredentials:
    with pytest.raises(NoCredentials) as caught:
        read()
    return caught.value


def make_cluster(eks: Any, name: str) -> None:
    eks.create_cluster(name=name, roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={})


def token_of(kubeconfig: Kubeconfig) -> str:
    token: str = json.loads(kubeconfig.content)["users"][0]["user"]["token"]
    return token


def url_of(token: str) -> str:
    return urlsafe_b64decode(token.removeprefix("k8s-aws-v1.") + "===").decode()


def made(aws: boto3.session.Session, name: str = "edge") -> Kubeconfig:
    return sign_in(lambda: aws.client("sts"), name, CLUSTER)


# ---------------------------------------------------------------- a secret


@pytest.mark.parametrize("form", ["SecretString", "SecretBinary"])
def test_a_secret_is_read_as_text_and_as_bytes(secrets: Any, form: str) -> None:
    secrets.create_secret(Name="edge", **{form: WRITTEN.decode() if form == "SecretString" else WRITTEN})
    found = read_secret(lambda: secrets, "edge")
    assert found == Kubeconfig(WRITTEN, frozenset({"the-token-of-edge"}))


def test_a_secret_is_found_by_its_arn_and_is_the_newest_version(secrets: Any) -> None:
    arn = secrets.create_secret(Name="edge", SecretString=WRITTEN.decode())["ARN"]
    secrets.put_secret_value(SecretId="edge", SecretString=WRITTEN.decode().replace("the-token", "new-token"))
    assert read_secret(lambda: secrets, arn).secrets == {"new-token-of-edge"}


def test_a_secret_that_is_not_there_or_is_to_be_deleted_is_for_an_operator(secrets: Any) -> None:
    read = partial(read_secret, lambda: secrets, "edge")
    error = credentials_error(read)
    assert error.cause is Cause.NO_CREDENTIALS
    assert str(error) == ("the secret edge is missing (ResourceNotFoundException): make it, or correct porch.cluster")
    secrets.create_secret(Name="edge", SecretString=WRITTEN.decode())
    secrets.delete_secret(SecretId="edge")
    assert credentials_error(read).cause is Cause.NO_CREDENTIALS


def test_a_secret_without_a_kubeconfig_is_for_an_operator_and_is_not_quoted(secrets: Any) -> None:
    secrets.create_secret(Name="edge", SecretString='{"password": "hunter22"}')
    error = credentials_error(partial(read_secret, lambda: secrets, "edge"))
    assert error.cause is Cause.NO_CREDENTIALS
    assert "hunter22" not in str(error)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("AccessDeniedException", Cause.INSUFFICIENT_PERMISSIONS),
        ("DecryptionFailure", Cause.INSUFFICIENT_PERMISSIONS),
        ("ExpiredTokenException", Cause.INSUFFICIENT_PERMISSIONS),
        ("ThrottlingException", Cause.NETWORK_ERROR),
        ("InternalServiceError", Cause.NETWORK_ERROR),
        ("SomethingNew", Cause.NETWORK_ERROR),
    ],
)
def test_what_the_service_answers_decides_what_happens_next(secrets: Any, code: str, cause: Cause) -> None:
    with Stubber(secrets) as stub:
        stub.add_client_error("get_secret_value", code, "User: arn:aws:sts::123456789012:assumed-role/x is not …")
        error = credentials_error(partial(read_secret, lambda: secrets, "edge"))
    assert error.cause is cause
    assert code in str(error)
    assert "123456789012" not in str(error), "of the service's words only the code"
    assert error.__suppress_context__


def test_a_service_that_cannot_be_reached_is_asked_again_later() -> None:
    config = Config(retries={"total_max_attempts": 1})
    nowhere = boto3.client("eks", "us-east-1", endpoint_url="http://127.0.0.1:1", config=config)
    error = credentials_error(partial(read_cluster, lambda: nowhere, "edge"))
    assert error.cause is Cause.NETWORK_ERROR
    assert "EndpointConnectionError" in str(error)


# ---------------------------------------------------------------- an EKS cluster


def test_a_cluster_is_found_with_its_authority(eks: Any) -> None:
    make_cluster(eks, "edge")
    endpoint, authority = read_cluster(lambda: eks, "edge")
    assert endpoint.startswith("https://")
    assert authority


def test_a_cluster_that_is_not_there_is_for_an_operator(eks: Any) -> None:
    error = credentials_error(partial(read_cluster, lambda: eks, "edge"))
    assert error.cause is Cause.NO_CREDENTIALS
    assert "EKS cluster edge is missing" in str(error)


def test_a_cluster_that_is_still_made_is_waited_for(eks: Any) -> None:
    with Stubber(eks) as stub:
        stub.add_response("describe_cluster", {"cluster": {"name": "edge", "status": "CREATING"}})
        error = credentials_error(partial(read_cluster, lambda: eks, "edge"))
    assert error.cause is Cause.NETWORK_ERROR
    assert "is CREATING" in str(error)


def test_a_token_is_a_signed_question_to_the_regions_own_sts(signing: boto3.session.Session) -> None:
    token = token_of(made(signing))
    assert token.startswith("k8s-aws-v1.")
    assert not token.endswith("=")
    url = urlsplit(url_of(token))
    query = dict(parse_qsl(url.query))
    assert (url.scheme, url.netloc, url.path) == ("https", "sts.us-east-1.amazonaws.com", "/")
    assert query["Action"] == "GetCallerIdentity"
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert query["X-Amz-Security-Token"] == "session/token+of=the role"
    assert set(query) <= {"Action", "Version"} | {name for name in query if name.startswith("X-Amz-")}


def test_the_signature_is_good_for_this_cluster_and_for_no_other(signing: boto3.session.Session) -> None:
    url = url_of(token_of(made(signing, "edge")))
    signature = dict(parse_qsl(urlsplit(url).query))["X-Amz-Signature"]
    assert signed(url, "edge") == signature
    assert signed(url, "core") != signature


def test_all_of_a_token_that_is_secret_is_known_as_such(signing: boto3.session.Session) -> None:
    kubeconfig = made(signing)
    url = url_of(token_of(kubeconfig))
    signature = dict(parse_qsl(urlsplit(url).query))["X-Amz-Signature"]
    assert kubeconfig.secrets == {token_of(kubeconfig), url, signature, "session/token+of=the role"}


def test_without_a_role_to_sign_with_there_is_no_token(
    signing: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "credentials", lambda: None)
    assert credentials_error(lambda: made(signing)).cause is Cause.INSUFFICIENT_PERMISSIONS


def signed(url: str, cluster: str) -> str:
    """Sign a URL as AWS documents it (Signature Version 4, query parameters), with nothing of botocore's."""
    parts = urlsplit(url)
    query = sorted((name, value) for name, value in parse_qsl(parts.query) if name != "X-Amz-Signature")
    given = dict(query)
    canonical = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    headers = f"host:{parts.netloc}\nx-k8s-aws-id:{cluster}\n"
    empty = hashlib.sha256(b"").hexdigest()
    asked = "\n".join(["GET", "/", canonical, headers, given["X-Amz-SignedHeaders"], empty])
    scope = given["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(asked.encode()).hexdigest()
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in (*scope.split("/"), "\n".join(["AWS4-HMAC-SHA256", given["X-Amz-Date"], scope, digest])):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
