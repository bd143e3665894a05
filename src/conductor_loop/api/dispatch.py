"""One request, from its event to its response: find, identify, limit, authorize, answer.

Every request passes the rate limit, also one of a route that does not exist, and one whose token cannot be verified.
"""

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import REALM, Event, Problem, Request, Response, busy, read, rendered
from conductor_loop.api.routes import Route, find
from conductor_loop.api.services import Services
from conductor_loop.counting import API_FAILURES, Counted, refused
from conductor_loop.errors import NotAnswering, Rejected
from conductor_loop.intent import FILE_NAME
from conductor_loop.rates import Rate
from conductor_loop.tokens import Client, Scope

logger = logging.getLogger("conductor-loop")

_MINUTE, _HOUR = 60, 3600
_NETWORK_BITS = 64  # of an IPv6 address: a subscriber has all addresses that share them
_MAX_TOKEN_CHARACTERS = 512  # of a credential that is looked at; tokens have 85
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LONGEST_NAME, _MOST_RULES = 255, 20
_ANONYMOUS = Rate(quota=10, window_seconds=60, burst=10)  # entries about anonymous callers, all of them together


def answer(services: Services, event: Event) -> dict[str, Any]:
    """Answer an event of API Gateway, whatever happens."""
    request = read(event, services.timer())
    response, client = _respond(services, request)
    fields = _about(request, response, client)
    if fields is not None and _is_noted(services, response, client):
        services.record(request.request_id, fields, services.clock())
    logger.info(
        "%s %s %d", request.method, request.resource, response.status,
        extra={
            "request_id": request.request_id,
            "client": client.id if client else None,
            "address": request.address,
            "intent": fields and fields["intent"],
            "milliseconds": round((services.timer() - request.started) * 1000),
        },
    )  # fmt: skip
    return rendered(response, request)


def unable(event: Event, now: float) -> dict[str, Any]:
    """Answer an event for which there is no configuration, and so nothing to answer it with."""
    request = read(event, started=0.0)
    return rendered(busy().response(request, now), request)


def _respond(services: Services, request: Request) -> tuple[Response, Client | None]:
    client, headers = None, {}
    try:
        serving = services.config.serving
        route = find(request.resource, request.method, serving)
        needs_scope = route.scope is not None and route.asks(serving)
        found = _identify(services, request) if needs_scope or not route.is_local else None
        client = None if isinstance(found, NotAnswering) else found
        headers = _limit(services, route, request, client)
        request = replace(request, client=client)
        if needs_scope:
            _authorize(route, request, found)
        response = route.answer(services, request)
    except Problem as problem:
        response = _failure(services, request, problem)
    except NotAnswering as error:
        logger.warning("a service does not answer", extra={"reason": str(error), "request_id": request.request_id})
        response = _failure(services, request, busy())
    except Exception:
        error_id = f"ERR-{datetime.fromtimestamp(services.clock(), UTC).date()}-{request.request_id[:8]}"
        logger.exception("no answer", extra={"error_id": error_id, "request_id": request.request_id})
        message = "Internal error; the operator finds it in the log by its error_id"
        bug = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, {"error_id": error_id})
        response = _failure(services, request, bug)
    return replace(response, headers=headers | dict(response.headers)), client


def _failure(services: Services, request: Request, problem: Problem) -> Response:
    """Write a problem; an alarm watches those that are not the caller's."""
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        services.note(Counted({API_FAILURES: 1}))
    return problem.response(request, services.clock())


# -- who asks, and whether they may (specification, "Authentication")


def _identify(services: Services, request: Request) -> Client | NotAnswering | None:
    """Identify the caller by bearer token, API key or client certificate; ``None``: anonymous.

    An error is returned, since it matters only where the route asks for a token, and after the rate limit.
    """
    if (token := _token(request)) is None:
        subject = request.certificate or ""
        if (scopes := services.config.serving.certificates.get(subject)) is None:
            return None
        return Client(f"certificate:{subject}", subject, frozenset(map(Scope, scopes)))
    try:
        return services.verify(token, services.clock())
    except NotAnswering as error:
        return error


def _authorize(route: Route, request: Request, found: Client | NotAnswering | None) -> None:
    if isinstance(found, NotAnswering):
        raise found
    if found is None:
        wrong = ', error="invalid_token"' if _token(request) is not None else ""
        headers = {"WWW-Authenticate": REALM + wrong}
        raise Problem(HTTPStatus.UNAUTHORIZED, "Authentication required", headers=headers)
    if route.scope is not None:
        request.require(route.scope)


def _token(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    presented = bearer or request.headers.get("x-api-key", "").strip()
    return presented[:_MAX_TOKEN_CHARACTERS] or None


# -- how often a caller may ask (specification, "Rate Limiting")


def _limit(services: Services, route: Route, request: Request, client: Client | None) -> dict[str, str]:
    """Take a token of the caller's bucket: the client's, or the address's of an unknown one.

    Returns the headers of draft-ietf-httpapi-ratelimit-headers. Health answers also where the limit is unknown.
    """
    serving = services.config.serving
    if not (serving.health_limited if route.is_health else serving.limited):
        return {}
    if client is not None:
        kind, caller, rate = "client", client.id, Rate(serving.per_hour, _HOUR, serving.burst)
    else:
        kind, caller, rate = "address", _network(request.address), Rate(serving.per_minute, _MINUTE, serving.burst)
    take = services.local.take if route.is_local else services.take
    try:
        taken = take(f"{kind}#{caller}", rate, services.clock())
    except NotAnswering:
        if route.is_health:
            return {}
        raise busy() from None
    headers = {
        "RateLimit-Policy": f'"{kind}";q={rate.quota};w={rate.window_seconds}, "burst";q={rate.burst}',
        "RateLimit": f'"burst";r={taken.remaining};t={taken.reset_seconds}',
    }
    if not taken.allowed:
        message = "Rate limit exceeded; wait as long as Retry-After says"
        seconds = taken.retry_after_seconds
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, message, headers=headers, retry_after_seconds=seconds)
    return headers


def _network(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, or a whole network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed), _NETWORK_BITS), strict=False))


# -- the calls that have an audit entry: who asked for what, and the result


def _about(request: Request, response: Response, client: Client | None) -> Mapping[str, object] | None:
    """Give the fields of a call's entry; health, metrics and a flood, which would fill the trail, have none."""
    is_told = response.status in _REFUSED or request.resource.startswith("/intents")
    if not is_told or response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return None
    body = response.body if isinstance(response.body, Mapping) else {}
    error = body.get("error", {})
    return {
        "by": client.id if client else None,
        "name_of_client": client.name if client else None,
        "address": request.address,
        "method": request.method,
        "resource": request.resource,
        "status": int(response.status),
        "rule": error.get("code"),
        **_error_of(response.rejection),
        "required_scope": error.get("details", {}).get("required_scope"),
        "intent": body.get("name") or _named(request),
        "version_id": body.get("version_id"),
    }


def _error_of(rejection: Rejected | None) -> Mapping[str, object]:
    if rejection is None:
        return {}
    cause, rules = rejection.cause, [*dict.fromkeys(one.rule for one in rejection.violations)]
    tally = refused(cause, rules).tally
    return {"code": cause.code, "error_code": cause.value, "rules": rules[:_MOST_RULES], "tally": tally}


def _is_noted(services: Services, response: Response, client: Client | None) -> bool:
    """Of anonymous callers only refusals are noted, and few a minute: the access log has them all."""
    if client is not None:
        return True
    if response.status != HTTPStatus.UNAUTHORIZED:
        return False
    try:
        return services.take("audit#anonymous", _ANONYMOUS, services.clock()).allowed
    except NotAnswering:
        return False


def _named(request: Request) -> str | None:
    places = (request.parameters.get("name"), request.headers.get("x-intent-name"), request.query.get("name"))
    return next((name for name in places if name and len(name) <= _LONGEST_NAME and FILE_NAME.fullmatch(name)), None)
