"""The document of tokens in HashiCorp Vault, instead of Secrets Manager: a KV store of version 2.

``hvac`` is an optional extra, imported when the first token is to be verified; on Lambda a layer of the site's own
brings it (docs/secrets.md).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import NoCredentialsError

from conductor_loop.config.typed import VaultAccess
from conductor_loop.tokens import Document

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from hvac import Client

CA_FILE = Path("/opt/vault/ca.pem")  # in the layer that brings hvac, where Vault's certificate is not of a public CA
_STS_REGION = "us-east-1"  # of sts.amazonaws.com, which hvac signs for and Vault asks by default
_TIMEOUT_SECONDS = 5  # of one call; a healthy Vault answers in milliseconds


class MissingExtraError(ImportError):
    """``hvac`` is not installed."""


class VaultTokens:
    """Reads the document.

    Args:
        access: See there.
        credentials: Returns what a login signs with (``auth_method: aws``). They stay here: Vault gets the signature
            of one request, which only says who asks (developer.hashicorp.com/vault/docs/auth/aws).
        token: Returns Vault's token (``auth_method: token``).
        ca_file: Certificates to trust instead of the public ones, if there is such a file.

    """

    def __init__(
        self,
        access: VaultAccess,
        credentials: "Callable[[], Credentials | None]",
        token: Callable[[], str],
        ca_file: Path = CA_FILE,
    ) -> None:
        self._access, self._credentials, self._token, self._ca_file = access, credentials, token, ca_file
        self._client: Client | None = None

    def read(self) -> Document:
        """Read the document; one call, and one more to log in when Vault no longer knows the last login.

        Raises:
            MissingExtraError: there is no ``hvac``.
            UnreadableTokens: it is no document of tokens.
            Exception: whatever keeps us from it, as ``hvac`` and ``requests`` put it.

        """
        try:
            from hvac.exceptions import Forbidden  # noqa: PLC0415 - optional, and costs nothing where it is not used
        except ImportError:
            raise MissingExtraError("secrets.vault needs hvac: pip install conductor-loop[vault]") from None
        if self._client is not None:
            try:
                return self._read(self._client)
            except Forbidden:
                self._client = None
        client = self._log_in()
        document = self._read(client)  # a fresh login may not read it either: that is an answer
        self._client = client
        return document

    def _read(self, client: "Client") -> Document:
        mount, _, path = self._access.secrets_path.strip("/").partition("/")
        answer: Any = client.secrets.kv.v2.read_secret_version(
            path=path, mount_point=mount, raise_on_deleted_version=True
        )
        return Document.of(answer["data"]["data"])

    def _log_in(self) -> "Client":
        from hvac import Client  # noqa: PLC0415 - see above

        verify = str(self._ca_file) if self._ca_file.exists() else True
        client = Client(url=self._access.address, token="", verify=verify, timeout=_TIMEOUT_SECONDS)
        if self._access.auth_method == "token":
            client.token = self._token()
            return client
        if (credentials := self._credentials()) is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()  # of one moment: they may change at any time
        client.auth.aws.iam_login(
            frozen.access_key,
            frozen.secret_key,
            session_token=frozen.token,
            header_value=urlsplit(self._access.address).hostname,  # so that no other Vault can use the signature
            role=self._access.role,
            region=_STS_REGION,
        )
        return client
