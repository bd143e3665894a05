"""The SDK's clients, set up once for all adapters."""

import logging
import time
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import botocore
from botocore.config import Config
from botocore.session import Session

from conductor_loop import __version__

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

# As a whole: the SDK would put its own together anew, twice for each call, in a quarter of the call's CPU.
USER_AGENT = f"conductor-loop/{__version__} Botocore/{botocore.__version__}"
_CONFIG = Config(
    connect_timeout=2,  # seconds; a healthy endpoint answers in milliseconds
    read_timeout=10,  # seconds; longer than any single call of ours takes
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=20,
    user_agent=USER_AGENT,
)
_LAST_CALL_SECONDS = 3.0  # before an invocation ends, when the last call is begun
_LAST_WORD_SECONDS = 1.0  # when the last message is handed back
_LOGGERS = ("boto3", "botocore", "urllib3")  # at DEBUG they print requests, which carry intents and credentials
_end = [float("inf")]  # of the invocation, in epoch seconds
_making = Lock()  # a session makes one client at a time; some are made by the threads of a batch


class OutOfTime(Exception):  # noqa: N818 - reads as what it is
    """The invocation ends: what is begun now might never hear the answer."""


def end_at(deadline: float) -> None:
    """Say when the invocation ends, in epoch seconds."""
    _end[0] = deadline


def seconds_left() -> float:
    """Say how long the invocation still has."""
    return _end[0] - time.time()


def _bounded[C](client: C, reserve_seconds: float = _LAST_CALL_SECONDS) -> C:
    """Have a client begin no call, nor try one again, when the invocation is about to end. Raises OutOfTime."""

    def check(**_: object) -> None:
        if time.time() > _end[0] - reserve_seconds:
            raise OutOfTime

    client.meta.events.register("before-send", check)  # type: ignore[attr-defined] # every client has it
    return client


@cache
def session() -> Session:
    """Start the SDK: botocore alone, since boto3's own part, transfers and resources, is a tenth of a cold start."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return Session()


def client_of(service: str, config: Config = _CONFIG) -> Any:  # noqa: ANN401 - any service's
    """Make a client from the environment's credentials, region and endpoint."""
    with _making:
        return session().create_client(service, config=config)


@cache
def s3_client() -> "S3Client":
    """Make a client from the environment's credentials, region and endpoint."""
    client: S3Client = client_of("s3")
    return _bounded(client)


@cache
def dynamodb_client() -> "DynamoDBClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: DynamoDBClient = client_of("dynamodb")
    return _bounded(client)


@cache
def sqs_client() -> "SQSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SQSClient = client_of("sqs")
    return _bounded(client, _LAST_WORD_SECONDS)


@cache
def lambda_client() -> "LambdaClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: LambdaClient = client_of("lambda")
    return client


@cache
def logs_client() -> "CloudWatchLogsClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: CloudWatchLogsClient = client_of("logs")
    return _bounded(client)


@cache
def ssm_client() -> "SSMClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SSMClient = client_of("ssm")
    return client


@cache
def starting_ssm_client() -> "SSMClient":
    """Make the client of a function that starts: one try, since what calls it waits longer than the SDK would."""
    client: SSMClient = client_of("ssm", _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1})))
    return client


@cache
def secretsmanager_client() -> "SecretsManagerClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SecretsManagerClient = client_of("secretsmanager")
    return client


@cache
def eks_client() -> "EKSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: EKSClient = client_of("eks")
    return client


@cache
def sts_client() -> "STSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: STSClient = client_of("sts")
    return client


def session_credentials() -> "Credentials | None":
    """Give what the clients sign with; None where there is nothing."""
    credentials: Credentials | None = session().get_credentials()
    return credentials
