"""A kubeconfig, read to one cluster and one user; what porch cannot honour is refused, never ignored.

The format is client-go's: ``tools/clientcmd/api/v1/types.go``. Paths in it are relative to its directory.
"""

import base64
import json
import os
import re
from dataclasses import dataclass, field

import yaml

from porch import inputs
from porch.documents import Fields, at, mapping, sequence, text
from porch.errors import MISCONFIGURED, PorchError

_MAX_BYTES = 1024 * 1024  # of the kubeconfig and of each file that it names
_KNOWN = {
    "cluster": {"server", "certificate-authority", "certificate-authority-data", "tls-server-name", "proxy-url"},
    "user": {"token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data"},
}
_HARMLESS = {"extensions", "disable-compression"}
_GOOD = "kubectl config view --raw --minify --flatten writes a good one"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the cluster is, whom to trust as the cluster, and who porch is there."""

    server: str  # https URL, perhaps with a path
    namespace: str  # of the context, "default" without one
    authority: str  # PEM; "" for the machine's own certificate authorities
    server_name: str  # which the certificate must name; "" for the server's host
    proxy: str = field(repr=False)  # URL, may hold a password; "" for none
    token: str = field(repr=False)  # "" where the client certificate is all
    certificate: bytes = field(repr=False)  # PEM, with its key; empty without
    key: bytes = field(repr=False)


def load(path: str) -> Cluster:
    """Return the cluster of the current context of the file at ``path``; a wrong file raises ``PorchError`` (78)."""
    document = _parse(_read(path, "the kubeconfig"))
    name = text(document.get("current-context"))
    if not name:
        raise _invalid("current-context is missing: name the context to use, kubectl config use-context NAME does")
    context = _entry(document, "context", name)
    cluster = _entry(document, "cluster", text(context.get("cluster")))
    user = _entry(document, "user", text(context.get("user")))
    _check(cluster, user)
    directory = os.path.dirname(os.path.abspath(path))
    certificate, key = (_content(user, f"client-{kind}", directory) for kind in ("certificate", "key"))
    token = _token(user, directory)
    if bool(certificate) != bool(key):
        raise _invalid("the user has one of client-certificate and client-key: give both, or neither")
    if not token and not certificate:
        how = "kubectl create token SERVICE-ACCOUNT makes one"
        raise _invalid(f"the user has neither token nor client certificate: {how}")
    return Cluster(
        server=text(cluster.get("server")),
        namespace=text(context.get("namespace")) or "default",
        # Text around the certificates, in any encoding, is a comment, as it is to Go.
        authority=_content(cluster, "certificate-authority", directory).decode("ascii", "ignore").replace("\0", ""),
        server_name=text(cluster.get("tls-server-name")),
        proxy=text(cluster.get("proxy-url")),
        token=token,
        certificate=certificate,
        key=key,
    )


def _parse(content: bytes) -> Fields:
    try:
        try:
            document = json.loads(content)  # with tabs, which YAML forbids, it is what kubectl reads all the same
        except ValueError:
            document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Only the line: PyYAML's message quotes the file, and the file holds secrets.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _invalid(f"it is not YAML{where}: {_GOOD}") from None
    if not isinstance(document, dict):
        raise _invalid(f"it is not a mapping: {_GOOD}")
    return document


def _entry(document: Fields, kind: str, name: str) -> Fields:
    """Return the entry of this name, without the fields that are empty: client-go ignores them."""
    entries = list(map(mapping, sequence(document.get(f"{kind}s"))))
    names = [text(each.get("name")) for each in entries]
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise _invalid(f"{kind}s has two entries named {twice!a:.80}: remove one, kubectl refuses that, too")
    entry = at(next((each for each in entries if each.get("name") == name), None), kind)
    if not name or not isinstance(entry, dict):
        raise _invalid(f"{kind}s has no {kind} named {name!a:.80}: add it, or correct the current context")
    return {key: value for key, value in entry.items() if value not in (None, "", [], {}, False)}


def _check(cluster: Fields, user: Fields) -> None:
    if cluster.get("insecure-skip-tls-verify"):
        raise _invalid(
            "insecure-skip-tls-verify is set, and porch sends no token to a server it cannot verify: "
            "remove it, and put the cluster's CA into certificate-authority-data"
        )
    for name in sorted({"exec", "auth-provider"} & user.keys()):
        raise _invalid(
            f"the user gets its credentials from a program ({name}), which porch does not start: "
            "put a token into it (kubectl create token SERVICE-ACCOUNT), or a client certificate"
        )
    # Ignoring "as", say, would make porch act as a user with more rights than were meant.
    for kind, fields in (("cluster", cluster), ("user", user)):
        for name in sorted(map(str, fields.keys() - _KNOWN[kind] - _HARMLESS)):
            raise _invalid(f"the {kind} has {name!a:.80}, which porch does not know: remove it")


def _content(fields: Fields, name: str, directory: str) -> bytes:
    """Return ``<name>-data`` decoded, else the file that ``<name>`` names, else nothing; client-go's order."""
    if data := text(fields.get(f"{name}-data")):
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except ValueError:
            raise _invalid(f"{name}-data is not base64: kubectl config view --raw --flatten writes it") from None
    path = text(fields.get(name))
    return _read(os.path.join(directory, path), name) if path else b""


def _token(user: Fields, directory: str) -> str:
    """Return the token; a file goes before a token beside it, as in client-go."""
    path = text(user.get("tokenFile"))
    found = _read(os.path.join(directory, path), "tokenFile").decode("utf-8", "replace") if path else user.get("token")
    token = text(found).strip()
    if not re.fullmatch("[!-~]*", token):
        raise _invalid("the user's token is no bearer token: it has characters other than visible ASCII")
    return token


def _read(path: str, what: str) -> bytes:
    try:
        return inputs.read(path, _MAX_BYTES)
    except ValueError as error:
        raise _invalid(f"{what} ({path!a:.200}) {error}") from None


def _invalid(what: str) -> PorchError:
    return PorchError(MISCONFIGURED, f"kubeconfig: {what}")
