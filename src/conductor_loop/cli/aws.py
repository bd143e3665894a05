"""AWS, as the command line uses it: which stack, the SDK's clients, and what to say where a call fails.

boto3 is imported with the first call, so that no help waits for it.
"""

import os
import re
import traceback
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import click
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from click.core import ParameterSource

from conductor_loop.errors import NotAnswering

DEFAULT_STACK = "conductor-loop"
AT_ONCE = 8  # calls of a command
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_CHOSEN = ("AWS_ENDPOINT_URL", *_PROFILES, "AWS_ACCESS_KEY_ID", "HANDOFF_BUCKET")  # who sets one means that place
_TAKEN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "STACK_NAME")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_OF_LOCAL = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "STACK_NAME", "HANDOFF_BUCKET")  # beside the keys
_LINE = re.compile(r"export ([A-Z_]+)='([^']*)'")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:[0-9]+")
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
_NOT_AWS = "check AWS_ENDPOINT_URL, HTTPS_PROXY and the network's login page"
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
_ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (exceptions.NoRegionError, exceptions.InvalidRegionError),
        "set AWS_REGION, e.g. to us-east-1; for the local stack: make up",
    ),
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
    ((Exception,), "correct the AWS_ variables or ~/.aws"),
)


def stack_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Give the stack of --stack or the environment, else that of `make up`, else the usual one."""
    if value is not None or context.resilient_parsing:
        return value or ""
    local = take_local()
    if not local:
        return DEFAULT_STACK
    context.set_parameter_source(parameter.name or "", ParameterSource.ENVIRONMENT)
    click.echo(f"the local stack on {local['AWS_ENDPOINT_URL']} (.local/env)", err=True)
    return local["STACK_NAME"]


def take_local() -> dict[str, str]:
    """Take what `make up` has written into the environment, where nothing there says otherwise; what was taken."""
    local = {} if any(os.environ.get(name) for name in _CHOSEN) else local_variables(Path.cwd())
    os.environ.update(local)
    return local


def local_variables(folder: Path) -> dict[str, str]:
    """Read what `make up` has written in this folder or one above; nothing unless it leads to this machine."""
    path = next((found for one in (folder, *folder.parents) if (found := one / ".local/env").is_file()), None)
    written = dict(_LINE.findall(path.read_text("utf-8", "replace"))) if path else {}
    if not _LOOPBACK.fullmatch(written.get("AWS_ENDPOINT_URL", "")) or not written.keys() >= set(_TAKEN):
        return {}
    return {name: written[name] for name in _TAKEN}


def take_region() -> None:
    """Have AWS_REGION count before AWS_DEFAULT_REGION, the only one that botocore reads, as for AWS CLI v2."""
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region


def warn_of_profile() -> None:
    """Name what of the environment the SDK uses before the profile that is named: its keys, its endpoint."""
    name, endpoint, keys = _profile(), os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ACCESS_KEY_ID")
    if not name or not (keys or endpoint):
        return
    unset = " ".join(one for one in (_KEYS + _OF_LOCAL if endpoint else _KEYS) if os.environ.get(one))
    taken = f" and the endpoint {endpoint}" if endpoint else ""
    warning = f"profile {name} is used at {endpoint}, the endpoint of the environment; for AWS: unset {unset}"
    if keys:
        warning = f"profile {name} is not used, but the keys{taken} of the environment; for it: unset {unset}"
    click.echo(warning, err=True)


def _profile() -> str | None:
    return next((found for one in _PROFILES if (found := os.environ.get(one))), None)


def used(stack: str | None) -> str:
    """Name the credentials, the region, the endpoint and the stack that a command uses."""
    try:
        region = connect().DEFAULT_SESSION.region_name or "none"
    except BotoCoreError:
        region = "unknown"
    keys = "keys of AWS_ACCESS_KEY_ID" if os.environ.get("AWS_ACCESS_KEY_ID") else f"profile {_profile() or 'default'}"
    named = {"endpoint": os.environ.get("AWS_ENDPOINT_URL"), "stack": stack}
    return ", ".join([keys, f"region {region}", *(f"{what} {value}" for what, value in named.items() if value)])


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


def connect() -> Any:  # noqa: ANN401 - boto3, whose types are there without importing it
    """Return boto3, with a session whose calls raise ForeignAnswer. Raises an error of the SDK, see ``explain``."""
    import boto3  # noqa: PLC0415 - see above

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-parse", _check_origin, unique_id="conductor-loop")
    return boto3


def _check_origin(**event: Any) -> None:  # noqa: ANN401 - what botocore passes
    """Raise ForeignAnswer, before a page is parsed as an answer of AWS; failures of AWS itself are retried."""
    headers, status = event["response_dict"]["headers"], event["response_dict"]["status_code"]
    kind = headers.get("content-type", "no content type")
    is_aws = kind.startswith(_OWN_TYPES) or any(headers.get(name) for name in _REQUEST_IDS)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and not is_aws:
        raise ForeignAnswer(status=status, kind=kind)


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


class Explanation(NamedTuple):
    """Why a command cannot do its work, in one line."""

    text: str
    usage: bool = False  # whether the same call never succeeds
    of_place: bool = True  # whether another profile, region or stack might help


def explain(error: BaseException) -> Explanation | None:
    """Explain an error of AWS, of the way to it, or of what is set on this machine; ``None`` for a mistake of ours."""
    if isinstance(error, NotAnswering) and error.__cause__:
        return explain(error.__cause__)
    line = " ".join(str(error).split()).rstrip(".:")
    match error:
        case NotFound():
            return Explanation(str(error), usage=True, of_place=isinstance(error, NotFoundHere))
        case exceptions.ParamValidationError():
            return Explanation(f"AWS takes no such name: {line}", usage=True, of_place=False)
        case ClientError() if error.response["Error"]["Code"] in {"NoSuchBucket", "InvalidBucketName"}:
            bucket = error.response["Error"].get("BucketName", "of that name")
            return Explanation(f"there is no bucket {bucket}: see --bucket, --stack and HANDOFF_BUCKET", usage=True)
        case ClientError():
            return Explanation(f"AWS refuses: {line}")
        case ForeignAnswer():
            return Explanation(f"{line}; {_NOT_AWS}", usage=True)
        case _:
            return _explain_way(error, line)


def _explain_way(error: BaseException, line: str) -> Explanation | None:
    """Explain an error of the way to AWS, or of what is set on this machine."""
    unsendable = isinstance(error, exceptions.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError)
    is_set_wrongly = unsendable or isinstance(error, exceptions.SSLError | exceptions.ProxyConnectionError)
    is_of_parsers = type(error).__module__ == _PARSERS
    if is_of_parsers or isinstance(error, NotAnswering) or (isinstance(error, _SILENT) and not is_set_wrongly):
        stopped = "; is the local stack stopped? make up" if _LOOPBACK.search(line) else ""
        return Explanation(f"AWS does not answer: {line}{stopped}")
    if not isinstance(error, BotoCoreError):
        if _is_of_sdk(error, (_PARSERS,)):
            return Explanation(f"what answered is not AWS: its answer cannot be read; {_NOT_AWS}", usage=True)
        if not (isinstance(error, ValueError | OSError) and _is_of_sdk(error, ("botocore.", "boto3."))):
            return None
    endpoints = sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL"))
    advice = next(text for kinds, text in _ADVICE if isinstance(error, kinds))
    if endpoints and (isinstance(error, ValueError) or unsendable):
        advice = f"correct {' or '.join(endpoints)}, e.g. http://127.0.0.1:4566, or unset it"
    return Explanation(f"{line}; {advice}", usage=True)


def _is_of_sdk(error: BaseException, modules: tuple[str, ...]) -> bool:
    """Whether these modules of the SDK have raised it, and not we: for what is set on this machine."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = max((at for at, name in enumerate(names) if name.startswith("conductor_loop.")), default=-1)
    return any(name.startswith(modules) for name in names[ours + 1 :])
