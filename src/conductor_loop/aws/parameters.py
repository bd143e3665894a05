"""The configuration's document: a parameter of SSM, which numbers its versions."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from conductor_loop.config import Stored
from conductor_loop.config.live import Revision

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import ParameterHistoryTypeDef


_TIER: Final = "Intelligent-Tiering"  # up to 8 KB, and no charge up to 4


class ConfigParameter:
    """Reads the document.

    Args:
        client: Makes the client when it is first needed; a stack without a document needs none.
        name: Of the parameter.

    """

    def __init__(self, client: "Callable[[], SSMClient]", name: str) -> None:
        self._client, self.name = client, name

    def newest(self) -> Stored:
        """Read the newest version; a parameter that is not there says nothing, and has no version."""
        client = self._client()
        try:
            parameter = client.get_parameter(Name=self.name, WithDecryption=True)["Parameter"]
        except client.exceptions.ParameterNotFound:
            return Stored("{}", "")
        return Stored(parameter["Value"], str(parameter["Version"]))

    def earlier(self) -> Iterable[Stored]:
        """Read the versions before the newest one, newest first; SSM keeps a hundred."""
        return [Stored(entry["Value"], str(entry["Version"])) for entry in self._kept()[-2::-1]]

    def revisions(self) -> list[Revision]:
        """Read the versions that SSM keeps, oldest first, and who made each."""
        return [
            Revision(
                version=entry["Version"],
                text=entry["Value"],
                by=entry.get("LastModifiedUser", ""),
                at=entry["LastModifiedDate"].timestamp(),
            )
            for entry in self._kept()
        ]

    def _kept(self) -> "list[ParameterHistoryTypeDef]":
        client = self._client()
        pages = client.get_paginator("get_parameter_history").paginate(Name=self.name, WithDecryption=True)
        try:
            entries = [entry for page in pages for entry in page["Parameters"]]
        except client.exceptions.ParameterNotFound:
            return []
        return sorted(entries, key=lambda entry: entry["Version"])

    def put(self, text: str, key: str) -> str:
        """Put a new version, and make the parameter if there is none; the version's number.

        Args:
            text: The document.
            key: ARN of the key in KMS that it is encrypted with; empty for AWS's.

        """
        put = partial(self._client().put_parameter, Name=self.name, Value=text, Overwrite=True, Tier=_TIER)
        answer = put(Type="SecureString", KeyId=key) if key else put(Type="String")
        return str(answer["Version"])
