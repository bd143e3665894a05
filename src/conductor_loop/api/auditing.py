"""Which calls of the API the audit trail tells of, and what: who asked for what, and what became of it."""

from collections.abc import Mapping
from http import HTTPStatus

from conductor_loop.api.http import Request, Response
from conductor_loop.api.services import Services
from conductor_loop.counting import refused
from conductor_loop.errors import Cause, NotAnswering, Rejected
from conductor_loop.intent import FILE_NAME
from conductor_loop.rates import Rate
from conductor_loop.tokens import Client

_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LONGEST_NAME, _MOST_RULES = 255, 20
_ANONYMOUS = Rate(quota=10, window_seconds=60, burst=10)  # entries about anonymous callers, all of them together

type Fields = Mapping[str, object]


def about(request: Request, response: Response, client: Client | None) -> Fields | None:
    """Say what there is to tell of a call; ``None`` of health and metrics, which are asked every few seconds.

    Of what is refused for its rate, the access log tells: the trail is no place that a flood can fill.
    """
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
        **_refusal(response.rejection),
        "required_scope": error.get("details", {}).get("required_scope"),
        "intent": body.get("name") or _named(request),
        "version_id": body.get("version_id"),
    }


def _refusal(rejection: Rejected | None) -> Fields:
    """Say for what an intent was refused, and what that counts."""
    if rejection is None:
        return {}
    cause, rules = rejection.cause, [*dict.fromkeys(one.rule for one in rejection.violations)]
    counted = refused(cause.code, attack=cause is Cause.SECURITY_VIOLATION, rules=rules)
    return {"code": cause.code, "error_code": cause.value, "rules": rules[:_MOST_RULES], "tally": counted.tally}


def is_noted(services: Services, response: Response, client: Client | None) -> bool:
    """Decide whether a call becomes an entry.

    Of anonymous callers only refusals do, and few a minute: a flood of them costs an attacker nothing. The access log
    has them all.
    """
    if client is not None:
        return True
    if response.status != HTTPStatus.UNAUTHORIZED:
        return False
    try:
        return services.take("audit#anonymous", _ANONYMOUS, services.clock()).allowed
    except NotAnswering:
        return False


def _named(request: Request) -> str | None:
    """Give the intent that a call names, if it could be one: any other text there is not repeated."""
    places = (request.parameters.get("name"), request.headers.get("x-intent-name"), request.query.get("name"))
    return next((name for name in places if name and len(name) <= _LONGEST_NAME and FILE_NAME.fullmatch(name)), None)
