"""Submit intents over HTTPS: what passes the same validation as in the function is put where all intents are put."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import Problem, Request, Response, busy, invalid, rejected
from conductor_loop.api.read_intents import parse_name, unknown
from conductor_loop.api.services import Services
from conductor_loop.counting import refused
from conductor_loop.errors import Cause, ConditionFailed, NotAnswering, Rejected
from conductor_loop.intent import Priority
from conductor_loop.intents.model import Phase
from conductor_loop.storage.listing import RECEIVED
from conductor_loop.tokens import Scope
from conductor_loop.validation import check_size, validate

_RETRIED = frozenset({Phase.FAILED.value, Phase.TIMED_OUT.value})
_PARAMETERS = frozenset({"name", "replace"})


def submit(services: Services, request: Request) -> Response:
    """Take an intent: 202 once it lies in the bucket, from where it goes the way of all intents.

    Raises:
        Problem: 400, 403, 409, 413, 415 or 503; nothing was put.
        NotAnswering: neither is known to have happened; ask again with the same name.

    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "Send JSON, with the header Content-Type: application/json"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, headers={"Accept": "application/json"})
    if errors := [f"The parameter {name} is not known" for name in sorted(request.query.keys() - _PARAMETERS)]:
        raise invalid(*errors)
    if (replace := request.query.get("replace", "false")) not in {"true", "false"}:
        raise invalid("The parameter replace is true or false")
    name = _name(request) or f"intent-{services.new_id()}.json"
    body = _validated(services, name, request)
    _check_room(services)
    if replace == "false" and (answered := services.intents.newest(name)) is not None and answered.takes_name:
        raise _taken(name)
    try:
        version = services.intents.put(name, body, replace=replace == "true")
    except ConditionFailed:
        raise _taken(name) from None
    return _accepted(name, version, f"intents/{name}")


def retry(services: Services, request: Request) -> Response:
    """Send an intent again, as it is, whose newest answer is a failure.

    Raises:
        Problem: 403, 404, 409 or 503; nothing was put.

    """
    name = parse_name(request)
    answered = services.intents.newest(name)
    newest = answered.listed if answered else services.intents.waiting(name)
    if newest is None:
        raise unknown()
    if newest.state not in _RETRIED:
        raise _not_failed(newest.state)
    body = services.intents.failed(name, services.config.rules.max_file_bytes)
    if body is None:
        message = "Its input is no longer kept, or cannot be read; send it anew"
        raise Problem(HTTPStatus.CONFLICT, message, {"state": newest.state})
    # Its sender may have had no right to critical; what the API puts has that right.
    if _asks_for_critical(body):
        request.require(Scope.PRIORITY_CRITICAL)
    _check_room(services)
    try:
        version = services.intents.put(name, body, replace=False)
    except ConditionFailed:  # it was sent again already
        raise _not_failed(RECEIVED) from None
    return _accepted(name, version, f"../{name}")


def _accepted(name: str, version: str, url: str) -> Response:
    """Say that it is there, and where its state is: relative to the request's URL, behind any domain, stage or path."""
    return Response(HTTPStatus.ACCEPTED, {"name": name, "version_id": version, "status_url": url}, {"Location": url})


def _name(request: Request) -> str | None:
    header, query = request.headers.get("x-intent-name"), request.query.get("name")
    if header is not None and query is not None and header != query:
        raise invalid("The header X-Intent-Name and the parameter name differ; give one of them")
    if (name := header if header is not None else query) == "":
        raise invalid("The name is empty; leave it out to be given one")
    return name


def _validated(services: Services, name: str, request: Request) -> bytes:
    """Return the body if it is a valid intent that its sender may send; one that is rejected is counted."""
    rules = services.config.rules
    try:
        check_size(request.size, rules)  # before it is decoded or parsed
        body = request.body()
        intent = validate(body, rules, name)
    except Rejected as rejection:
        attack = rejection.cause is Cause.SECURITY_VIOLATION
        broken = [violation.rule for violation in rejection.violations]
        services.note(refused(rejection.cause.code, attack=attack, rules=broken))
        raise rejected(rejection) from None
    services.trace(intent)
    if intent.priority is Priority.CRITICAL:
        request.require(Scope.PRIORITY_CRITICAL)
    return body


def _check_room(services: Services) -> None:
    """Refuse intents while the queues are full. Where that cannot be known they are taken: S3 keeps them."""
    serving = services.config.serving
    size = _or_none(services.queues.size)
    if size is not None and size >= serving.max_queue_size:
        raise busy(
            "Worker pool is at capacity",
            queue_size=size,
            max_queue_size=serving.max_queue_size,
            active_workers=_or_none(services.state.active_workers),
            max_workers=serving.max_workers,
        )


def _or_none(measure: Callable[[], int]) -> int | None:
    try:
        return measure()
    except NotAnswering:
        return None


def _not_failed(state: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, "Only an intent that failed can be sent again", {"state": state})


def _taken(name: str) -> Problem:
    message = "The name is taken; choose another, or replace it with ?replace=true"
    return Problem(HTTPStatus.CONFLICT, message, {"name": name})


def _asks_for_critical(body: bytes) -> bool:
    """Read the priority of an input that may be anything; what cannot be read is not processed as critical."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, Mapping) and document.get("priority") == Priority.CRITICAL
