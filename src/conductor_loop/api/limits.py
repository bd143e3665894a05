"""How often a caller may ask (specification, "Rate Limiting")."""

import ipaddress
from http import HTTPStatus

from conductor_loop.api.http import Request
from conductor_loop.api.parts import Known, Parts
from conductor_loop.api.problem import Problem, busy
from conductor_loop.api.route import Route
from conductor_loop.config.serving import Serving
from conductor_loop.errors import NotAnswering
from conductor_loop.rates import Rate, Taken

_MINUTE, _HOUR = 60, 3600
_SHARED_BITS = 64  # of an IPv6 address: a subscriber has all addresses that share them


def limit(parts: Parts, route: Route, request: Request, client: Known | None) -> dict[str, str]:
    """Take a token of the caller's bucket: the client's, or the address's of an unknown one.

    Returns:
        The headers that say what is left.

    Raises:
        Problem: 429 when there is none; 503 when that is unknown, but for health, which answers all the same.

    """
    serving = parts.config.serving
    if not (serving.health_limited if route.is_health else serving.limited):
        return {}
    name, bucket, rate = _bucket(serving, request, client)
    take = parts.local.take if route.is_local else parts.take
    try:
        taken = take(bucket, rate, parts.clock())
    except NotAnswering:
        if route.is_health:
            return {}
        raise busy() from None
    headers = _headers(name, rate, taken)
    if not taken.allowed:
        raise _too_many(taken, headers)
    return headers


def _bucket(serving: Serving, request: Request, client: Known | None) -> tuple[str, str, Rate]:
    if client is not None:
        return "client", f"client#{client.id}", Rate(serving.per_hour, _HOUR, serving.burst)
    return "address", f"address#{_network(request.address)}", Rate(serving.per_minute, _MINUTE, serving.burst)


def _network(address: str) -> str:
    """Give what one subscriber has: an IPv4 address, or a whole network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:  # noqa: PLR2004 - of the protocol
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> _SHARED_BITS << _SHARED_BITS, _SHARED_BITS)))


def _headers(name: str, rate: Rate, taken: Taken) -> dict[str, str]:
    """Write draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of the burst."""
    return {
        "RateLimit-Policy": f'"{name}";q={rate.quota};w={rate.window_seconds}, "burst";q={rate.burst}',
        "RateLimit": f'"burst";r={taken.remaining};t={taken.reset_seconds}',
    }


def _too_many(taken: Taken, headers: dict[str, str]) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Rate limit exceeded; wait as long as Retry-After says",
        headers=headers,
        retry_after_seconds=taken.retry_after_seconds,
    )
