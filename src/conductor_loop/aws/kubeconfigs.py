"""Where kubeconfigs come from: a secret of Secrets Manager, or an EKS cluster's description and a token of STS."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.exceptions import NoCredentialsError as NothingToSignWith

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch import Kubeconfig, read_kubeconfig, with_token
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
    "AccessDenied",
    "AccessDeniedException",
    "DecryptionFailure",  # the secret's key is refused to us
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "UnrecognizedClientException",
}
_ABSENT = {
    "InvalidParameterException",
    "InvalidRequestException",  # the secret is to be deleted
    "ResourceNotFoundException",
    "ValidationException",
}


class KubeconfigSecret:
    """A kubeconfig in a secret, as text or as bytes."""

    def __init__(self, client: "Callable[[], SecretsManagerClient]", name: str) -> None:
        self._client, self._name = client, name

    def read(self) -> Kubeconfig:
        """Read the version in force; one call. Raises NoCredentials."""
        source = f"the secret {self._name}"
        with _explained(source, "secretsmanager:GetSecretValue"):
            answer = self._client().get_secret_value(SecretId=self._name)
        content = answer["SecretBinary"] if "SecretBinary" in answer else answer["SecretString"].encode()
        return read_kubeconfig(content, source)


@dataclass(frozen=True, slots=True)
class Described:
    """Where an EKS cluster is, and whom to trust as it."""

    endpoint: str
    authority: str  # PEM in base64


class EksCluster:
    """An EKS cluster of this account and region, which knows the function's role by an access entry."""

    def __init__(self, eks: "Callable[[], EKSClient]", sts: "Callable[[], STSClient]", name: str) -> None:
        self._eks, self._sts, self._name = eks, sts, name

    def read(self) -> Described:
        """Ask where the cluster is; one call. Raises NoCredentials."""
        with _explained(f"the EKS cluster {self._name}", "eks:DescribeCluster"):
            found = self._eks().describe_cluster(name=self._name)["cluster"]
        endpoint, authority = found.get("endpoint"), found.get("certificateAuthority", {}).get("data")
        if not (endpoint and authority):
            what = f"the EKS cluster {self._name} is {found.get('status')}, and has no endpoint yet: try again later"
            raise NoCredentials(Cause.NETWORK_ERROR, what)
        return Described(endpoint, authority)

    def kubeconfig(self, cluster: Described) -> Kubeconfig:
        """Make a kubeconfig with a new token; no call. Raises NoCredentials."""
        url = self._signed_url()
        token = _TOKEN_PREFIX + urlsafe_b64encode(url.encode()).decode().rstrip("=")
        parameters = parse_qs(urlsplit(url).query)
        parts = [parameters[name][0] for name in _SECRET_PARAMETERS if name in parameters]
        return with_token(cluster.endpoint, cluster.authority, token, url, *parts)

    def _signed_url(self) -> str:
        """Presign GetCallerIdentity of STS, which EKS sends to learn who calls."""
        with _explained("a token", "the function's role to be assumed"):
            meta, signer = self._sts().meta, credentials()
            if signer is None:
                raise NothingToSignWith
            request = AWSRequest("GET", meta.endpoint_url + _IDENTITY, {_NAME_HEADER: self._name})
            SigV4QueryAuth(signer, "sts", meta.region_name, _URL_SECONDS).add_auth(request)
            return str(request.url)


@contextmanager
def _explained(what: str, permission: str) -> Iterator[None]:
    """Turn what the SDK raises into what happens next; of its words only the code, which names no account."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise _refused(what, permission, code) from None
    except NothingToSignWith:
        raise _refused(what, permission, "AccessDenied") from None
    except BotoCoreError as error:
        why = f"{what} could not be asked for ({type(error).__name__})"
        raise NoCredentials(Cause.NETWORK_ERROR, why) from None


def _refused(what: str, permission: str, code: str) -> NoCredentials:
    if code in _DENIED:
        return NoCredentials(Cause.INSUFFICIENT_PERMISSIONS, f"{what} is refused ({code}): it takes {permission}")
    if code in _ABSENT:
        return NoCredentials(Cause.NO_CREDENTIALS, f"{what} is not there ({code}): make it, or correct porch.cluster")
    return NoCredentials(Cause.NETWORK_ERROR, f"{what} is not to be had ({code})")
