"""KMS keys that S3 could not use: the site's own is waited for, any other one is the sender's choice."""

from botocore.exceptions import ClientError

# Disabled, pending deletion, deleted or in another region, not for encryption, not for us.
_CODES = {
    "KMS.DisabledException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
    "KMS.InvalidKeyUsageException",
    "KMS.AccessDeniedException",
}
_DENIED = ("kms:", "KMS key", "customer master key")  # what an AccessDenied says that is about a key, not an object


def is_about_a_key(error: ClientError) -> bool:
    """Say whether S3 refuses a call because of a KMS key, until that key or its policy is changed."""
    said = error.response.get("Error", {})
    denied = said.get("Code") == "AccessDenied" and any(one in said.get("Message", "") for one in _DENIED)
    return said.get("Code") in _CODES or denied


def is_foreign(error: ClientError, own: str, used: str | None) -> bool:
    """Say whether a call was refused because of a key that is not the site's.

    Args:
        error: Of the call, about a key.
        own: ARN of the site's key.
        used: ARN of the key that the object is encrypted with; ``None`` for none.

    """
    # A copy uses two keys, and its error names the one that it is about, but for a denied kms:Decrypt: the object's.
    return used not in {None, own} and own not in error.response["Error"].get("Message", "")
