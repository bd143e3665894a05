"""DynamoDB, S3 and SQS: the calls of the SDK that several parts use."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.errors import NotAnswering


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn whatever the SDK raises into NotAnswering; catch what means something to you before."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise NotAnswering(f"{service}: {error}") from error
