"""One verified HTTPS connection to a cluster, through a proxy only where the kubeconfig names one."""

import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3 import exceptions as errors
from urllib3.util import Url, make_headers, parse_url

from porch.cluster.kubeconfig import Cluster
from porch.errors import MISCONFIGURED, UNREACHABLE, PorchError

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_SHOWN = 300  # characters of the server's own words
_NO_TLS = ("EOF occurred", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE")  # OpenSSL's, for what is no handshake
_CAUSES = (  # the first that fits; NewConnectionError is a kind of ConnectTimeoutError, and means refused
    (errors.SSLError, "its certificate or TLS is not acceptable, check certificate-authority-data and tls-server-name"),
    (errors.ProxyError, "the proxy of the kubeconfig does not work, check proxy-url"),
    (errors.NameResolutionError, "its name is not known, check the server in the kubeconfig and the network's DNS"),
    (errors.NewConnectionError, "there is no connection to it, check the server in the kubeconfig, or try again later"),
    (errors.TimeoutError, "it does not answer in time, check the network's routes and security groups, or try later"),
    (Exception, "the connection broke, or nothing serves there, check the kubeconfig's server, or try again later"),
)
_TIMEOUT = Timeout(connect=5, read=20)  # seconds; Porch answers a write only when its git server has it


@dataclass(frozen=True, slots=True)
class Transport:
    """Sends requests to one cluster. ``secrets`` are the words that may stand in no message."""

    pool: HTTPConnectionPool
    prefix: str  # path of the server's URL, without the slash at its end
    host: str
    authorization: dict[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def exchange(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Return status and body; whatever keeps an answer from coming raises ``PorchError`` (4)."""
        try:
            response = self.pool.urlopen(
                method,
                self.prefix + path,
                body=body,
                headers=headers | self.authorization,
                retries=False,
                redirect=False,
                preload_content=False,
                assert_same_host=False,
            )
            with response:
                return response.status, self._content(response)
        except errors.HTTPError as error:
            raise self._unreachable(f"{_why(error)} ({self.shown(str(error))})") from None

    def shown(self, words: str) -> str:
        """Return the server's words as one bounded line of printable ASCII, without any secret."""
        for secret in self.secrets:
            words = words.replace(secret, "[secret]")
        words = ascii(" ".join(words.split()))[1:-1]
        return words if len(words) <= _MAX_SHOWN else f"{words[:_MAX_SHOWN]}..."

    def _content(self, response: BaseHTTPResponse) -> bytes:
        # As it comes: porch asked for no compression, and a small answer must not unfold to a large one.
        content = response.read(MAX_ANSWER_BYTES + 1, decode_content=False)
        if len(content) > MAX_ANSWER_BYTES:
            raise self._unreachable(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
        if response.length_remaining:
            raise self._unreachable("its answer ended early")
        return content

    def _unreachable(self, why: str) -> PorchError:
        return PorchError(UNREACHABLE, f"the cluster at {self.host} cannot be used: {why}")


def connect(cluster: Cluster) -> Transport:
    """Prepare the connection to ``cluster``; it is opened by the first request."""
    server = _url(cluster.server, "the cluster's server is no URL: make it https://HOST:PORT")
    if server.scheme != "https" or not server.host or server.auth or server.query or server.fragment:
        raise _wrong("the cluster's server must be https://HOST:PORT, perhaps with a path, and nothing else")
    pool = _manager(cluster).connection_from_host(server.host, server.port or 443, "https")
    return Transport(
        pool,
        prefix=(server.path or "").rstrip("/"),
        host=server.netloc or "",
        authorization={"Authorization": f"Bearer {cluster.token}"} if cluster.token else {},
        secrets=tuple(filter(None, (cluster.token, *_passwords(cluster.proxy)))),
    )


def _url(url: str, otherwise: str) -> Url:
    try:
        return parse_url(url)
    except errors.LocationParseError:
        raise _wrong(otherwise) from None


def _manager(cluster: Cluster) -> PoolManager:
    name = cluster.server_name or None
    settings: dict[str, object] = {"timeout": _TIMEOUT, "maxsize": 1, "num_pools": 1, "ssl_context": _context(cluster)}
    settings |= {"server_hostname": name, "assert_hostname": name}
    if not cluster.proxy:
        return PoolManager(**settings)  # type: ignore[arg-type] # urllib3 types them as one
    proxy = _url(cluster.proxy, "proxy-url is no URL: make it http://HOST:PORT")
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise _wrong("proxy-url must be http://HOST:PORT or https://HOST:PORT: porch speaks no SOCKS")
    # Octet by octet, for make_headers encodes as Latin-1: what was UTF-8 in the URL is UTF-8 in the header.
    headers = make_headers(proxy_basic_auth=unquote(proxy.auth, encoding="latin-1")) if proxy.auth else None
    return ProxyManager(proxy._replace(auth=None).url, proxy_headers=headers, **settings)  # type: ignore[arg-type]


def _passwords(proxy: str) -> tuple[str, ...]:
    auth = parse_url(proxy).auth if proxy else None
    if not auth:
        return ()
    # As they may come back: like the kubeconfig has them, in the spelling of urllib3, and in plain.
    whole = (proxy.rpartition("@")[0].partition("//")[2], auth)
    spelled = (*whole, *(each.partition(":")[2] for each in whole))
    return (*spelled, *map(unquote, spelled))


def _context(cluster: Cluster) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=cluster.authority or None)
    except (ssl.SSLError, ValueError):
        raise _wrong("certificate-authority is no PEM certificate: copy the cluster's CA again") from None
    # Python 3.13 asks for key identifiers that the CA of an EKS cluster does not have (kubernetes-client/python#2394).
    # Chain, dates and name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.certificate:
        _load_certificate(context, cluster)
    return context


def _load_certificate(context: ssl.SSLContext, cluster: Cluster) -> None:
    # OpenSSL wants files; these are in memory only, so that a porch that is killed here leaves no key behind.
    certificate, key = _in_memory(cluster.certificate), _in_memory(cluster.key)
    try:
        # With a password, or OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(f"/proc/self/fd/{certificate}", f"/proc/self/fd/{key}", password="")
    except (ssl.SSLError, OSError, ValueError):
        why = "client-certificate and client-key are no PEM pair, or the key is encrypted: give it in plain"
        raise _wrong(why) from None
    finally:
        os.close(certificate)
        os.close(key)


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("porch", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return descriptor


def _why(error: errors.HTTPError) -> str:
    if isinstance(error, errors.SSLError) and any(words in str(error) for words in _NO_TLS):
        return "it broke the TLS handshake off, or nothing serves there, check the server in the kubeconfig"
    return next(why for kinds, why in _CAUSES if isinstance(error, kinds))


def _wrong(what: str) -> PorchError:
    return PorchError(MISCONFIGURED, f"kubeconfig: {what}")
