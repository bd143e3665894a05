"""The SDK, as the command line uses it: clients, the outputs of a stack, and what to say where a call fails.

boto3 is imported with the first call, so that no help waits for it.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.errors import NotAnswering

AT_ONCE = 8  # calls of a command
_SILENT = (
    exceptions.HTTPClientError,
    exceptions.ConnectionError,
    exceptions.IncompleteReadError,
    exceptions.ChecksumError,
    exceptions.FlexibleChecksumError,
)
_PARSERS = "botocore.parsers"
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id")  # one of them is in every answer of AWS
_OWN_TYPES = ("application/x-amz-json", "application/xml")  # no page's; the embedded AWS denies calls without an id
_OF_THE_WAY = (exceptions.SSLError, exceptions.ProxyConnectionError)  # silent, too, but for what is set here
_NOT_AWS = "check AWS_ENDPOINT_URL, HTTPS_PROXY and the network's login page"
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
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


class NotFound(Exception):  # noqa: N818 - reads as what it is
    """What the command names does not exist; the message says what, and how to name another."""


class NotFoundHere(NotFound):
    """It does not exist where the command has looked: another region or account may have it."""


class ForeignAnswer(BotoCoreError):  # noqa: N818 - reads as what it is
    """What has answered is not AWS: a proxy, a captive portal, another server."""

    fmt = "what answered is not AWS (HTTP {status}, {kind})"


class Outputs(dict[str, str]):
    """Outputs of a stack, by name. Raises NotFound for one that it does not have."""

    def __missing__(self, name: str) -> str:
        raise NotFound(f"the stack has no output {name}: it is none of ours, or of another version")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command cannot do its work, in one line."""

    text: str
    usage: bool = False  # whether the same call never succeeds
    of_place: bool = True  # whether another profile, region or stack might help


def connect() -> Any:  # noqa: ANN401 - boto3, whose types are there without importing it
    """Return boto3, with a session whose calls raise ForeignAnswer. Raises an error of the SDK, see ``explain``."""
    import boto3  # noqa: PLC0415 - see above

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-parse", _check_origin, unique_id="conductor-loop")
    return boto3


def client(service: str, **config: Any) -> Any:  # noqa: ANN401 - any service's
    """Return the client of a service; ``config`` as ``botocore.config.Config`` has it."""
    from botocore.config import Config  # noqa: PLC0415 - see above

    return connect().client(service, config=Config(max_pool_connections=AT_ONCE, **config))


def outputs(stack: str) -> Outputs:
    """Read the outputs of a deployed stack. Raises NotFound."""
    cloudformation = client("cloudformation")
    if not stack:  # which CloudFormation takes for all of them
        raise NotFound("the stack's name is empty: name one with --stack")
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        wrong = f"there is no stack {stack} in {cloudformation.meta.region_name}"
        raise NotFoundHere(f"{wrong}: name another with --stack, or another region with AWS_REGION") from None
    return Outputs({output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])})


def region() -> str:
    """Return the region that the SDK uses."""
    try:
        return connect().DEFAULT_SESSION.region_name or "none"
    except BotoCoreError:
        return "unknown"


def is_denied(error: ClientError) -> bool:
    """Whether the caller has no permission."""
    return error.response["Error"]["Code"] in _DENIED


def explain(error: BaseException, endpoints: Sequence[str] = ()) -> Refusal | None:
    """Explain an error of AWS, of the way to it, or of what is set on this machine; ``None`` for a mistake of ours.

    Args:
        error: What a command has raised.
        endpoints: Variables of the environment that set an endpoint.

    """
    if isinstance(error, NotFound):
        return Refusal(str(error), usage=True, of_place=isinstance(error, NotFoundHere))
    if isinstance(error, NotAnswering):
        return explain(error.__cause__) if error.__cause__ else Refusal(f"AWS does not answer: {error}")
    if isinstance(error, BotoCoreError | ClientError) or type(error).__module__ == _PARSERS:
        return _explain(error, endpoints)
    if _is_of_sdk(error, _PARSERS):
        return Refusal(f"what answered is not AWS: its answer cannot be read; {_NOT_AWS}", usage=True)
    is_set_wrongly = isinstance(error, ValueError | OSError) and _is_of_sdk(error, "botocore.", "boto3.")
    return _explain(error, endpoints) if is_set_wrongly else None


def _explain(error: BaseException, endpoints: Sequence[str]) -> Refusal:
    line = " ".join(str(error).split()).rstrip(".:")
    is_silent = type(error).__module__ == _PARSERS or (
        isinstance(error, _SILENT) and not isinstance(error, _OF_THE_WAY) and not _is_unsendable(error)
    )
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
        case _ if is_silent:
            return Refusal(f"AWS does not answer: {line}")
    if endpoints and (isinstance(error, ValueError) or _is_unsendable(error)):
        advice = f"correct {' or '.join(endpoints)}, e.g. http://127.0.0.1:4566, or unset it"
    else:
        advice = next(
            (text for kinds, text in _ADVICE if isinstance(error, kinds)), "correct the AWS_ variables or ~/.aws"
        )
    return Refusal(f"{line}; {advice}", usage=True)


def _check_origin(**event: Any) -> None:  # noqa: ANN401 - what botocore passes
    """Raise ForeignAnswer, before a page is parsed as an answer of AWS; failures of AWS itself are retried."""
    headers, status = event["response_dict"]["headers"], event["response_dict"]["status_code"]
    kind = headers.get("content-type", "no content type")
    is_aws = kind.startswith(_OWN_TYPES) or any(headers.get(name) for name in _REQUEST_IDS)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and not is_aws:
        raise ForeignAnswer(status=status, kind=kind)


def _is_unsendable(error: BaseException) -> bool:
    """Whether the URL is none that a request could be sent to."""
    return isinstance(error, exceptions.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError)


def _is_of_sdk(error: BaseException, *modules: str) -> bool:
    """Whether these modules of the SDK have raised it, and not we: for what is set on this machine."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = max((at for at, name in enumerate(names) if name.startswith("conductor_loop.")), default=-1)
    return any(name.startswith(modules) for name in names[ours + 1 :])
