import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme
from botocore.credentials import Credentials
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown

from conductor_loop.config.typed import VaultAccess
from conductor_loop.tokens import Scope, Tokens, UnreadableTokens, mint
from conductor_loop.tokens.stores import MissingExtraError, VaultTokens
from tests.integration import vault as server

# hvac signs with a function that Python 3.12 frowns upon
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

PATH = "secret/data/conductor-loop"
TOKEN, CLEAR = mint("ci", [Scope.HEALTH], 0, 1e10, random=bytes(40))
ENTRY = TOKEN.entry()
KEY = "the-secret-key-of-the-role"
CREDENTIALS = Credentials("AKIDEXAMPLE", KEY, "session")
NOWHERE = Path("/nonexistent")


@pytest.fixture
def vault() -> Iterator[server.Vault]:
    with server.running() as running:
        running.secrets[PATH] = {"tokens": [ENTRY]}
        yield running


def reader(vault: server.Vault, method: str = "aws", role: str = "conductor-loop", ca: Path = NOWHERE) -> VaultTokens:
    access = VaultAccess(vault.url, method, role, "secret/conductor-loop")
    return VaultTokens(access, lambda: CREDENTIALS, lambda: "hvs.mine", ca)


def test_the_role_of_the_function_logs_in_and_reads_the_tokens(vault: server.Vault) -> None:
    client = Tokens(reader(vault).read, lambda: 0.0).verify(CLEAR, now=1)
    assert client is not None
    assert client.name == "ci"
    assert vault.asked == ["POST /v1/auth/aws/login 200", f"GET /v1/{PATH} 200"]


def test_vault_is_shown_a_signature_for_itself_and_never_the_key(vault: server.Vault) -> None:
    reader(vault).read()
    (headers,) = vault.logins
    assert headers["X-Vault-AWS-IAM-Server-ID"] == ["127.0.0.1"]
    assert "x-vault-aws-iam-server-id" in headers["Authorization"][0]
    assert "/us-east-1/sts/aws4_request" in headers["Authorization"][0]
    assert KEY not in str(headers)
    assert KEY not in repr(CREDENTIALS)


def test_one_login_serves_many_reads_until_vault_forgets_it(vault: server.Vault) -> None:
    tokens = reader(vault)
    tokens.read()
    tokens.read()
    vault.valid.clear()
    tokens.read()
    assert [line.split()[-1] for line in vault.asked] == ["200", "200", "200", "403", "200", "200"]
    assert vault.issued == 2


def test_a_token_of_vaults_own_needs_no_login(vault: server.Vault) -> None:
    vault.valid.add("hvs.mine")
    assert reader(vault, "token").read().tokens() == (TOKEN,)
    assert vault.asked == [f"GET /v1/{PATH} 200"]


def test_what_vault_forbids_is_tried_no_more_than_once(vault: server.Vault) -> None:
    with pytest.raises(Forbidden):
        reader(vault, "token").read()
    assert vault.asked == [f"GET /v1/{PATH} 403"]


def test_an_unknown_role_a_missing_a_deleted_secret_and_a_sealed_vault_are_failures(vault: server.Vault) -> None:
    with pytest.raises(InvalidRequest):
        reader(vault, role="unknown").read()
    vault.secrets[PATH] = None
    with pytest.raises(InvalidPath):
        reader(vault).read()
    vault.secrets.clear()
    with pytest.raises(InvalidPath):
        reader(vault).read()
    vault.sealed = True
    with pytest.raises(VaultDown):
        reader(vault).read()


def test_something_else_in_the_secret_is_no_document_of_tokens(vault: server.Vault) -> None:
    vault.secrets[PATH] = {"password": "x"}
    with pytest.raises(UnreadableTokens):
        reader(vault).read()


def test_tokens_that_were_written_as_text_are_read_as_well(vault: server.Vault) -> None:
    vault.secrets[PATH] = {"tokens": "[]"}
    assert reader(vault).read().tokens() == ()


def test_a_vault_with_an_untrusted_certificate_gets_nothing(tmp_path: Path) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    with server.running(tls) as vault:
        vault.secrets[PATH] = {"tokens": [ENTRY]}
        with pytest.raises(requests.exceptions.SSLError):
            reader(vault).read()
        assert vault.asked == []
        assert reader(vault, ca=trusted).read().tokens() == (TOKEN,)


def test_without_the_extra_it_says_what_to_install(vault: server.Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac.exceptions", None)
    with pytest.raises(MissingExtraError, match=r"pip install conductor-loop\[vault\]"):
        reader(vault).read()


def test_mount_and_path_are_distinguished(vault: server.Vault) -> None:
    vault.secrets["kv/data/teams/one"] = {"tokens": [ENTRY]}
    access = VaultAccess(vault.url, "token", "", "kv/teams/one")
    vault.valid.add("hvs.mine")
    assert VaultTokens(access, lambda: None, lambda: "hvs.mine", NOWHERE).read().tokens() == (TOKEN,)
    assert vault.asked == ["GET /v1/kv/data/teams/one 200"]
