"""Every way an intent can fail, its published code, and what happens next.

E001 to E012 are the specification's error codes; E013 and up are ours. A cause's *symbol* (``DEPLOYMENT_NOT_FOUND``) is
``error_details.error_code`` in a status, its E-code is ``error_details.code``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Self


class Reaction(Enum):
    """What the caller does next: failures are grouped by that, not by where they arose."""

    REJECT = "the input is wrong: failed/, no retry"
    RETRY = "the world is busy: try again later"
    ALERT = "an operator must act: alarm, and try again"
    GIVE_UP = "the answer is final: failed/, no retry"


class Cause(StrEnum):
    """Why an attempt did not succeed: the machine-readable symbol, its published code, and what happens after it."""

    INVALID_FORMAT = "INVALID_FORMAT", "E001", Reaction.REJECT
    INVALID_NAME = "INVALID_NAME", "E001", Reaction.REJECT
    FILE_TOO_LARGE = "FILE_TOO_LARGE", "E002", Reaction.REJECT
    SCHEMA_VIOLATION = "SCHEMA_VIOLATION", "E003", Reaction.REJECT
    SECURITY_VIOLATION = "SECURITY_VIOLATION", "E003", Reaction.REJECT
    POLICY_VIOLATION = "POLICY_VIOLATION", "E003", Reaction.REJECT
    DUPLICATE_CORRELATION_ID = "DUPLICATE_CORRELATION_ID", "E004", Reaction.REJECT
    INVALID_INTENT = "INVALID_INTENT", "E001", Reaction.GIVE_UP
    PORCH_NOT_FOUND = "PORCH_NOT_FOUND", "E006", Reaction.ALERT
    PROCESSING_TIMEOUT = "PROCESSING_TIMEOUT", "E007", Reaction.RETRY
    PORCH_PERMISSION_DENIED = "PORCH_PERMISSION_DENIED", "E008", Reaction.ALERT
    INSUFFICIENT_PERMISSIONS = "INSUFFICIENT_PERMISSIONS", "E008", Reaction.RETRY
    DISK_FULL = "DISK_FULL", "E011", Reaction.RETRY
    MEMORY_LIMIT = "MEMORY_LIMIT", "E012", Reaction.RETRY
    WORKERS_DIED = "WORKERS_DIED", "E012", Reaction.GIVE_UP
    DEPLOYMENT_NOT_FOUND = "DEPLOYMENT_NOT_FOUND", "E013", Reaction.GIVE_UP
    NETWORK_ERROR = "NETWORK_ERROR", "E014", Reaction.RETRY
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED", "E015", Reaction.RETRY
    PORCH_FAILED = "PORCH_FAILED", "E016", Reaction.GIVE_UP
    PORCH_KILLED = "PORCH_KILLED", "E016", Reaction.RETRY
    PORCH_OUTPUT_TOO_LARGE = "PORCH_OUTPUT_TOO_LARGE", "E017", Reaction.GIVE_UP
    PORCH_OUTPUT_INVALID = "PORCH_OUTPUT_INVALID", "E018", Reaction.GIVE_UP
    PACKAGE_MISSING = "PACKAGE_MISSING", "E019", Reaction.GIVE_UP
    PACKAGE_UNSAFE = "PACKAGE_UNSAFE", "E020", Reaction.GIVE_UP
    NO_CREDENTIALS = "NO_CREDENTIALS", "E021", Reaction.ALERT

    code: str
    reaction: Reaction

    def __new__(cls, symbol: str, code: str = "", reaction: Reaction = Reaction.GIVE_UP) -> Self:
        """Make a member; the defaults are for the type checker, which takes a lookup for this."""
        cause = str.__new__(cls, symbol)
        cause._value_, cause.code, cause.reaction = symbol, code, reaction
        return cause

    @property
    def is_retried(self) -> bool:
        """Whether it may pass, so that another attempt is made."""
        return self.reaction in {Reaction.RETRY, Reaction.ALERT}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of an input."""

    path: str  # a JSON path such as $.replicas; $ is the whole document, or the file itself
    rule: str  # its name; of the schema's, the keyword of JSON Schema
    message: str  # names the field, the rule and the next step


class Rejected(Exception):  # noqa: N818 - reads as what happened: the input was rejected
    """The input is wrong: it goes to ``failed/`` and is not tried again."""

    def __init__(self, cause: Cause, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(violation.message for violation in violations))
        self.cause = cause
        self.violations = violations


class NoCredentials(Exception):  # noqa: N818 - likewise
    """There is no kubeconfig for porch; the message says why and what to do, and holds nothing secret."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Gone(Exception):  # noqa: N818 - likewise
    """The handoff's version is no longer in the bucket."""


class Illegible(Exception):  # noqa: N818 - likewise
    """S3 will not give the content of the handoff's version to anybody; the message is S3's reason."""


class KeyUnavailable(Exception):  # noqa: N818 - likewise
    """The site's own KMS key cannot be used now; the message is S3's reason. Everything waits until it can be."""


class LeaseLost(Exception):  # noqa: N818 - likewise
    """Another worker has taken over the lease: nothing more may be written under it."""


class ConditionFailed(Exception):  # noqa: N818 - likewise
    """A conditional write was refused, again and again: other workers keep writing the same object."""


class NumberTaken(Exception):  # noqa: N818 - likewise
    """Files of another attempt are in the package that was reserved: the target's row was lost, or is older."""


class Unreadable(Exception):  # noqa: N818 - likewise
    """A row of the state table is corrupt (E009).

    ``name`` is its key as a path, ``intent/intent-a.json/v1``; ``row`` is what it says, as the table has it.
    """

    def __init__(self, name: str, row: Mapping[str, object]) -> None:
        super().__init__(f"corrupt state row {name}: {str(row)[:500]}")
        self.name = name
        self.row = row


class Throttled(Exception):  # noqa: N818 - likewise
    """A service refuses a call since there are too many at once, again and again for as long as could be waited."""


class NotAnswering(Exception):  # noqa: N818 - likewise
    """A service that we rest on does not answer, or not in time; the message names it and is not for callers."""
