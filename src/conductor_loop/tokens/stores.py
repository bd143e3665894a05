"""Where the document of tokens is kept: Secrets Manager, HashiCorp Vault (a KV store of version 2), or a file.

``hvac`` is an optional extra, imported when the first token is to be verified; on Lambda a layer of the site's own
brings it (docs/secrets.md).
"""

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, NoCredentialsError

from conductor_loop.config.typed import VaultAccess
from conductor_loop.tokens import Document, UnreadableTokens

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from hvac import Client
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CANDIDATE = "CONDUCTOR_CANDIDATE"  # label of a version that is not in force, or not yet
_ATTEMPTS = 10
# What a lost race looks like: the label is no longer on the version that we name.
_LOST = {"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"}
CA_FILE = Path("/opt/vault/ca.pem")  # in the layer that brings hvac, where Vault's certificate is not of a public CA
_STS_REGION = "us-east-1"  # of sts.amazonaws.com, which hvac signs for and Vault asks by default
_TIMEOUT_SECONDS = 5  # of one call; a healthy Vault answers in milliseconds


class TokensSecret:
    """Reads and changes the document.

    Secrets Manager has no conditional put, but one conditional step: ``UpdateSecretVersionStage`` moves ``AWSCURRENT``
    from the version that is named to another, and fails if the label is no longer there. So a change is a
    compare-and-swap of labels: put the new document under a label of our own, which no reader uses, then move
    ``AWSCURRENT`` from the version that was read to the new one. Who loses reads again. ``name`` may be an ARN.
    """

    def __init__(
        self, client: "Callable[[], SecretsManagerClient]", name: str, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._name, self._wait = client, name, wait

    def read(self) -> Document:
        """Read the document in force; one call. Raises UnreadableTokens."""
        return self._current()[1]

    def change(self, edit: Callable[[Document], Document]) -> None:
        """Put what ``edit`` makes of the document in force; it is called for each attempt, and may raise."""
        for attempt in range(_ATTEMPTS):
            old, document = self._current()
            new = self._put(edit(document))
            try:
                self._client().update_secret_version_stage(
                    SecretId=self._name, VersionStage="AWSCURRENT", MoveToVersionId=new, RemoveFromVersionId=old
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _LOST:
                    raise
                current, _ = self._current()
                if current == new:  # it was moved, and the response was lost
                    return
                if current == old or attempt == _ATTEMPTS - 1:  # not a race after all, or one without an end
                    raise
                self._wait(0.05 * (attempt + 1))
            else:
                return

    def _current(self) -> tuple[str, Document]:
        answer = self._client().get_secret_value(SecretId=self._name, VersionStage="AWSCURRENT")
        # What External Secrets pushes is binary by default.
        text = answer.get("SecretString") or answer.get("SecretBinary", b"").decode(errors="replace")
        return answer["VersionId"], Document.parse(text)

    def _put(self, document: Document) -> str:
        """Put a version that is not in force. The token makes the SDK's own retries harmless."""
        identifier = str(uuid.uuid4())
        self._client().put_secret_value(
            SecretId=self._name,
            ClientRequestToken=identifier,
            SecretString=document.text(),
            VersionStages=[_CANDIDATE],
        )
        return identifier


class MissingExtraError(ImportError):
    """``hvac`` is not installed."""


class VaultTokens:
    """Reads the document from Vault, logging in by ``auth_method``.

    Of ``aws``, the ``credentials`` sign the login and stay here: Vault gets the signature of one request, which only
    says who asks (developer.hashicorp.com/vault/docs/auth/aws). Of ``token``, ``token`` returns Vault's.
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

        Raises MissingExtraError without ``hvac``, UnreadableTokens, and what ``hvac`` and ``requests`` do.
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


class TokensFile:
    """Reads and changes a file; readable for its owner only, and never half written. One person at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Document:
        """Read the document; without a file there are no tokens. Raises UnreadableTokens and OSError."""
        try:
            return Document.parse(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return Document.parse('{"tokens": []}')
        except UnicodeDecodeError:
            raise UnreadableTokens("the document of tokens is not UTF-8") from None

    def change(self, edit: Callable[[Document], Document]) -> None:
        """Write what ``edit`` makes of the document; if that raises, nothing is changed."""
        text, beside = edit(self.read()).text(), self._path.with_name(f".{self._path.name}.new")
        beside.unlink(missing_ok=True)  # left by a crash, or by another user, with rights of its own
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{text}\n")
        beside.replace(self._path)
