"""What an intent and a handoff are: the nouns that everything else is about."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FILE_NAME = re.compile(r"intent-[a-zA-Z0-9\-_]+\.json")  # the specification's naming convention; use fullmatch
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Priority(StrEnum):
    """How soon an intent is processed (specification, "Priority Handling")."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def queue(self) -> "Priority":
        """The one whose queue it waits in: critical has none, since it is attempted at once."""
        return Priority.HIGH if self is Priority.CRITICAL else self


@dataclass(frozen=True, slots=True)
class Intent:
    """A validated intent, made by ``validation.validate``: ``document`` satisfies ``intent.schema.json``.

    But for the empty one of a delivery that is not read, or is no intent: it has the defaults of optional fields alone.
    """

    document: Mapping[str, Any] = field(repr=False)

    @property
    def target(self) -> str:
        """Name of the Kubernetes Deployment."""
        return str(self.document["target"])

    @property
    def namespace(self) -> str:
        """Kubernetes namespace of the Deployment."""
        return str(self.document["namespace"])

    @property
    def namespaced_name(self) -> str:
        """Namespace and name of the Deployment, ``oran-sim/cnf-simulator``."""
        return f"{self.namespace}/{self.target}"

    @property
    def replicas(self) -> int:
        """Desired number of replicas."""
        return int(self.document["replicas"])

    @property
    def correlation_id(self) -> str | None:
        """The sender's id for tracing, if it gave one."""
        return self.document.get("correlation_id")

    @property
    def priority(self) -> Priority:
        """The priority asked for; ``normal`` unless given."""
        return Priority(self.document.get("priority", Priority.NORMAL))

    @property
    def timeout_seconds(self) -> int | None:
        """The longest one attempt may take, if the sender asked for a limit (``30s``, ``5m``, ``1h``)."""
        text = self.document.get("timeout")
        return int(text[:-1]) * _SECONDS[text[-1]] if text else None


@dataclass(frozen=True, slots=True)
class Handoff:
    """The unit of work: one version of one object in the bucket.

    Not the name and not the content: the same body under a new name is a new intent, the same event twice is not.
    """

    bucket: str
    key: str
    version_id: str
    size: int = 0  # bytes
    event_time: str = ""  # ISO 8601, when S3 accepted the object
    order: str = ""  # when it was put, among others: see ``intents.model``
    principal: str = ""  # who put it: the event's userIdentity.principalId
    address: str = ""  # from where: the event's requestParameters.sourceIPAddress

    @property
    def file(self) -> str:
        """The file's name: the key itself, since intents lie in the root of the bucket."""
        return self.key

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}?versionId={self.version_id}"
