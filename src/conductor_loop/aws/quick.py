"""Clients for whoever has somebody waiting: short timeouts, and one try. A caller of the API asks again by itself."""

from functools import cache
from typing import TYPE_CHECKING

from botocore.config import Config

from conductor_loop.aws.sdk import USER_AGENT, client_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient


def _config(connect_seconds: float, read_seconds: float) -> Config:
    return Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=20,
        user_agent=USER_AGENT,
    )


_LIMITER = _config(0.5, 0.5)  # nobody waits longer to be told that they may ask
_CONFIGURATION = _config(0.25, 0.25)  # before anything else; the last good one is there
_STARTING = _config(0.5, 1.5)  # there is no last good one, and copies that start share the CPU; /readyz has 2 s
_ASKED = _config(0.5, 1.0)
# An intent of 10 MB takes a while. One try, or a put that arrived and was not answered would find its own object there.
_TAKEN = _config(1, 5)


@cache
def limiter_client() -> "DynamoDBClient":
    """Make the client that tokens are taken with."""
    client: DynamoDBClient = client_of("dynamodb", _LIMITER)
    return client


@cache
def dynamodb_client() -> "DynamoDBClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: DynamoDBClient = client_of("dynamodb", _ASKED)
    return client


@cache
def sqs_client() -> "SQSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SQSClient = client_of("sqs", _ASKED)
    return client


@cache
def ssm_client() -> "SSMClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SSMClient = client_of("ssm", _CONFIGURATION)
    return client


@cache
def starting_ssm_client() -> "SSMClient":
    """Make the client of a function that starts, which can do nothing without its configuration."""
    client: SSMClient = client_of("ssm", _STARTING)
    return client


@cache
def secretsmanager_client() -> "SecretsManagerClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SecretsManagerClient = client_of("secretsmanager", _ASKED)
    return client


@cache
def s3_client() -> "S3Client":
    """Make a client from the environment's credentials, region and endpoint."""
    client: S3Client = client_of("s3", _TAKEN)
    return client
