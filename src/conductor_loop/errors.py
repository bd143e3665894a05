"""Every way an intent can fail, its published code, and what happens next.

E001 to E012 are the specification's error codes; E013 and up are ours. A cause's *symbol* (``DEPLOYMENT_NOT_FOUND``) is
``error_details.error_code`` in a status, its E-code is ``error_details.code``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class Reaction(Enum):
    """What the caller does next: failures are grouped by that, not by where they arose."""

    REJECT = "the input is wrong: failed/, no retry"
    RETRY = "the world is busy: try again later"
    ALERT = "an operator must act: alarm, and try again"
    GIVE_UP = "the answer is final: failed/, no retry"


class Cause(StrEnum):
    """Why an attempt did not succeed; the value is the machine-readable symbol."""

    INVALID_FORMAT = "INVALID_FORMAT"
    INVALID_NAME = "INVALID_NAME"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    SCHEMA_VIOLATION = "SCHEMA_VIOLATION"
    SECURITY_VIOLATION = "SECURITY_VIOLATION"
    POLICY_VIOLATION = "POLICY_VIOLATION"
    DUPLICATE_CORRELATION_ID = "DUPLICATE_CORRELATION_ID"
    INVALID_INTENT = "INVALID_INTENT"
    PORCH_NOT_FOUND = "PORCH_NOT_FOUND"
    PROCESSING_TIMEOUT = "PROCESSING_TIMEOUT"
    PORCH_PERMISSION_DENIED = "PORCH_PERMISSION_DENIED"
    INSUFFICIENT_PERMISSIONS = "INSUFFICIENT_PERMISSIONS"
    DISK_FULL = "DISK_FULL"
    MEMORY_LIMIT = "MEMORY_LIMIT"
    WORKERS_DIED = "WORKERS_DIED"
    DEPLOYMENT_NOT_FOUND = "DEPLOYMENT_NOT_FOUND"
    NETWORK_ERROR = "NETWORK_ERROR"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    PORCH_FAILED = "PORCH_FAILED"
    PORCH_KILLED = "PORCH_KILLED"
    PORCH_OUTPUT_TOO_LARGE = "PORCH_OUTPUT_TOO_LARGE"
    PORCH_OUTPUT_INVALID = "PORCH_OUTPUT_INVALID"
    PACKAGE_MISSING = "PACKAGE_MISSING"
    PACKAGE_UNSAFE = "PACKAGE_UNSAFE"
    NO_CREDENTIALS = "NO_CREDENTIALS"

    @property
    def code(self) -> str:
        """The published code, ``E001`` and up."""
        return _TABLE[self][0]

    @property
    def reaction(self) -> Reaction:
        """What happens after an attempt that failed for this cause."""
        return _TABLE[self][1]


_TABLE: dict[Cause, tuple[str, Reaction]] = {
    Cause.INVALID_FORMAT: ("E001", Reaction.REJECT),
    Cause.INVALID_NAME: ("E001", Reaction.REJECT),
    Cause.FILE_TOO_LARGE: ("E002", Reaction.REJECT),
    Cause.SCHEMA_VIOLATION: ("E003", Reaction.REJECT),
    Cause.SECURITY_VIOLATION: ("E003", Reaction.REJECT),
    Cause.POLICY_VIOLATION: ("E003", Reaction.REJECT),
    Cause.DUPLICATE_CORRELATION_ID: ("E004", Reaction.REJECT),
    Cause.INVALID_INTENT: ("E001", Reaction.GIVE_UP),
    Cause.PORCH_NOT_FOUND: ("E006", Reaction.ALERT),
    Cause.PROCESSING_TIMEOUT: ("E007", Reaction.RETRY),
    Cause.PORCH_PERMISSION_DENIED: ("E008", Reaction.ALERT),
    Cause.INSUFFICIENT_PERMISSIONS: ("E008", Reaction.RETRY),
    Cause.DISK_FULL: ("E011", Reaction.RETRY),
    Cause.MEMORY_LIMIT: ("E012", Reaction.RETRY),
    Cause.WORKERS_DIED: ("E012", Reaction.GIVE_UP),
    Cause.DEPLOYMENT_NOT_FOUND: ("E013", Reaction.GIVE_UP),
    Cause.NETWORK_ERROR: ("E014", Reaction.RETRY),
    Cause.QUOTA_EXCEEDED: ("E015", Reaction.RETRY),
    Cause.PORCH_FAILED: ("E016", Reaction.GIVE_UP),
    Cause.PORCH_KILLED: ("E016", Reaction.RETRY),
    Cause.PORCH_OUTPUT_TOO_LARGE: ("E017", Reaction.GIVE_UP),
    Cause.PORCH_OUTPUT_INVALID: ("E018", Reaction.GIVE_UP),
    Cause.PACKAGE_MISSING: ("E019", Reaction.GIVE_UP),
    Cause.PACKAGE_UNSAFE: ("E020", Reaction.GIVE_UP),
    Cause.NO_CREDENTIALS: ("E021", Reaction.ALERT),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of an input: where, which rule, and what to do about it.

    ``path`` is a JSON path such as ``$.replicas`` (``$`` is the whole document, or the file itself); ``rule`` is the
    rule's name, a JSON Schema keyword for schema rules; ``message`` names the field, the rule and the next step.
    """

    path: str
    rule: str
    message: str


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
    """Files of another attempt are in the package that was reserved: the target's row is older than the bucket."""


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
