"""Looking at intents: one by its name, or many, newest first."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from conductor_loop.api.http import Request, Response
from conductor_loop.api.parts import Parts
from conductor_loop.api.problem import Problem, invalid
from conductor_loop.api.route import Call
from conductor_loop.api.submit_intent import named
from conductor_loop.intent import Priority
from conductor_loop.intents.model import SPELLINGS, Phase
from conductor_loop.storage.listing import Listed, Wanted

DEFAULT_LIMIT, MOST = 50, 200  # intents of a page
_NAMESPACE_CHARACTERS = 63
_KNOWN = {"state": frozenset({*Phase, *SPELLINGS}), "priority": frozenset(Priority)}
_PARAMETERS = frozenset({"state", "priority", "namespace", "limit", "next"})
_POSITION, _DAY = frozenset({"arrival_day", "arrived", "pk", "sk"}), frozenset({"arrival_day"})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_MOST_KEY_BYTES = 1024  # of a sort key, and of a name in S3


def look(parts: Parts, call: Call) -> Response:
    """Tell of the newest version of a name.

    Raises:
        Problem: 404, nothing of that name is there, or has been for as long as answers are kept.

    """
    name = named(call.request)
    waiting, answered = parts.intents.waiting(name), parts.intents.newest(name)
    if waiting is not None and (answered is None or waiting.version_id not in answered.versions):
        return _told(waiting, None)  # put, and no worker has read it yet
    if answered is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no intent of that name")
    # A status that is not final, of an attempt that is made again, is in the bucket alone.
    status = answered.status or (parts.intents.status(name) if answered.listed.attempts else None)
    if status is not None and status.get("version_id") != answered.listed.version_id:
        status = None
    return _told(answered.listed, status)


def search(parts: Parts, call: Call) -> Response:
    """List intents, newest first.

    A page may have fewer intents than its limit, or none, and still be followed by another.
    """
    wanted = _wanted(call.request)
    page = parts.intents.page(wanted, parts.clock())
    found: dict[str, Any] = {"intents": [_summary(one) for one in page.intents]}
    return Response(HTTPStatus.OK, found | {"next": _token(page.position) if page.position else None})


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
    if not (_NUMBER.fullmatch(limit) and int(limit) <= MOST):
        errors.append(f"The parameter limit is a number from 1 to {MOST}")
    position = _position(query["next"]) if "next" in query else None
    if "next" in query and position is None:
        errors.append("The parameter next is not one that an earlier page gave")
    if errors:
        raise invalid(*errors)
    filters = {name: query[name] for name in ("state", "priority", "namespace") if query.get(name)}
    if "state" in filters:
        filters["state"] = str(SPELLINGS.get(filters["state"], filters["state"]))
    return Wanted(int(limit), filters, position)


def _told(listed: Listed, status: Mapping[str, Any] | None) -> Response:
    package = (status or {}).get("package")
    keys = [f"{package['prefix']}{file}" for file in package["files"]] if package else []
    return Response(HTTPStatus.OK, _summary(listed) | {"status": status, "package_keys": keys})


def _summary(listed: Listed) -> dict[str, Any]:
    return {
        "name": listed.name,
        "version_id": listed.version_id,
        "state": listed.state,
        "arrived": listed.arrived,
        "attempts": listed.attempts,
        "priority": listed.priority,
        "namespace": listed.namespace,
    }


def _token(position: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def _position(token: str) -> Mapping[str, str] | None:
    """Read a place in the listing; it is no secret, and may be anything that a caller makes up."""
    try:
        found = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(one, str) and _is_key(one) for one in found.values()):
        return None
    whole = found.keys() == _POSITION and found["pk"].startswith("intent#") and found["sk"] and found["arrived"]
    good = (whole or found.keys() == _DAY) and _DATE.fullmatch(found["arrival_day"])
    return found if good else None


def _is_key(text: str) -> bool:
    """Say whether DynamoDB takes it for a key."""
    try:
        return len(text.encode()) <= _MOST_KEY_BYTES
    except UnicodeEncodeError:  # half a surrogate
        return False
