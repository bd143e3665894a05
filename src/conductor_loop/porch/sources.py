"""Where kubeconfigs come from: a secret of Secrets Manager, or an EKS cluster's description and a token of STS."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch.kubeconfig import Kubeconfig, read_kubeconfig, with_token
from conductor_loop.storage.sdk import credentials

if TYPE_CHECKING:
    from mypy_boto3_eks import EKSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sts import STSClient

# The URL is meant to be used at once; EKS takes the token for 15 minutes from its signature on, whatever this says
# (kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go), and no run of porch lasts longer than 885 s.
_URL_SECONDS = 60
_TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105 - of every token
_NAME_HEADER = "x-k8s-aws-id"  # binds a token to one cluster, since it is signed
_IDENTITY = "/?Action=GetCallerIdentity&Version=2011-06-15"
_SECRET_PARAMETERS = ("X-Amz-Signature", "X-Amz-Security-Token")  # of the URL, which is readable in the token

# Error codes by what has to happen next. All others, throttling and faults of the service among them, pass.
_DENIED = {
    *("AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId"),
    *("ExpiredTokenException", "IncompleteSignature", "InvalidSignatureException"),
    "DecryptionFailure",  # the secret's key is refused to us
}
_ABSENT = {
    *("ResourceNotFoundException", "ValidationException", "InvalidParameterException"),
    "InvalidRequestException",  # the secret is to be deleted
}


def read_secret(client: "Callable[[], SecretsManagerClient]", name: str) -> Kubeconfig:
    """Read the kubeconfig in a secret, text or bytes, the version in force; one call. Raises NoCredentials."""
    source = f"the secret {name}"
    with _translate_errors(source, "secretsmanager:GetSecretValue"):
        secret = client().get_secret_value(SecretId=name)
    return read_kubeconfig(secret.get("SecretBinary") or secret["SecretString"].encode(), source)


def read_cluster(client: "Callable[[], EKSClient]", name: str) -> tuple[str, str]:
    """Return endpoint and authority (PEM in base64) of a cluster of this account and region; one call.

    Raises NoCredentials.
    """
    with _translate_errors(f"the EKS cluster {name}", "eks:DescribeCluster"):
        cluster = client().describe_cluster(name=name)["cluster"]
    endpoint, authority = cluster.get("endpoint"), cluster.get("certificateAuthority", {}).get("data")
    if endpoint and authority:
        return endpoint, authority
    what = f"the EKS cluster {name} is {cluster.get('status')}, and has no endpoint yet: try again later"
    raise NoCredentials(Cause.NETWORK_ERROR, what)


def sign_in(client: "Callable[[], STSClient]", name: str, cluster: tuple[str, str]) -> Kubeconfig:
    """Make a kubeconfig with a new token, for a cluster that knows the role by an access entry; no call.

    The token is a presigned GetCallerIdentity of STS, which EKS sends to learn who calls. Raises NoCredentials.
    """
    with _translate_errors("a token", "the function's role to be assumed"):
        meta, signer = client().meta, credentials()
        if signer is None:
            raise NoCredentialsError
        request = AWSRequest("GET", meta.endpoint_url + _IDENTITY, {_NAME_HEADER: name})
        SigV4QueryAuth(signer, "sts", meta.region_name, _URL_SECONDS).add_auth(request)
    url = str(request.url)
    token = _TOKEN_PREFIX + urlsafe_b64encode(url.encode()).decode().rstrip("=")
    parameters = parse_qs(urlsplit(url).query)
    return with_token(*cluster, token, url, *(parameters[name][0] for name in _SECRET_PARAMETERS if name in parameters))


@contextmanager
def _translate_errors(what: str, permission: str) -> Iterator[None]:
    """Turn what the SDK raises into what happens next; of its words only the code, which names no account."""
    try:
        yield
    except (ClientError, NoCredentialsError) as error:
        response = getattr(error, "response", {"Error": {"Code": "AccessDenied"}})
        code = response.get("Error", {}).get("Code", "unknown")
        if code in _DENIED:
            why = f"{what} is refused ({code}): it takes {permission}"
            raise NoCredentials(Cause.INSUFFICIENT_PERMISSIONS, why) from None
        if code in _ABSENT:
            why = f"{what} is missing ({code}): make it, or correct porch.cluster"
            raise NoCredentials(Cause.NO_CREDENTIALS, why) from None
        raise NoCredentials(Cause.NETWORK_ERROR, f"{what} is not to be had ({code})") from None
    except BotoCoreError as error:
        why = f"{what} could not be asked for ({type(error).__name__})"
        raise NoCredentials(Cause.NETWORK_ERROR, why) from None
