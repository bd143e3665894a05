"""The configuration's document: a parameter of SSM, which numbers its versions."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from conductor_loop.config import Stored
from conductor_loop.config.changes import Revision

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


class ConfigParameter:
    """Reads the document.

    Args:
        client: Makes the client when it is first needed; a stack without a document needs none.
        name: Of the parameter.

    """

    def __init__(self, client: "Callable[[], SSMClient]", name: str) -> None:
        self._client, self.name = client, name

    def newest(self) -> Stored:
        """Read the newest version; a parameter that is not there says nothing."""
        client = self._client()
        try:
            parameter = client.get_parameter(Name=self.name)["Parameter"]
        except client.exceptions.ParameterNotFound:
            return Stored("{}", "")
        return Stored(parameter["Value"], str(parameter["Version"]))

    def earlier(self) -> Iterable[Stored]:
        """Read the versions before the newest one, newest first; SSM keeps a hundred."""
        pages = self._client().get_paginator("get_parameter_history").paginate(Name=self.name)
        entries = [entry for page in pages for entry in page["Parameters"]]
        entries.sort(key=lambda entry: entry["Version"], reverse=True)
        return [Stored(entry["Value"], str(entry["Version"])) for entry in entries[1:]]

    def revisions(self) -> list[Revision]:
        """Read the versions that SSM keeps, oldest first, and who made each."""
        pages = self._client().get_paginator("get_parameter_history").paginate(Name=self.name)
        entries = sorted((entry for page in pages for entry in page["Parameters"]), key=lambda entry: entry["Version"])
        return [
            Revision(
                version=entry["Version"],
                text=entry["Value"],
                by=entry.get("LastModifiedUser", ""),
                at=entry["LastModifiedDate"].timestamp(),
            )
            for entry in entries
        ]

    def put(self, text: str) -> str:
        """Put a new version; its number."""
        answer = self._client().put_parameter(
            Name=self.name, Value=text, Type="String", Tier="Intelligent-Tiering", Overwrite=True
        )
        return str(answer["Version"])
