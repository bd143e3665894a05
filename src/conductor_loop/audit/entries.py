"""What a write of a row adds to the audit trail and to the counters, read from the row's images.

No secrets: names, codes, rules and places, never what porch printed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.audit.chain import Change
from conductor_loop.counting import STATE_CORRUPTED, Journey, Tally, decided, refused, retried
from conductor_loop.errors import Cause
from conductor_loop.intents.model import Outcome, Phase

type Image = Mapping[str, Mapping[str, Any]]
"""A row, as DynamoDB's stream has it."""

_MOST_RULES = 20  # of a rejection that are named


def change(old: Image, new: Image) -> Change | None:
    """Give what a write adds; ``None`` where the row has as many entries as before: such a write has none.

    ``after`` is the revision before, where that is not the one below: the row had made no sense, and was made anew.
    """
    mine, before = last_change(new), _entries(old) or 0
    if mine is None or mine.seq == before:
        return None
    return mine if mine.seq == before + 1 else replace(mine, fields={"after": before, **mine.fields})


def last_change(image: Image) -> Change | None:
    """Give what a row says of its last revision; ``None`` where it does not say which that is.

    A corrupt row has an entry that says so: nothing may keep the entries behind it from being published.
    """
    seq, (kind, _, name) = _entries(image), _text(image, "pk").partition("#")
    if seq is None:
        return None
    try:
        last = json.loads(image["last"]["S"])
        if kind == "audit":
            fields, tally = _event(last)
        else:
            fields, tally = _handoff({one: _plain(value) for one, value in image.items()}, last)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        fields, tally = {"event": "unreadable"}, {}
    return Change(name if kind == "audit" else f"{kind}/{name}/{_text(image, 'sk')}", seq, fields, tally)


def _event(last: Mapping[str, Any]) -> tuple[Mapping[str, Any], Tally]:
    """Read what happened to something else than a handoff: a call of the API, a row, the configuration."""
    if last["event"] == "reset":
        return last, {STATE_CORRUPTED: 1}
    if "code" not in last:
        return last, {}
    attack = last["error_code"] == Cause.SECURITY_VIOLATION
    return last, refused(last["code"], attack=attack, rules=last.get("rules", [])).tally


def _handoff(row: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[dict[str, Any], Tally]:
    phase = Phase(row["phase"])
    who = {name: last.get(name) for name in ("by", "address", "put", "bytes")}
    details, tally = _details(phase, row, last)
    return {"at": last["at"], "event": phase.value, **_given(who | details)}, tally


def _details(phase: Phase, row: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[dict[str, Any], Tally]:
    if phase.done:
        return _decided(json.loads(row["outcome"]), Journey.read(last["journey"]))
    if phase is Phase.RETRYING and "attempt" in last:
        return _retrying(row, last)
    details = {"because": last.get("because"), "set_aside": last.get("set_aside")}
    if phase is Phase.PROCESSING:
        namespace, _, target = row["target"].partition("/")
        wanted = {"namespace": namespace, "target": target, "replicas": last["replicas"]}
        details = wanted | {
            "correlation_id": last.get("correlation_id"),
            "attempt": row["attempt"],
            "worker": last["worker"],
        }
    return details | _priority(row, last), {STATE_CORRUPTED: 1} if "set_aside" in last else {}


def _priority(row: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Say by which priority an intent goes; where it asked for another one, which, and the rule that refused that."""
    if "asked" not in last:
        return {}
    given, asked = row["priority"], last["asked"]
    rule = last.get("note", "").strip(" ()")
    return {"priority": given, "asked_for": asked if asked != given else None, "rule": rule}


def _retrying(row: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[dict[str, Any], Tally]:
    if "journey" not in last:
        return {"attempt": last["attempt"], "because": last["because"]}, {}
    cause = Cause(json.loads(row["failure"])["cause"])
    details = {
        "attempt": last["attempt"],
        "next_retry": f"{datetime.fromtimestamp(row['due_at'], UTC):%Y-%m-%dT%H:%M:%SZ}",
        "code": cause.code,
        "error_code": cause.value,
    }
    outcome = Outcome({"error_details": details}, "")
    return details, retried(outcome, Journey.read(last["journey"])).tally


def _decided(document: Mapping[str, Any], journey: Journey) -> tuple[dict[str, Any], Tally]:
    outcome = Outcome(document["status"], document["archive"])
    status, error = outcome.status, outcome.status.get("error_details", {})
    rules = dict.fromkeys(one["rule"] for one in error.get("validation_errors", []))
    details = {
        "attempt": status["attempt"] or None,
        "because": status["message"] if outcome.phase is Phase.SKIPPED else None,
        "moved_to": outcome.archive,
        "package": status.get("package", {}).get("prefix"),
        "config_version": status.get("config_version"),
        "code": error.get("code"),
        "error_code": error.get("error_code"),
        "rules": [*rules][:_MOST_RULES],
        "status_sha256": hashlib.sha256(outcome.document).hexdigest(),
    }
    return details, decided(outcome, journey).tally


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _entries(image: Image) -> int | None:
    number = image.get("entries", {}).get("N", "")
    return int(number) if number.isdecimal() and "last" in image else None


def _text(image: Image, name: str) -> str:
    return str(image.get(name, {}).get("S", ""))


def _plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever an attribute holds
    kind, content = next(iter(value.items()))
    if kind != "N":
        return content
    return int(content) if content.lstrip("-").isdecimal() else float(content)
