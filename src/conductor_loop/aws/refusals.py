"""Why a command cannot do its work: what AWS refuses, what is silent, and what is set wrongly on this machine."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import boto3
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from conductor_loop.errors import NotAnswering

AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
_SILENT = (
    exceptions.HTTPClientError,
    exceptions.ConnectionError,
    exceptions.IncompleteReadError,
    exceptions.ChecksumError,
    exceptions.FlexibleChecksumError,
    ResponseParserError,
    NotAnswering,
)
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id")  # one of them is in every answer of AWS
_OWN_TYPES = ("application/x-amz-json", "application/xml")  # no page's; the embedded AWS denies calls without an id
_OF_THE_WAY = (exceptions.SSLError, exceptions.ProxyConnectionError)  # silent, too, but for what is set here
_NOT_AWS = "check AWS_ENDPOINT_URL, HTTPS_PROXY and the network's login page"
_ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((exceptions.NoRegionError, exceptions.InvalidRegionError), "set AWS_REGION, e.g. to us-east-1"),
    ((exceptions.SSLError,), "check AWS_CA_BUNDLE, and whether AWS_ENDPOINT_URL is to begin with http or https"),
    ((exceptions.ProxyConnectionError,), "correct HTTPS_PROXY and HTTP_PROXY, or unset them"),
    ((exceptions.ProfileNotFound,), "set AWS_PROFILE to one of: aws configure list-profiles"),
    (
        (exceptions.SSOError, exceptions.TokenRetrievalError, exceptions.LoginError, exceptions.NoAuthTokenError),
        "sign in: aws sso login",
    ),
    (
        (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError),
        "set AWS_PROFILE, or sign in: aws configure, aws sso login; for the local stack: . .local/env",
    ),
)


class NotThere(Exception):  # noqa: N818 - reads as what it is
    """What the command names does not exist; the message says what, and how to name another."""


class WrongPlace(NotThere):
    """It does not exist where the command has looked: another region or account may have it."""


class ForeignAnswer(BotoCoreError):  # noqa: N818 - reads as what it is
    """What has answered is not AWS: a proxy, a captive portal, another server."""

    fmt = "what answered is not AWS (HTTP {status}, {kind})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command cannot do its work, in one line."""

    text: str
    usage: bool = False  # whether the same call never succeeds
    of_place: bool = True  # whether another profile, region or stack might help


def connect() -> None:
    """Set the SDK up for a command. Raises an error of the SDK, which ``understood`` explains."""
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-parse", _check_origin, unique_id="conductor-loop")


def _check_origin(**event: Any) -> None:  # noqa: ANN401 - what botocore tells
    """Raise ForeignAnswer, before a page is parsed as an answer of AWS; failures of AWS itself are retried."""
    headers, status = event["response_dict"]["headers"], event["response_dict"]["status_code"]
    kind = headers.get("content-type", "no content type")
    is_aws = kind.startswith(_OWN_TYPES) or any(headers.get(name) for name in _REQUEST_IDS)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and not is_aws:
        raise ForeignAnswer(status=status, kind=kind)


def understood(error: Exception, endpoints: Sequence[str]) -> Refusal | None:
    """Explain whatever a command has raised; ``None`` for what is a mistake of ours.

    Args:
        error: Is explained.
        endpoints: Variables of the environment that set an endpoint.

    """
    match error:
        case WrongPlace():
            return Refusal(str(error), usage=True)
        case NotThere():
            return Refusal(str(error), usage=True, of_place=False)
        case NotAnswering():
            return explained(error.__cause__ or error, endpoints)
        case _ if not isinstance(error, AWS_ERRORS) and _is_of_sdk(error, "botocore.parsers"):
            return Refusal(f"what answered is not AWS: its answer cannot be read; {_NOT_AWS}", usage=True)
        case ValueError() | OSError() if not isinstance(error, AWS_ERRORS) and not _is_of_sdk(error):
            return None
        case ValueError() | OSError() | BotoCoreError() | ClientError() | ResponseParserError():
            return explained(error, endpoints)
    return None


def explained(error: BaseException, endpoints: Sequence[str] = ()) -> Refusal:
    """Put an error of AWS, of the way to it, or of what is set on this machine, into a line."""
    line = " ".join(str(error).split()).rstrip(".:")
    match error:
        case exceptions.ParamValidationError():
            return Refusal(f"AWS takes no such name: {line}", usage=True, of_place=False)
        case ClientError() if error.response["Error"]["Code"] in {"NoSuchBucket", "InvalidBucketName"}:
            bucket = error.response["Error"].get("BucketName", "of that name")
            return Refusal(f"there is no bucket {bucket}: see --bucket, --stack and HANDOFF_BUCKET", usage=True)
        case ClientError():
            return Refusal(f"AWS refuses: {line}")
        case ForeignAnswer():
            return Refusal(f"{line}; {_NOT_AWS}", usage=True)
        case _ if isinstance(error, _SILENT) and not (isinstance(error, _OF_THE_WAY) or _is_unsendable(error)):
            return Refusal(f"AWS does not answer: {line}")
    return Refusal(f"{line}; {_advice(error, endpoints)}", usage=True)


def _advice(error: BaseException, endpoints: Sequence[str]) -> str:
    if endpoints and (isinstance(error, ValueError) or _is_unsendable(error)):
        return f"correct {' or '.join(endpoints)}, e.g. http://127.0.0.1:4566, or unset it"
    return next((text for kinds, text in _ADVICE if isinstance(error, kinds)), "correct the AWS_ variables or ~/.aws")


def _is_unsendable(error: BaseException) -> bool:
    """Say whether the URL is none that a request could be sent to."""
    return isinstance(error, exceptions.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError)


def _is_of_sdk(error: BaseException, *modules: str) -> bool:
    """Say whether the SDK, or these modules of it, have raised it: for what is set on this machine, and not for us."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = max((at for at, name in enumerate(names) if name.startswith("conductor_loop.")), default=-1)
    return any(name.startswith(modules or ("botocore.", "boto3.")) for name in names[ours + 1 :])


def region() -> str:
    """Say which region the SDK takes."""
    try:
        return (boto3.DEFAULT_SESSION or boto3.session.Session()).region_name or "none"
    except BotoCoreError:
        return "unknown"
