"""The document of tokens in Secrets Manager, changed by several people at once without losing a change."""

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from conductor_loop.tokens import Document

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CANDIDATE = "CONDUCTOR_CANDIDATE"  # label of a version that is not in force, or not yet
_ATTEMPTS = 10
# What a lost race looks like: the label is no longer on the version that we name.
_LOST = {"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"}


class TokensSecret:
    """Reads and changes the document.

    Secrets Manager has no conditional put, but one conditional step: ``UpdateSecretVersionStage`` moves ``AWSCURRENT``
    from the version that is named to another, and fails if the label is no longer there. So a change is a
    compare-and-swap of labels: put the new document under a label of our own, which no reader uses, then move
    ``AWSCURRENT`` from the version that was read to the new one. Who loses reads again.

    Args:
        client: Makes the client when it is first needed.
        name: Of the secret, or its ARN.
        wait: Sleeps, between attempts.

    """

    def __init__(
        self, client: "Callable[[], SecretsManagerClient]", name: str, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._name, self._wait = client, name, wait

    def read(self) -> Document:
        """Read the document in force; one call. Raises UnreadableTokens."""
        return self._current()[1]

    def change(self, edit: Callable[[Document], Document]) -> None:
        """Put what ``edit`` makes of the document in force.

        Args:
            edit: Called again for each attempt; it may raise, and then nothing is changed.

        Raises:
            UnreadableTokens: as above.

        """
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
