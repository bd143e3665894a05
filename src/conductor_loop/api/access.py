"""Who asks, and whether they may (specification, "Authentication")."""

from dataclasses import dataclass
from http import HTTPStatus

from conductor_loop.api.http import Request
from conductor_loop.api.parts import Known, Parts
from conductor_loop.api.problem import Problem
from conductor_loop.api.route import Route, Scope
from conductor_loop.config.serving import Certificate
from conductor_loop.errors import NotAnswering

_REALM = 'Bearer realm="conductor-loop"'
_MOST_CHARACTERS = 512  # of a credential that is looked at; tokens have 85


@dataclass(frozen=True, slots=True)
class Certified:
    """Who a known client certificate belongs to."""

    id: str
    name: str
    scopes: frozenset[str]


def identify(parts: Parts, request: Request) -> Known | NotAnswering | None:
    """Find out who sends a request, by bearer token, API key or client certificate.

    Returns:
        The client; ``None`` for an anonymous one; or why the token cannot be verified for the moment, which matters
        only where the route asks for one, and after the rate limit.

    """
    token = _token(request)
    if token is None:
        return _certified(parts.config.serving.certificates, request.certificate)
    try:
        return parts.verify(token, parts.clock())
    except NotAnswering as error:
        return error


def authorize(route: Route, request: Request, client: Known | NotAnswering | None) -> None:
    """Let a caller pass who may ask for the route.

    Raises:
        Problem: 401 for an anonymous caller, 403 for a client without the scope.
        NotAnswering: its token cannot be verified for the moment.

    """
    if isinstance(client, NotAnswering):
        raise client
    if client is None:
        invalid = ', error="invalid_token"' if _token(request) is not None else ""
        headers = {"WWW-Authenticate": _REALM + invalid}
        raise Problem(HTTPStatus.UNAUTHORIZED, "Authentication required", headers=headers)
    if route.scope is not None and route.scope not in client.scopes:
        raise forbidden(route.scope)


def forbidden(scope: Scope) -> Problem:
    """Refuse a known caller."""
    headers = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{scope}"'}
    return Problem(HTTPStatus.FORBIDDEN, "Access denied", {"required_scope": scope.value}, headers)


def _token(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    presented = bearer or request.headers.get("x-api-key", "").strip()
    return presented[:_MOST_CHARACTERS] or None


def _certified(certificates: tuple[Certificate, ...], subject: str | None) -> Certified | None:
    found = next((one for one in certificates if one.subject == subject), None)
    return Certified(f"certificate:{found.subject}", found.subject, found.scopes) if found else None
