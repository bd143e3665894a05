"""Intents over HTTPS: read one or many, submit one, send a failed one again.

What passes the same validation as in the function is put where all intents are put.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import Problem, Request, Response, busy, invalid, rejected
from conductor_loop.api.services import Services
from conductor_loop.counting import refused
from conductor_loop.errors import ConditionFailed, NotAnswering, Rejected
from conductor_loop.intent import Priority
from conductor_loop.intents.model import BY_STATUS, Phase
from conductor_loop.storage.listing import RECEIVED, Listed, Wanted
from conductor_loop.tokens import Scope
from conductor_loop.validation import check_name, check_size, validate

DEFAULT_LIMIT, MAX_LIMIT = 50, 200  # intents of a page
_NAMESPACE_CHARACTERS = 63
_KNOWN = {"state": frozenset({*Phase, *BY_STATUS}), "priority": frozenset(Priority)}
_OF_LIST = frozenset({"state", "priority", "namespace", "limit", "next"})
_POSITION, _DAY = frozenset({"arrival_day", "arrived", "pk", "sk"}), frozenset({"arrival_day"})
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_MAX_KEY_BYTES = 1024  # of a sort key, and of a name in S3
_RETRIED = frozenset({Phase.FAILED.value, Phase.TIMED_OUT.value})
_OF_SUBMIT = frozenset({"name", "replace"})


def read_intent(services: Services, request: Request) -> Response:
    """Return the state of the newest version of a name. Raises Problem, 404, where no answer of that name is kept."""
    name = _parse_name(request)
    waiting, answered = services.intents.waiting(name), services.listing.newest(name)
    if waiting is not None and (answered is None or waiting.version_id not in answered.versions):
        return _described(waiting, None)  # put, and no worker has read it yet
    if answered is None:
        raise _unknown()
    # A status that is not final, of an attempt that is made again, is in the bucket alone.
    status = answered.status or (services.intents.status(name) if answered.listed.attempts else None)
    if status is not None and status.get("version_id") != answered.listed.version_id:
        status = None
    return _described(answered.listed, status)


def list_intents(services: Services, request: Request) -> Response:
    """List intents, newest first. A page with fewer than its limit, or none, may be followed by another."""
    wanted = _wanted(request)
    page = services.listing.page(wanted, services.clock())
    found: dict[str, Any] = {"intents": [_summary(one) for one in page.intents]}
    position = base64.urlsafe_b64encode(json.dumps(page.position).encode()).decode().rstrip("=")
    return Response(HTTPStatus.OK, found | {"next": position if page.position else None})


def _parse_name(request: Request) -> str:
    name = request.parameters.get("name", "")
    try:
        check_name(name)
    except Rejected:
        raise _unknown() from None
    return name


def _unknown() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "There is no intent of that name")


def _wanted(request: Request) -> Wanted:
    query = request.query
    errors = [f"The parameter {name} is not known" for name in sorted(query.keys() - _OF_LIST)]
    for name, known in _KNOWN.items():
        if query.get(name, min(known)) not in known:
            errors.append(f"The parameter {name} is one of {', '.join(sorted(known))}")
    if len(query.get("namespace", "")) > _NAMESPACE_CHARACTERS:
        errors.append(f"The parameter namespace has at most {_NAMESPACE_CHARACTERS} characters")
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not (_NUMBER.fullmatch(limit) and int(limit) <= MAX_LIMIT):
        errors.append(f"The parameter limit is a number from 1 to {MAX_LIMIT}")
    position = _position(query["next"]) if "next" in query else None
    if "next" in query and position is None:
        errors.append("The parameter next is not one that an earlier page gave")
    if errors:
        raise invalid(*errors)
    filters = {name: query[name] for name in ("state", "priority", "namespace") if query.get(name)}
    if "state" in filters:
        filters["state"] = str(BY_STATUS.get(filters["state"], filters["state"]))
    return Wanted(int(limit), filters, position)


def _described(listed: Listed, status: Mapping[str, Any] | None) -> Response:
    package = (status or {}).get("package")
    keys = [f"{package['prefix']}{file}" for file in package["files"]] if package else []
    return Response(HTTPStatus.OK, _summary(listed) | {"status": status, "package_keys": keys})


def _summary(listed: Listed) -> dict[str, Any]:
    return {name: value for name, value in asdict(listed).items() if name != "position"}


def _position(token: str) -> Mapping[str, str] | None:
    """Read a position in the listing; it is no secret, and may be anything that a caller makes up."""
    try:
        found = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        fits = all(0 < len(one.encode()) <= _MAX_KEY_BYTES for one in found.values())  # or DynamoDB takes no such key
        whole = found.keys() == _POSITION and found["pk"].startswith("intent#")
        is_day = date.fromisoformat(found["arrival_day"]).isoformat() == found["arrival_day"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return found if fits and is_day and (whole or found.keys() == _DAY) else None


# -- submit


def submit(services: Services, request: Request) -> Response:
    """Take an intent: 202 once it lies in the bucket, from where it goes the way of all intents.

    Raises Problem, where nothing was put; or NotAnswering, where that is unknown: ask again with the same name.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "Send JSON, with the header Content-Type: application/json"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, headers={"Accept": "application/json"})
    if errors := [f"The parameter {name} is not known" for name in sorted(request.query.keys() - _OF_SUBMIT)]:
        raise invalid(*errors)
    if (replace := request.query.get("replace", "false")) not in {"true", "false"}:
        raise invalid("The parameter replace is true or false")
    name = _name(request) or f"intent-{services.new_id()}.json"
    body = _validated(services, name, request)
    _check_room(services)
    if replace == "false" and (answered := services.listing.newest(name)) is not None and answered.takes_name:
        raise _taken(name)
    try:
        version = services.intents.put(name, body, replace=replace == "true")
    except ConditionFailed:
        raise _taken(name) from None
    return _accepted(name, version, f"intents/{name}")


def retry(services: Services, request: Request) -> Response:
    """Send an intent again, as it is, whose newest answer is a failure. Raises Problem, where nothing was put."""
    name = _parse_name(request)
    answered = services.listing.newest(name)
    newest = answered.listed if answered else services.intents.waiting(name)
    if newest is None:
        raise _unknown()
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
        services.note(refused(rejection.cause, [violation.rule for violation in rejection.violations]))
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
