"""What of a kubeconfig must never be shown."""

import base64
import json
from typing import Any

import pytest
import yaml

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch import read_kubeconfig, with_token

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f\n-----END EC PRIVATE KEY-----\n"


def written(user: dict[str, Any], **cluster: Any) -> bytes:
    entry = {"server": "https://edge.example.com", "certificate-authority-data": "Q0FDQUNBQ0E="} | cluster
    document = {
        "current-context": "edge",
        "clusters": [{"name": "edge", "cluster": entry}],
        "users": [{"name": "porch", "user": user}],
    }
    return yaml.safe_dump(document).encode()


def test_tokens_passwords_and_keys_are_secrets_in_both_spellings() -> None:
    data = base64.b64encode(KEY.encode()).decode()
    found = read_kubeconfig(written({"token": "a-token", "password": "a-password", "client-key-data": data}), "it")
    assert found.secrets == {"a-token", "a-password", data, KEY}


def test_a_key_is_a_secret_in_plain_too_with_line_breaks_in_its_base64_and_a_comment_before_it() -> None:
    commented = f"# the caf\u00e9's key\n{KEY}"
    data = base64.encodebytes(commented.encode()).decode()
    assert commented in read_kubeconfig(written({"client-key-data": data}), "it").secrets


def test_json_that_is_indented_with_tabs_is_a_kubeconfig() -> None:
    document = yaml.safe_load(written({"token": "a-token"}))
    assert read_kubeconfig(json.dumps(document, indent="\t").encode(), "it").secrets == {"a-token"}


def test_a_password_of_a_proxy_is_a_secret() -> None:
    found = read_kubeconfig(written({"token": "t"}, **{"proxy-url": "http://me:hunter22@proxy:3128"}), "it")
    assert {"hunter22", "me:hunter22"} <= found.secrets


def test_what_programs_for_credentials_are_given_is_secret_too() -> None:
    user = {"exec": {"command": "get-token", "env": [{"name": "PASSWORD", "value": "in-the-environment"}]}}
    assert "in-the-environment" in read_kubeconfig(written(user), "it").secrets


def test_the_tokens_of_a_provider_are_secrets() -> None:
    config = {"id-token": "an-id-token", "client-secret": "its-secret", "idp-issuer-url": "https://idp.example.com"}
    user = {"auth-provider": {"name": "oidc", "config": config}}
    assert read_kubeconfig(written(user), "it").secrets == {"an-id-token", "its-secret"}


def test_the_words_that_programs_for_credentials_are_given_are_no_secrets() -> None:
    variable = {"name": "AWS_PROFILE", "value": "production"}
    user: dict[str, Any] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws-auth", "env": [variable]}
    }
    user["exec"]["args"] = ["eks", "get-token", "--cluster-name", "cnf-simulator"]
    assert read_kubeconfig(written(user), "it").secrets == frozenset()


def test_servers_authorities_and_paths_are_no_secrets() -> None:
    user = {"tokenFile": "/opt/porch/token", "client-key": "/opt/porch/key.pem", "username": "another-user"}
    assert read_kubeconfig(written(user), "it").secrets == frozenset()


def test_the_file_reaches_porch_as_it_was_written() -> None:
    content = b"# mine\n" + written({"token": "a-token"})
    assert read_kubeconfig(content, "it").content == content


def test_secrets_are_not_in_its_representation() -> None:
    assert "a-token" not in repr(read_kubeconfig(written({"token": "a-token"}), "it"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain text",
        b"token: [s3cr3t-token",
        b"\xff\xfe",
        b"users: []",
        b"users: me",
        b"- a\n- b",
        b"&a [*a]",
        b"users: &a [{user: {token: *a}}]",
        b"[" * 5000,
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_a_word_of_it(content: bytes) -> None:
    with pytest.raises(NoCredentials, match="the secret edge is") as caught:
        read_kubeconfig(content, "the secret edge")
    assert caught.value.cause is Cause.NO_CREDENTIALS
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_kubeconfig_that_is_made_is_one_that_is_read() -> None:
    made = with_token("https://edge", "Q0E=", "the-token", "a-part")
    assert read_kubeconfig(made.content, "it").secrets == {"the-token"}
    assert made.secrets == {"the-token", "a-part"}
    assert json.loads(made.content)["clusters"][0]["cluster"]["server"] == "https://edge"
