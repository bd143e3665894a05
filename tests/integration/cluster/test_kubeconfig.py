"""Which kubeconfigs porch takes, and what it says about the others: exit 78 and the next step, never their secrets."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.integration.cluster.world import Result, World, encoded
from tests.unit.porch_program.support import PORCH, shell

SECRET = "s3cr3t-in-the-kubeconfig"  # noqa: S105 - of these tests


def refused(result: Result, words: str) -> None:
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr.startswith("Error: kubeconfig: ")
    assert words in result.stderr
    assert SECRET not in result.stderr


def test_a_token_in_a_file_beside_the_kubeconfig_is_read(world: World) -> None:
    (world.directory / "token").write_text(world.api.token + "\n")
    user = {"tokenFile": "token", "token": "an-old-one"}
    assert world.porch(KUBECONFIG=str(world.kubeconfig(user))).returncode == 0


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"exec": {"command": "aws", "env": [{"name": "A", "value": SECRET}]}}, "kubectl create token"),
        ({"auth-provider": {"name": "gcp"}}, "a program (auth-provider), which porch does not start"),
        ({"username": "admin", "password": SECRET}, "the user has 'password', which porch does not know: remove it"),
        ({"token": SECRET, "as": "another-user"}, "the user has 'as', which porch does not know: remove it"),
        ({"token": SECRET, "as-groups": ["system:masters"]}, "the user has 'as-groups'"),
        ({}, "neither token nor client certificate"),
        ({"token": ""}, "neither token nor client certificate"),
        ({"token": f"{SECRET}\r\nX-Injected: 1"}, "no bearer token"),
        ({"token": f"{SECRET} \u00e9"}, "no bearer token"),
        ({"tokenFile": "missing"}, "tokenFile ("),
        ({"client-certificate-data": "QQ=="}, "one of client-certificate and client-key"),
        ({"client-certificate-data": "QQ==", "client-key-data": "QQ=="}, "no PEM pair"),
        ({"client-certificate-data": "?", "client-key-data": "QQ=="}, "client-certificate-data is not base64"),
    ],
)
def test_a_user_that_porch_cannot_be_is_refused_with_the_next_step(
    world: World, user: dict[str, Any], words: str
) -> None:
    refused(world.porch(KUBECONFIG=str(world.kubeconfig(user))), words)
    assert world.api.requests == []


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({"insecure-skip-tls-verify": True}, "put the cluster's CA into certificate-authority-data"),
        ({"server": "http://127.0.0.1:8001"}, "must be https://HOST:PORT"),
        ({"server": f"https://user:{SECRET}@127.0.0.1"}, "must be https://HOST:PORT"),
        ({"server": "https://"}, "server"),
        ({"server": None}, "must be https://HOST:PORT"),
        ({"server": "https://127.0.0.1:99999"}, "server"),
        ({"certificate-authority-data": "QQ=="}, "no PEM certificate"),
        ({"certificate-authority": "missing.pem", "certificate-authority-data": None}, "cannot be read"),
        ({"proxy-url": f"socks5://user:{SECRET}@127.0.0.1"}, "porch speaks no SOCKS"),
        ({"something-new": 1}, "the cluster has 'something-new'"),
    ],
)
def test_a_cluster_that_porch_cannot_use_is_refused(world: World, cluster: dict[str, Any], words: str) -> None:
    refused(world.porch(KUBECONFIG=str(world.kubeconfig(**cluster))), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a mapping"),
        ("[]", "not a mapping"),
        ("{}", "current-context is missing"),
        ("current-context: x", "contexts has no context named 'x'"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]", "clusters has no cluster named 'c'"),
        (f"token: {SECRET}\n  bad: indentation", "not YAML (line 2)"),
        (f"!!python/object/apply:os.system ['{SECRET}']", "not YAML"),
        ("[" * 5000, "not YAML"),
        ("a: \0", "not YAML"),
        ("#" * 1024 * 1024 + "#", "is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_refused(world: World, content: str, words: str) -> None:
    path = world.directory / "other"
    path.write_text(content)
    refused(world.porch(KUBECONFIG=str(path)), words)


@pytest.mark.parametrize("path", ["/nowhere/kubeconfig", "/etc", "one:two"])
def test_a_kubeconfig_that_is_no_file_is_refused(world: World, path: str) -> None:
    refused(world.porch(KUBECONFIG=path), "the kubeconfig (")


def test_a_fifo_in_the_place_of_the_kubeconfig_does_not_keep_porch_waiting(world: World) -> None:
    path = world.directory / "fifo"
    os.mkfifo(path)
    refused(world.porch(KUBECONFIG=str(path)), "is not a regular file")


@pytest.mark.parametrize(
    "empty",
    [
        {"exec": None, "auth-provider": None},
        {"as": "", "as-uid": "", "as-groups": [], "as-user-extra": {}},
        {"username": "", "password": ""},
        {"tokenFile": "", "client-certificate": "", "client-key-data": None},
    ],
)
def test_empty_fields_of_a_user_are_as_good_as_none(world: World, empty: dict[str, Any]) -> None:
    result = world.porch(KUBECONFIG=str(world.kubeconfig({"token": world.api.token} | empty)))
    assert (result.returncode, result.stderr) == (0, "")


def test_empty_fields_of_a_cluster_are_as_good_as_none(world: World) -> None:
    empty = {"insecure-skip-tls-verify": False, "proxy-url": "", "tls-server-name": "", "certificate-authority": ""}
    assert world.porch(KUBECONFIG=str(world.kubeconfig(**empty))).returncode == 0


@pytest.mark.parametrize("width", [64, 76])
def test_an_authority_with_line_breaks_within_its_base64_is_read(world: World, width: int) -> None:
    data = encoded(world.ca.cert_pem.bytes())
    broken = "\r\n".join(data[at : at + width] for at in range(0, len(data), width)) + "\n"
    result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"certificate-authority-data": broken})))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("text", ["subject=CN = kubernetes\n", "# authority of the café ☕\n\n", "\x00\xff"])
def test_text_around_the_certificates_of_an_authority_is_a_comment(world: World, text: str) -> None:
    pem = text.encode() + world.ca.cert_pem.bytes() + text.encode()
    result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"certificate-authority-data": encoded(pem)})))
    assert (result.returncode, result.stderr) == (0, "")


def test_an_authority_of_two_certificates_is_read_whole(world: World) -> None:
    pem = trustme.CA().cert_pem.bytes() + b"and\n" + world.ca.cert_pem.bytes()
    assert world.porch(KUBECONFIG=str(world.kubeconfig(**{"certificate-authority-data": encoded(pem)}))).returncode == 0


def test_json_that_is_indented_with_tabs_is_read(world: World) -> None:
    path = world.kubeconfig()
    path.write_text(json.dumps(yaml.safe_load(path.read_text()), indent="\t"))
    result = world.porch(KUBECONFIG=str(path))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("section", ["users", "clusters", "contexts"])
def test_a_name_that_is_there_twice_is_refused_as_kubectl_does(world: World, section: str) -> None:
    path = world.kubeconfig()
    document = yaml.safe_load(path.read_text())
    document[section] *= 2
    path.write_text(yaml.safe_dump(document))
    refused(world.porch(KUBECONFIG=str(path)), f"{section} has two entries named ")


def test_fields_that_change_nothing_are_passed_over(world: World) -> None:
    assert world.porch(KUBECONFIG=str(world.kubeconfig(extensions=[], **{"disable-compression": True}))).returncode == 0


def test_a_porch_without_its_libraries_says_so_and_still_works_offline(world: World) -> None:
    program = without_libraries(world.directory / "opt")
    command = f'"{program}" -intent "{world.directory}/intent-daily-001.json" -out "{world.directory}/out"'
    world.porch("-kubeconfig=")
    result = shell(f'{command} -kubeconfig "{world.kubeconfig()}"')
    assert result.returncode == 127
    assert "make setup in a checkout, or build the layer again" in result.stderr
    assert shell(command).returncode == 0


def without_libraries(home: Path) -> Path:
    layer = PORCH.parents[1]
    shutil.copytree(layer, home, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    assert stat.S_IMODE((home / "bin" / "porch").stat().st_mode) & 0o100
    return home / "bin" / "porch"
