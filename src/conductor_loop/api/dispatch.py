"""One request, from its event to its answer: find, identify, limit, authorize, answer.

Every request passes the rate limit, also one of a route that does not exist, and one whose token cannot be verified.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from conductor_loop.api.access import authorize, identify
from conductor_loop.api.auditing import about, is_noted
from conductor_loop.api.http import Event, Request, Response, read, rendered
from conductor_loop.api.limits import limit
from conductor_loop.api.parts import Known, Parts
from conductor_loop.api.problem import Problem, busy
from conductor_loop.api.route import Call
from conductor_loop.api.routes import find
from conductor_loop.counting import API_FAILURES, Counted
from conductor_loop.errors import NotAnswering

logger = logging.getLogger("conductor-loop")


def answer(parts: Parts, event: Event) -> dict[str, Any]:
    """Answer an event of API Gateway, whatever happens."""
    request = read(event, parts.timer())
    response, client = _answered(parts, request)
    fields = about(request, response, client)
    if fields is not None and is_noted(parts, response, client):
        parts.record(request.request_id, fields, parts.clock())
    milliseconds = round((parts.timer() - request.started) * 1000)
    logger.info(
        "%s %s %d", request.method, request.resource, response.status,
        extra={
            "request_id": request.request_id,
            "client": client.id if client else None,
            "address": request.address,
            "intent": fields and fields["intent"],
            "milliseconds": milliseconds,
        },
    )  # fmt: skip
    return rendered(response, request)


def unable(event: Event, now: float) -> dict[str, Any]:
    """Answer an event where there are no parts to answer it with."""
    request = read(event, started=0.0)
    return rendered(busy().response(request, now), request)


def _answered(parts: Parts, request: Request) -> tuple[Response, Known | None]:
    client: Known | None = None
    headers: dict[str, str] = {}
    try:
        route = find(request.resource, request.method, parts.config.serving)
        asked = route.scope is not None and route.asks(parts.config.serving)
        found = identify(parts, request) if asked or not route.is_local else None
        client = None if isinstance(found, NotAnswering) else found
        headers = limit(parts, route, request, client)
        if asked:
            authorize(route, request, found)
        response = route.answer(parts, Call(request, client))
    except Problem as problem:
        response = _failure(parts, request, problem)
    except NotAnswering as error:
        logger.warning("a service does not answer", extra={"reason": str(error), "request_id": request.request_id})
        response = _failure(parts, request, busy())
    except Exception:
        error_id = f"ERR-{datetime.fromtimestamp(parts.clock(), UTC).date()}-{request.request_id[:8]}"
        logger.exception("no answer", extra={"error_id": error_id, "request_id": request.request_id})
        response = _failure(parts, request, _failed(error_id))
    return replace(response, headers=headers | dict(response.headers)), client


def _failure(parts: Parts, request: Request, problem: Problem) -> Response:
    """Answer with a problem; an alarm watches those that are ours, not the caller's."""
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        parts.note(Counted({API_FAILURES: 1}))
    return problem.response(request, parts.clock())


def _failed(error_id: str) -> Problem:
    """Say that we are to blame, and under which name it is in the log; nothing else."""
    message = "Internal error; the operator finds it in the log by its error_id"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, {"error_id": error_id})
