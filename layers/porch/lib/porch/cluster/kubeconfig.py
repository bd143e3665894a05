"""A kubeconfig, read to one cluster and one user; what porch cannot honour is refused, never passed over.

The format is client-go's: ``tools/clientcmd/api/v1/types.go``. Paths in it are relative to its directory.
"""

import base64
import binascii
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from porch.cluster.documents import Fields, at, mapping, sequence, text
from porch.errors import MISCONFIGURED, PorchError

_MAX_BYTES = 1024 * 1024  # of the kubeconfig and of each file that it names
_CLUSTER_FIELDS = {"server", "certificate-authority", "certificate-authority-data", "tls-server-name", "proxy-url"}
_USER_FIELDS = {"token", "tokenFile"} | {
    f"client-{kind}{form}" for kind in ("certificate", "key") for form in ("", "-data")
}
_HARMLESS = {"extensions", "disable-compression"}
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PROGRAMS = {"exec", "auth-provider"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who porch is: a bearer token, a client certificate (PEM) with its key, or both."""

    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the cluster is, whom to trust as the cluster, and who porch is there."""

    server: str  # https URL, perhaps with a path
    namespace: str  # of the context, "default" without one
    authority: str  # PEM; "" for the machine's own certificate authorities
    server_name: str  # which the certificate must name; "" for the server's host
    proxy: str = field(repr=False)  # URL, may hold a password; "" for none
    credentials: Credentials = field(repr=False)


def load(path: str) -> Cluster:
    """Return the cluster of the current context of the file at ``path``; a wrong file raises ``PorchError`` (78)."""
    document = _parse(_read(path, "the kubeconfig"))
    name = text(document.get("current-context"))
    if not name:
        raise _wrong("current-context is missing: name the context to use, kubectl config use-context NAME does")
    context = _entry(document, "contexts", "context", name)
    cluster = _entry(document, "clusters", "cluster", text(context.get("cluster")))
    user = _entry(document, "users", "user", text(context.get("user")))
    files = _Files(Path(path).absolute().parent)
    _check_cluster(cluster)
    _check_user(user)
    return Cluster(
        server=text(cluster.get("server")),
        namespace=text(context.get("namespace")) or "default",
        authority=_certificates(files.content(cluster, "certificate-authority")),
        server_name=text(cluster.get("tls-server-name")),
        proxy=text(cluster.get("proxy-url")),
        credentials=_credentials(user, files),
    )


def _certificates(content: bytes) -> str:
    """Return the certificates in PEM; text around them, in any encoding, is a comment, as it is to Go."""
    if content and not (found := _CERTIFICATE.findall(content)):
        raise _wrong("certificate-authority is no PEM certificate: copy the cluster's CA again")
    return "\n".join(each.decode("ascii", "replace") for each in found) if content else ""


def _parse(content: bytes) -> Fields:
    try:
        document = _loaded(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Only the line: what PyYAML says about it quotes the file, and the file holds secrets.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _wrong(f"it is not YAML{where}: kubectl config view --raw --minify --flatten writes a good one") from None
    if not isinstance(document, dict):
        raise _wrong("it is not a mapping: kubectl config view --raw --minify --flatten writes a good one")
    return document


def _loaded(content: bytes) -> object:
    # JSON first: indented with tabs, which YAML forbids, it is what kubectl reads all the same.
    try:
        return json.loads(content)
    except ValueError:
        return yaml.safe_load(content)


def _entry(document: Fields, section: str, kind: str, name: str) -> Fields:
    """Return the entry of this name, without the fields that are empty: to client-go they are not there."""
    entries = list(map(mapping, sequence(document.get(section))))
    names = [text(each.get("name")) for each in entries]
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise _wrong(f"{section} has two entries named {twice!a:.80}: remove one, kubectl refuses that, too")
    entry = at(next((each for each in entries if each.get("name") == name), None), kind)
    if not name or not isinstance(entry, dict):
        raise _wrong(f"{section} has no {kind} named {name!a:.80}: add it, or correct the current context")
    return {key: value for key, value in entry.items() if value not in (None, "", [], {}, False)}


def _check_cluster(cluster: Fields) -> None:
    if cluster.get("insecure-skip-tls-verify"):
        raise _wrong(
            "insecure-skip-tls-verify is set, and porch sends no token to a server it cannot verify: "
            "remove it, and put the cluster's CA into certificate-authority-data"
        )
    _refuse_unknown("cluster", cluster, _CLUSTER_FIELDS | {"insecure-skip-tls-verify"})


def _check_user(user: Fields) -> None:
    for name in sorted(_PROGRAMS & user.keys()):
        raise _wrong(
            f"the user gets its credentials from a program ({name}), which porch does not start: "
            "put a token into it (kubectl create token SERVICE-ACCOUNT), or a client certificate"
        )
    _refuse_unknown("user", user, _USER_FIELDS)


def _refuse_unknown(kind: str, fields: Fields, known: set[str]) -> None:
    # Passing over "as", say, would make porch act as somebody with more rights than were meant.
    for name in sorted(map(str, fields.keys() - known - _HARMLESS)):
        raise _wrong(f"the {kind} has {name!a:.80}, which porch does not know: remove it")


def _credentials(user: Fields, files: "_Files") -> Credentials:
    token = files.token(user)
    certificate, key = files.content(user, "client-certificate"), files.content(user, "client-key")
    if bool(certificate) != bool(key):
        raise _wrong("the user has one of client-certificate and client-key: give both, or neither")
    if not token and not certificate:
        raise _wrong(
            "the user has neither token nor client certificate: kubectl create token SERVICE-ACCOUNT makes one"
        )
    return Credentials(token, certificate, key)


@dataclass(frozen=True, slots=True)
class _Files:
    """The files that a kubeconfig names, and the contents that it holds in their place."""

    directory: Path

    def content(self, fields: Fields, name: str) -> bytes:
        """Return ``<name>-data`` decoded, else the file that ``<name>`` names, else nothing; client-go's order."""
        if data := text(fields.get(f"{name}-data")):
            try:
                return base64.b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError):
                raise _wrong(f"{name}-data is not base64: kubectl config view --raw --flatten writes it") from None
        if path := text(fields.get(name)):
            return _read(str(self.directory / path), name)
        return b""

    def token(self, user: Fields) -> str:
        """Return the token; a file goes before a token beside it, as it does in client-go."""
        path = text(user.get("tokenFile"))
        token = _read(str(self.directory / path), "tokenFile").decode("utf-8", "replace") if path else user.get("token")
        token = text(token).strip()
        if not all("!" <= character <= "~" for character in token):
            raise _wrong("the user's token is no bearer token: it has characters other than visible ASCII")
        return token


def _read(path: str, what: str) -> bytes:
    try:
        # Non-blocking, or a FIFO would keep porch waiting for a writer for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _wrong(f"{what} ({path!a:.200}) is not a regular file: name the file itself")
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no path"
        raise _wrong(f"{what} ({path!a:.200}) cannot be read ({why}): correct the path, one file") from None
    if len(content) > _MAX_BYTES:
        raise _wrong(f"{what} ({path!a:.200}) is larger than {_MAX_BYTES} bytes")
    return content


def _wrong(what: str) -> PorchError:
    return PorchError(MISCONFIGURED, f"kubeconfig: {what}")
