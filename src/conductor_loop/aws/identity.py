"""Who the function is to AWS, for a login elsewhere."""

from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from conductor_loop.tokens.vault import AwsIdentity


def identity() -> AwsIdentity:
    """Give the credentials of the environment, for a login that is signed with them; they may change at any time."""
    credentials = Session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    frozen = credentials.get_frozen_credentials()
    return AwsIdentity(frozen.access_key or "", frozen.secret_key or "", frozen.token)
