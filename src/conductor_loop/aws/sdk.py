"""The SDK's clients, set up once for all adapters."""

import time
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from conductor_loop.tokens.vault import AwsIdentity

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_eks import EKSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

_CONFIG = Config(
    connect_timeout=2,  # seconds; a healthy endpoint answers in milliseconds
    read_timeout=10,  # seconds; longer than any single call of ours takes
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=20,
    user_agent_extra="conductor-loop",
)
_LAST_CALL_SECONDS = 3.0  # before an invocation ends, when the last call is begun
_LAST_WORD_SECONDS = 1.0  # when the last message is handed back
_end = [float("inf")]  # of the invocation, in epoch seconds


class OutOfTime(Exception):  # noqa: N818 - reads as what it is
    """The invocation ends: what is begun now might never hear the answer."""


def end_at(deadline: float) -> None:
    """Say when the invocation ends, in epoch seconds."""
    _end[0] = deadline


def _bounded[C](client: C, reserve_seconds: float = _LAST_CALL_SECONDS) -> C:
    """Have a client begin no call, nor try one again, when the invocation is about to end. Raises OutOfTime."""

    def check(**_: object) -> None:
        if time.time() > _end[0] - reserve_seconds:
            raise OutOfTime

    client.meta.events.register("before-send", check)  # type: ignore[attr-defined] # every client has it
    return client


@cache
def s3_client() -> "S3Client":
    """Make a client from the environment's credentials, region and endpoint."""
    return _bounded(boto3.client("s3", config=_CONFIG))


@cache
def dynamodb_client() -> "DynamoDBClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return _bounded(boto3.client("dynamodb", config=_CONFIG))


@cache
def sqs_client() -> "SQSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return _bounded(boto3.client("sqs", config=_CONFIG), _LAST_WORD_SECONDS)


@cache
def lambda_client() -> "LambdaClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return boto3.client("lambda", config=_CONFIG)


@cache
def logs_client() -> "CloudWatchLogsClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return _bounded(boto3.client("logs", config=_CONFIG))


@cache
def ssm_client() -> "SSMClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return boto3.client("ssm", config=_CONFIG)


@cache
def secretsmanager_client() -> "SecretsManagerClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return boto3.client("secretsmanager", config=_CONFIG)


def identity() -> AwsIdentity:
    """Give the credentials of the environment, for a login that is signed with them; they may change at any time."""
    session = boto3.session.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    frozen = credentials.get_frozen_credentials()
    return AwsIdentity(frozen.access_key or "", frozen.secret_key or "", frozen.token)


@cache
def eks_client() -> "EKSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return boto3.client("eks", config=_CONFIG)


@cache
def sts_client() -> "STSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    return boto3.client("sts", config=_CONFIG)


@cache
def session_credentials() -> "Credentials | None":
    """Give what the clients sign with; None where there is nothing."""
    return boto3.Session().get_credentials()
