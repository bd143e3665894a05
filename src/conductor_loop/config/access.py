"""Where the tokens of the API are, and how to get at them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VaultAccess:
    """Where Vault is, and who we are to it (the configuration's ``secrets.vault``)."""

    address: str  # https, or http on loopback, where Vault's agent or extension listens
    auth_method: str  # aws or token
    role: str
    secrets_path: str  # mount/path

    @property
    def mount(self) -> str:
        """The KV store's mount: the path's first name."""
        return self.secrets_path.strip("/").partition("/")[0]

    @property
    def path(self) -> str:
        """The secret's path in the store."""
        return self.secrets_path.strip("/").partition("/")[2]


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the API's tokens are read; equal sources read the same."""

    secret: str = ""  # name or ARN in Secrets Manager
    vault: VaultAccess | None = None  # instead, where there is one
