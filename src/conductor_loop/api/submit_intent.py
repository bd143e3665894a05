"""Sending intents over HTTPS: what passes the same validation as in the Lambda is put where everybody puts intents."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from conductor_loop.api.access import forbidden
from conductor_loop.api.http import Malformed, Request, Response
from conductor_loop.api.parts import Parts
from conductor_loop.api.problem import Problem, busy, invalid, rejected
from conductor_loop.api.route import Call, Scope
from conductor_loop.counting import refused
from conductor_loop.errors import Cause, ConditionFailed, NotAnswering, Rejected
from conductor_loop.intent import Intent, Priority
from conductor_loop.intents.model import Phase
from conductor_loop.storage.listing import RECEIVED
from conductor_loop.validation import check_name, check_size, validate_file

_AGAIN = frozenset({Phase.FAILED.value, Phase.TIMED_OUT.value})  # answers that it makes sense to ask again after
_PARAMETERS = frozenset({"name", "replace"})
_TRUTH = {"true": True, "false": False}


def send(parts: Parts, call: Call) -> Response:
    """Take an intent: 202 once it lies in the bucket, from where it goes the way of all intents.

    Raises:
        Problem: 400, 403, 409, 413, 415 or 503; nothing was put.
        NotAnswering: neither is known to have happened; ask again with the same name.

    """
    request = call.request
    _check_type(request)
    _check_size(parts, request)
    if unknown := sorted(request.query.keys() - _PARAMETERS):
        raise invalid(*(f"The parameter {name} is not known" for name in unknown))
    replace = _flag(request, "replace")
    name = _name(request) or f"intent-{parts.new_id()}.json"
    body = _body(request)
    intent = _admitted(parts, name, body)
    if intent.priority is Priority.CRITICAL and not call.has(Scope.PRIORITY_CRITICAL):
        raise forbidden(Scope.PRIORITY_CRITICAL)
    _check_room(parts)
    if not replace and (answered := parts.intents.newest(name)) is not None and answered.takes_name:
        raise _taken(name)
    try:
        version = parts.intents.put(name, body, replace=replace)
    except ConditionFailed:
        raise _taken(name) from None
    return _accepted(name, version, f"intents/{name}")


def retry(parts: Parts, call: Call) -> Response:
    """Send an intent again, as it is, whose newest answer is a failure.

    Raises:
        Problem: 403, 404, 409 or 503; nothing was put.

    """
    name = named(call.request)
    answered = parts.intents.newest(name)
    if answered is None and (waiting := parts.intents.waiting(name)) is not None:
        raise _not_failed(waiting.state)
    if answered is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no intent of that name")
    if answered.listed.state not in _AGAIN:
        raise _not_failed(answered.listed.state)
    body = parts.intents.failed(name, parts.config.rules.max_file_bytes)
    if body is None:
        raise Problem(
            HTTPStatus.CONFLICT,
            "Its input is no longer kept, or cannot be read; send it anew",
            {"state": answered.listed.state},
        )
    # Its sender may have had no right to critical; what the API puts has that right.
    if _asks_for_critical(body) and not call.has(Scope.PRIORITY_CRITICAL):
        raise forbidden(Scope.PRIORITY_CRITICAL)
    _check_room(parts)
    try:
        version = parts.intents.put(name, body, replace=False)
    except ConditionFailed:  # it was sent again already
        raise _not_failed(RECEIVED) from None
    return _accepted(name, version, f"../{name}")


def named(request: Request) -> str:
    """Give the intent's name that a path has.

    Raises:
        Problem: 404, since nothing is called like that.

    """
    name = request.parameters.get("name", "")
    try:
        check_name(name)
    except Rejected:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no intent of that name") from None
    return name


def _accepted(name: str, version: str, url: str) -> Response:
    """Say that it is there, and where its state is: relative to the request's URL, behind any domain, stage or path."""
    return Response(HTTPStatus.ACCEPTED, {"name": name, "version_id": version, "status_url": url}, {"Location": url})


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "Send JSON, with the header Content-Type: application/json"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, headers={"Accept": "application/json"})


def _check_size(parts: Parts, request: Request) -> None:
    """Refuse a body by its size, before it is decoded or parsed."""
    try:
        check_size(request.size, parts.config.rules)
    except Rejected as rejection:
        raise _refused(parts, rejection) from None


def _name(request: Request) -> str:
    header, query = request.headers.get("x-intent-name"), request.query.get("name")
    if header is not None and query is not None and header != query:
        raise invalid("The header X-Intent-Name and the parameter name differ; give one of them")
    if (given := header if header is not None else query) == "":
        raise invalid("The name is empty; leave it out to be given one")
    return given or ""


def _flag(request: Request, name: str) -> bool:
    try:
        return _TRUTH[request.query.get(name, "false")]
    except KeyError:
        raise invalid(f"The parameter {name} is true or false") from None


def _body(request: Request) -> bytes:
    try:
        return request.body()
    except Malformed:
        raise invalid("The body is not Base64, although the request says so") from None


def _admitted(parts: Parts, name: str, body: bytes) -> Intent:
    try:
        intent = validate_file(name, body, parts.config.rules)
    except Rejected as rejection:
        raise _refused(parts, rejection) from None
    parts.trace(intent)
    return intent


def _refused(parts: Parts, rejection: Rejected) -> Problem:
    """Count an intent that is refused, and tell why."""
    attack = rejection.cause is Cause.SECURITY_VIOLATION
    rules = [violation.rule for violation in rejection.violations]
    parts.note(refused(rejection.cause.code, attack=attack, rules=rules))
    return rejected(rejection)


def _check_room(parts: Parts) -> None:
    """Refuse intents while the queues are full. Where that cannot be known they are taken: S3 keeps them."""
    serving = parts.config.serving
    try:
        size = parts.measures.queue_size()
    except NotAnswering:
        return
    if size < serving.max_queue_size:
        return
    raise busy(
        "Worker pool is at capacity",
        queue_size=size,
        max_queue_size=serving.max_queue_size,
        active_workers=_active_workers(parts),
        max_workers=serving.max_workers,
    )


def _active_workers(parts: Parts) -> int | None:
    try:
        return parts.measures.active_workers()
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
