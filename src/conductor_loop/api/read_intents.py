"""Read intents: one by its name, or many, newest first."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import Problem, Request, Response, invalid
from conductor_loop.api.services import Services
from conductor_loop.errors import Rejected
from conductor_loop.intent import Priority
from conductor_loop.intents.model import SPELLINGS, Phase
from conductor_loop.storage.listing import Listed, Wanted
from conductor_loop.validation import check_name

DEFAULT_LIMIT, MAX_LIMIT = 50, 200  # intents of a page
_NAMESPACE_CHARACTERS = 63
_KNOWN = {"state": frozenset({*Phase, *SPELLINGS}), "priority": frozenset(Priority)}
_PARAMETERS = frozenset({"state", "priority", "namespace", "limit", "next"})
_POSITION, _DAY = frozenset({"arrival_day", "arrived", "pk", "sk"}), frozenset({"arrival_day"})
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_MAX_KEY_BYTES = 1024  # of a sort key, and of a name in S3


def read_intent(services: Services, request: Request) -> Response:
    """Return the state of the newest version of a name.

    Raises:
        Problem: 404, nothing of that name is there, or has been for as long as answers are kept.

    """
    name = parse_name(request)
    waiting, answered = services.intents.waiting(name), services.intents.newest(name)
    if waiting is not None and (answered is None or waiting.version_id not in answered.versions):
        return _state(waiting, None)  # put, and no worker has read it yet
    if answered is None:
        raise unknown()
    # A status that is not final, of an attempt that is made again, is in the bucket alone.
    status = answered.status or (services.intents.status(name) if answered.listed.attempts else None)
    if status is not None and status.get("version_id") != answered.listed.version_id:
        status = None
    return _state(answered.listed, status)


def list_intents(services: Services, request: Request) -> Response:
    """List intents, newest first.

    A page may have fewer intents than its limit, or none, and still be followed by another.
    """
    wanted = _wanted(request)
    page = services.intents.page(wanted, services.clock())
    found: dict[str, Any] = {"intents": [_summary(one) for one in page.intents]}
    return Response(HTTPStatus.OK, found | {"next": _token(page.position) if page.position else None})


def parse_name(request: Request) -> str:
    """Return the intent's name that a path has. Raises Problem, 404, where nothing can be called like that."""
    name = request.parameters.get("name", "")
    try:
        check_name(name)
    except Rejected:
        raise unknown() from None
    return name


def unknown() -> Problem:
    """Report that there is no such intent."""
    return Problem(HTTPStatus.NOT_FOUND, "There is no intent of that name")


def _wanted(request: Request) -> Wanted:
    """Read the query; everything that is wrong with it at once."""
    query = request.query
    errors = [f"The parameter {name} is not known" for name in sorted(query.keys() - _PARAMETERS)]
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
        filters["state"] = str(SPELLINGS.get(filters["state"], filters["state"]))
    return Wanted(int(limit), filters, position)


def _state(listed: Listed, status: Mapping[str, Any] | None) -> Response:
    package = (status or {}).get("package")
    keys = [f"{package['prefix']}{file}" for file in package["files"]] if package else []
    return Response(HTTPStatus.OK, _summary(listed) | {"status": status, "package_keys": keys})


def _summary(listed: Listed) -> dict[str, Any]:
    return {name: value for name, value in asdict(listed).items() if name != "position"}


def _token(position: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def _position(token: str) -> Mapping[str, str] | None:
    """Read a position in the listing; it is no secret, and may be anything that a caller makes up."""
    try:
        found = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        if not isinstance(found, dict) or not all(isinstance(one, str) and _is_key(one) for one in found.values()):
            return None
        whole = found.keys() == _POSITION and found["pk"].startswith("intent#") and found["sk"] and found["arrived"]
        if whole or found.keys() == _DAY:
            return found if date.fromisoformat(found["arrival_day"]).isoformat() == found["arrival_day"] else None
    except (binascii.Error, ValueError, RecursionError):
        pass
    return None


def _is_key(text: str) -> bool:
    """Say whether DynamoDB takes it for a key."""
    try:
        return len(text.encode()) <= _MAX_KEY_BYTES
    except UnicodeEncodeError:  # half a surrogate
        return False
