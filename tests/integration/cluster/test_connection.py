"""How porch reaches a cluster: verified, bounded, and with nothing of the machine's own settings."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme

from tests.integration.cluster.apiserver import ApiServer, serving, serving_with
from tests.integration.cluster.authorities import without_key_identifiers
from tests.integration.cluster.world import Result, World, deployment, encoded


def unusable(result: Result, words: str) -> None:
    assert (result.returncode, result.stdout) == (4, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@contextmanager
def deaf() -> Iterator[int]:
    """Listen on a port and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def hanging_up(words: bytes, *, listens: bool) -> Iterator[int]:
    """Listen on a port, and close the first connection, after its first bytes or before, and after these words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=_hang_up, args=(listener, words, listens), daemon=True)
        closing.start()
        yield listener.getsockname()[1]
        closing.join(10)


def _hang_up(listener: socket.socket, words: bytes, listens: bool) -> None:
    client, _ = listener.accept()
    with client:
        if listens:
            client.recv(65536)
        client.sendall(words)


@contextmanager
def forwarding(seen: list[str]) -> Iterator[int]:
    """Run a proxy that knows CONNECT alone; ``seen`` gets each request's head."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = threading.Thread(target=_forward, args=(listener, seen), daemon=True)
        proxy.start()
        yield listener.getsockname()[1]
        proxy.join(10)


def _forward(listener: socket.socket, seen: list[str]) -> None:
    client, _ = listener.accept()
    head = client.recv(65536).decode()
    seen.append(head)
    host, _, port = head.split()[1].rpartition(":")
    with client, socket.create_connection((host, int(port))) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # the other end is gone: so is what was to be said to it
        while content := source.recv(65536):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)


# ------------------------------------------------------------------ connection refused
def test_a_port_without_a_listener_is_exit_4(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    unusable(world.porch(KUBECONFIG=str(world.kubeconfig(server=f"https://127.0.0.1:{port}"))), "no connection to it")


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("listens", [False, True])
def test_a_connection_that_is_closed_in_the_handshake_may_be_one_that_nothing_serves(
    world: World, words: bytes, *, listens: bool
) -> None:
    with hanging_up(words, listens=listens) as port:
        result = world.porch(KUBECONFIG=str(world.kubeconfig(server=f"https://127.0.0.1:{port}")))
    unusable(result, "or nothing serves there")


def test_a_name_that_dns_does_not_know_is_exit_4(world: World) -> None:
    unusable(
        world.porch(KUBECONFIG=str(world.kubeconfig(server="https://no-such-cluster.invalid"))), "its name is not known"
    )


def test_a_server_that_says_nothing_is_given_up_in_time(world: World) -> None:
    with deaf() as port:
        kubeconfig = str(world.kubeconfig(server=f"https://127.0.0.1:{port}"))
        started = time.monotonic()
        result = world.porch(KUBECONFIG=kubeconfig, PORCH_CLUSTER_SECONDS="1")
    unusable(result, "the cluster took more than 1 s")
    assert time.monotonic() - started < 5


def test_a_server_that_answers_byte_by_byte_is_given_up_in_time(world: World) -> None:
    world.api.faults.drip = True
    unusable(world.porch(PORCH_CLUSTER_SECONDS="1"), "the cluster took more than 1 s")


@pytest.mark.parametrize("seconds", ["0", "901", "-1", "1.5", "9" * 5000, "\u0663"])
def test_a_budget_that_is_no_number_of_seconds_is_wrong_usage(world: World, seconds: str) -> None:
    assert world.porch(PORCH_CLUSTER_SECONDS=seconds).returncode == 64


# ------------------------------------------------------------------ answers that are none
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_cannot_answer_now_is_exit_4(world: World, status: int) -> None:
    world.api.faults.answers["/deployments/cnf-simulator"] = (status, {}, b"upstream connect error")
    unusable(world.porch(), f"with {status} (no Kubernetes Status came with it): try again later")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_a_success_that_is_no_object_is_exit_4(world: World, content: bytes) -> None:
    world.api.faults.answers["/deployments/cnf-simulator"] = (200, {}, content)
    unusable(world.porch(), "something other than a JSON object")


def test_a_connection_that_breaks_within_an_answer_is_exit_4(world: World) -> None:
    world.api.faults.answers["/deployments/cnf-simulator"] = (
        200,
        {"Content-Length": "100", "Connection": "close"},
        b"{",
    )
    unusable(world.porch(), "the cluster at 127.0.0.1:")


def test_an_answer_without_end_is_not_read_to_its_end(world: World) -> None:
    size = 17 * 1024 * 1024
    world.api.faults.answers["/deployments/cnf-simulator"] = (200, {}, b" " * size)
    unusable(world.porch(), "its answer is larger than 16777216 bytes")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_no_token_goes_there(world: World, ca: trustme.CA, status: int) -> None:
    with serving(ApiServer(), ca) as elsewhere:
        answer = (status, {"Location": f"{elsewhere.url}/apis"}, b"")
        world.api.faults.answers["/deployments/cnf-simulator"] = answer
        result = world.porch()
    assert (result.returncode, elsewhere.requests) == (78, [])
    assert "correct the server in the kubeconfig" in result.stderr


def test_a_server_that_is_no_kubernetes_is_a_fault_of_the_kubeconfig(world: World) -> None:
    kubeconfig = str(world.kubeconfig(server=f"{world.api.url}/elsewhere"))
    result = world.porch(KUBECONFIG=kubeconfig)
    assert result.returncode == 78
    assert "correct the server in the kubeconfig" in result.stderr


# ------------------------------------------------------------------ TLS
def test_a_certificate_of_another_authority_is_exit_4_and_nothing_is_asked(world: World) -> None:
    authority = encoded(trustme.CA().cert_pem.bytes())
    result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"certificate-authority-data": authority})))
    unusable(result, "check certificate-authority-data")
    assert world.api.requests == []


def test_without_an_authority_the_machines_own_ones_count(world: World) -> None:
    result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"certificate-authority-data": None})))
    unusable(result, "check certificate-authority-data")


def test_a_certificate_for_another_name_is_exit_4(world: World, ca: trustme.CA) -> None:
    with serving(ApiServer(), ca, "kubernetes.internal") as api:
        result = world.porch(KUBECONFIG=str(world.kubeconfig(server=api.url)))
    unusable(result, "tls-server-name")
    assert api.requests == []


def test_tls_server_name_says_whom_the_certificate_must_name(world: World, ca: trustme.CA) -> None:
    with serving(ApiServer(), ca, "kubernetes.internal") as api:
        api.add("deployments", "cnf-simulator", **deployment())
        kubeconfig = world.kubeconfig(server=api.url, **{"tls-server-name": "kubernetes.internal"})
        assert world.porch(KUBECONFIG=str(kubeconfig)).returncode == 0


def test_an_authority_without_key_identifiers_as_eks_has_it_is_verified(world: World) -> None:
    authority, server = without_key_identifiers(world.directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    with serving_with(ApiServer(), context) as api:
        api.add("deployments", "cnf-simulator", **deployment())
        settings = {"server": api.url, "certificate-authority-data": encoded(authority)}
        result = world.porch(KUBECONFIG=str(world.kubeconfig(**settings)))
    assert (result.returncode, result.stderr) == (0, "")


def test_an_authority_in_a_file_beside_the_kubeconfig_is_found(world: World) -> None:
    world.ca.cert_pem.write_to_path(str(world.directory / "ca.pem"))
    settings = {"certificate-authority-data": None, "certificate-authority": "ca.pem"}
    assert world.porch(KUBECONFIG=str(world.kubeconfig(**settings))).returncode == 0


@pytest.mark.parametrize("in_files", [False, True])
def test_a_client_certificate_is_as_good_as_a_token(world: World, ca: trustme.CA, *, in_files: bool) -> None:
    clients = trustme.CA()
    identity = clients.issue_cert("porch@example.com")
    content = {
        "client-certificate": b"".join(pem.bytes() for pem in identity.cert_chain_pems),
        "client-key": identity.private_key_pem.bytes(),
    }
    user = {f"{name}-data": encoded(pem) for name, pem in content.items()}
    if in_files:
        user = {name: f"{name}.pem" for name in content}
        for name, pem in content.items():
            (world.directory / f"{name}.pem").write_bytes(pem)
    with serving(ApiServer(accepts_certificates=True), ca, clients=clients) as api:
        api.add("deployments", "cnf-simulator", **deployment())
        result = world.porch(KUBECONFIG=str(world.kubeconfig(user, server=api.url)), TMPDIR=str(world.directory))
    assert (result.returncode, result.stderr) == (0, "")
    assert "Authorization" not in api.headers[0]


# ------------------------------------------------------------------ proxies
def test_proxies_of_the_environment_are_not_used(world: World) -> None:
    with deaf() as port:
        proxy = f"http://127.0.0.1:{port}"
        assert world.porch(HTTPS_PROXY=proxy, https_proxy=proxy, ALL_PROXY=proxy).returncode == 0


def test_the_proxy_of_the_kubeconfig_is_used_and_sees_no_token(world: World) -> None:
    seen: list[str] = []
    with forwarding(seen) as port:
        proxy = f"http://user:pr0xy-s3cret@127.0.0.1:{port}"
        result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"proxy-url": proxy})))
    assert (result.returncode, result.stderr) == (0, "")
    assert seen[0].startswith(f"CONNECT {world.api.url.removeprefix('https://')} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic " in seen[0] or "proxy-authorization: Basic " in seen[0]
    assert world.api.token not in seen[0]


def test_the_proxy_gets_its_credentials_in_plain(world: World) -> None:
    seen: list[str] = []
    with forwarding(seen) as port:
        proxy = f"http://us%3Aer:p%40ss%2Fw%C3%B6rd@127.0.0.1:{port}"
        assert world.porch(KUBECONFIG=str(world.kubeconfig(**{"proxy-url": proxy}))).returncode == 0
    (sent,) = [line for line in seen[0].splitlines() if line.lower().startswith("proxy-authorization: basic ")]
    assert base64.b64decode(sent.split()[2]).decode() == "us:er:p@ss/wörd"


@pytest.mark.parametrize("shown", ["p%40ss%2fword", "p%40ss%2Fword", "p@ss/word"])
def test_the_proxys_password_is_shown_in_no_spelling(world: World, shown: str) -> None:
    forbidden = json.dumps({"kind": "Status", "reason": "Forbidden", "message": f"user:{shown} or {shown}"})
    world.api.faults.answers["/cnf-simulator"] = (403, {"Content-Type": "application/json"}, forbidden.encode())
    with forwarding([]) as port:
        proxy = f"http://user:p%40ss%2fword@127.0.0.1:{port}"
        result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"proxy-url": proxy})))
    assert "[secret] or [secret])" in result.stderr
    assert shown not in result.stderr


def test_a_proxy_that_is_not_there_is_exit_4_and_its_password_is_not_shown(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = f"http://user:pr0xy-s3cret@127.0.0.1:{port}"
    result = world.porch(KUBECONFIG=str(world.kubeconfig(**{"proxy-url": proxy})))
    unusable(result, "check proxy-url")
    assert "pr0xy-s3cret" not in result.stderr


# ------------------------------------------------------------------ what is sent
def test_requests_say_who_asks_and_what_for(world: World) -> None:
    world.porch()
    sent = world.api.headers[0]
    assert sent["Authorization"] == f"Bearer {world.api.token}"
    assert sent["User-Agent"].startswith("porch/")
    assert (sent["Accept"], sent["Accept-Encoding"]) == ("application/json", "identity")
