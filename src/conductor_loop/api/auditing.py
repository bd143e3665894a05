"""Which calls of the API the audit trail tells of, and what: who asked for what, and what became of it."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus

from conductor_loop.api.http import Request, Response
from conductor_loop.api.services import Services
from conductor_loop.errors import NotAnswering, Rejected
from conductor_loop.intent import FILE_NAME
from conductor_loop.rates import Rate
from conductor_loop.tokens import Client

logger = logging.getLogger("conductor-loop")

_INTENTS = "/intents"
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LONGEST_NAME, _MOST_RULES = 255, 20
_MOST_PENDING = 1000  # entries that wait for the table; of more, the log has them

_ANONYMOUS = Rate(quota=10, window_seconds=60, burst=10)  # entries about anonymous callers, all of them together

type Fields = Mapping[str, object]
type Write = Callable[[str, Fields, float], None]


def about(request: Request, response: Response, client: Client | None) -> Fields | None:
    """Say what there is to tell of a call; ``None`` of health and metrics, which are asked every few seconds.

    Of what is refused for its rate, the access log tells: the trail is no place that a flood can fill.
    """
    if response.status not in _REFUSED and not request.resource.startswith(_INTENTS):
        return None
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return None
    body = response.body if isinstance(response.body, Mapping) else {}
    error = body.get("error", {})
    details = error.get("details", {})
    return {
        "by": client.id if client else None,
        "name_of_client": client.name if client else None,
        "address": request.address,
        "method": request.method,
        "resource": request.resource,
        "status": int(response.status),
        "rule": error.get("code"),
        **_refusal(response.rejection),
        "required_scope": details.get("required_scope"),
        "intent": body.get("name") or _named(request),
        "version_id": body.get("version_id"),
    }


def _refusal(rejection: Rejected | None) -> Fields:
    """Say for what an intent was refused; the counters are made of it."""
    if rejection is None:
        return {}
    rules = [*dict.fromkeys(one.rule for one in rejection.violations)]
    return {"code": rejection.cause.code, "error_code": rejection.cause.value, "rules": rules[:_MOST_RULES]}


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


class Recorder:
    """Writes what there is to tell; what cannot be written is tried again with the next call.

    Args:
        write: Writes one entry. Raises NotAnswering.

    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pending: deque[tuple[str, Fields, float]] = deque(maxlen=_MOST_PENDING)

    def __call__(self, request_id: str, fields: Fields, now: float) -> int:
        """Write an entry, and those that wait; how many wait still. Never raises: a caller has the answer anyway."""
        self._pending.append((request_id, fields, now))
        while self._pending:
            try:
                self._write(*self._pending[0])
            except NotAnswering:
                logger.exception("an audit entry is not written: it is tried again", extra={"entry": dict(fields)})
                break
            self._pending.popleft()
        return len(self._pending)
