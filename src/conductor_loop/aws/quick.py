"""Clients for the API, whose caller waits: short timeouts, and one try, since a caller asks again by itself.

Where a connection was closed, a read is tried once more, at once: it was kept alive while Lambda had frozen the
function, so that the first calls after that fail although nothing is wrong. What hangs is not asked again: a caller
waits for it once.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from conductor_loop.aws.sdk import USER_AGENT, client_of

if TYPE_CHECKING:
    from botocore.model import OperationModel
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
_TAKEN = _config(1, 5)  # an intent of 10 MB takes a while
_READS = ("Get", "List", "Query", "BatchGet", "Describe")  # how their operations begin


def _client(service: str, config: Config, *writes: str) -> Any:  # noqa: ANN401 - any service's
    """Make a client that tries reads twice, and the ``writes`` that may be made twice.

    Not S3's put: one that arrived and was not answered would find its own object there.
    """

    def second_try(
        *, operation: "OperationModel", attempts: int, caught_exception: object, **_: object
    ) -> float | None:
        is_closed = isinstance(caught_exception, ConnectionClosedError | EndpointConnectionError)
        return 0.0 if is_closed and attempts == 1 and operation.name.startswith((*_READS, *writes)) else None

    client = client_of(service, config)
    client.meta.events.register_first("needs-retry", second_try)
    return client


@cache
def limiter_client() -> "DynamoDBClient":
    """Make the client that tokens are taken with."""
    client: DynamoDBClient = _client("dynamodb", _LIMITER, "UpdateItem")
    return client


@cache
def dynamodb_client() -> "DynamoDBClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: DynamoDBClient = _client("dynamodb", _ASKED)
    return client


@cache
def sqs_client() -> "SQSClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SQSClient = _client("sqs", _ASKED)
    return client


@cache
def ssm_client() -> "SSMClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SSMClient = _client("ssm", _CONFIGURATION)
    return client


@cache
def starting_ssm_client() -> "SSMClient":
    """Make the client of a function that starts, without a configuration yet, and without an old connection."""
    client: SSMClient = client_of("ssm", _STARTING)
    return client


@cache
def secretsmanager_client() -> "SecretsManagerClient":
    """Make a client from the environment's credentials, region and endpoint."""
    client: SecretsManagerClient = _client("secretsmanager", _ASKED)
    return client


@cache
def s3_client() -> "S3Client":
    """Make a client from the environment's credentials, region and endpoint."""
    client: S3Client = _client("s3", _TAKEN)
    return client
